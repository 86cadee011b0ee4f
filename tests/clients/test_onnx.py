"""Models served by ONNX Runtime."""

import logging

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


def served(module, example):
    """Return a function of rows that ONNX Runtime computes."""
    program = torch.onnx.export(
        module,
        (torch.tensor(example),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("rows")},),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    (given,) = session.get_inputs()
    return lambda rows: session.run(None, {given.name: rows})[0]


@each_export
def test_any_number_of_rows_as_the_methods_give_them(name):
    for module, inputs, expected in exported(name):
        serve = served(module, inputs[:2])
        for n in (1, 3, 1000):
            rows, results = repeated(inputs, expected, n)
            assert_close(serve(rows), results, expected)


@pytest.mark.parametrize("name", ["conv", "no linear map", "mixed"])
def test_the_codes_of_a_row_with_a_missing_value_are_nan(name):
    module, inputs, expected = exported(name)[0]
    rows = inputs[:10].copy()
    rows[::2, -1] = np.nan
    codes = served(module, inputs[:2])(rows)
    assert np.isnan(codes[::2]).all()
    assert_close(codes[1::2], expected[:10][1::2], expected)
