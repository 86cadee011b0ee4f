"""Models served by ONNX Runtime."""

import logging
from functools import cache

import numpy as np
import pytest
import torch
from export_cases import assert_close, each_export, exported, repeated

pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

# The exporter logs which optional packages it does not find.
logging.getLogger("torch.onnx").setLevel(logging.ERROR)
pytestmark = [
    # Of torch's exporter.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]


class Both(torch.nn.Module):
    """Encoder and decoder in one program, as one export takes less time than two."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, rows, codes):
        return self.encoder(rows), self.decoder(codes)


@cache
def served(name):
    """Return a function of rows and codes that ONNX Runtime computes."""
    (encoder, rows, _), (decoder, codes, _) = exported(name)
    program = torch.onnx.export(
        Both(encoder, decoder).eval(),
        (torch.tensor(rows[:2]), torch.tensor(codes[:2])),
        dynamo=True,
        dynamic_shapes=tuple({0: torch.export.Dim(name)} for name in ("n_rows", "n_codes")),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    names = [part.name for part in session.get_inputs()]
    return lambda *given: session.run(None, dict(zip(names, given, strict=True)))


@each_export
def test_any_number_of_rows_as_the_methods_give_them(name):
    parts = [part[1:] for part in exported(name)]
    for n in (1, 3, 1000):
        given, expected = zip(*(repeated(*part, n) for part in parts), strict=True)
        for own, results, part in zip(served(name)(*given), expected, parts, strict=True):
            assert_close(own, results, part[1])


@pytest.mark.parametrize("name", ["conv", "no linear map", "mixed"])
def test_the_codes_of_a_row_with_a_missing_value_are_nan(name):
    (_, rows, expected), (_, codes, _) = exported(name)
    rows = rows[:10].copy()
    rows[::2, -1] = np.nan
    own, _ = served(name)(rows, codes[:10])
    assert np.isnan(own[::2]).all()
    assert_close(own[1::2], expected[:10][1::2], expected)
