"""Steps that are captured as CUDA graphs: the same training, or none is captured."""

import numpy as np
import pytest
import torch
from model_cases import each_model, options_of, rows_for

from skvae import VAETransformer
from skvae.networks import MLP
from skvae.training import gradients as gradients_module
from skvae.training.graphs import capture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]


def values(*shape):
    return torch.randn(shape, device="cuda")


def test_a_capture_computes_with_other_inputs_and_changed_parameters():
    weight = values(3, 2)
    results, repeat = capture(lambda x: [x @ weight, None], [values(5, 3)])
    assert results[1] is None
    for _ in range(3):
        weight.mul_(2)
        x = values(5, 3)
        torch.testing.assert_close(repeat(x)[0], x @ weight)


@pytest.mark.parametrize(
    "function", [lambda x: [x * float(x.max())], lambda x: [x[x > 0]], lambda x: [x.cpu()]]
)
def test_what_waits_for_the_gpu_is_not_captured_and_does_no_harm(function):
    x = values(3).abs()
    results, repeat = capture(function, [x])
    assert repeat is None
    torch.testing.assert_close(results[0], function(x)[0])
    # Random numbers and other captures work as before.
    assert torch.isfinite(torch.randn(4, device="cuda")).all()
    _, repeat = capture(lambda x: [2 * x], [x])
    torch.testing.assert_close(repeat(x + 1)[0], 2 * (x + 1))


def history(monkeypatch, X, captures, **parameters):
    """Return the losses of a training, and the number of shapes that were captured."""
    found = []

    def noted(*args):
        results, repeat = capture(*args)
        found.append(repeat is not None)
        return results, (repeat if captures else None)

    monkeypatch.setattr(gradients_module, "capture", noted)
    monkeypatch.setattr(gradients_module, "_PATIENCE", 2)
    options = {"max_iter": 8, "batch_size": 16, "random_state": 0, "device": "cuda"}
    vae = VAETransformer(2, **options | parameters)
    with np.errstate(all="ignore"):
        vae.fit(X)
    assert all(found)
    return vae, len(found)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@each_model
def test_losses_are_those_of_a_training_without_captures(names, monkeypatch):
    options = {**options_of(names), "early_stopping": False}
    X = rows_for(names[1])
    plain, _ = history(monkeypatch, X, False, **options)
    captured, n_shapes = history(monkeypatch, X, True, **options)
    assert n_shapes == 2
    np.testing.assert_allclose(captured.history_["loss"], plain.history_["loss"], rtol=1e-4)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "options",
    [
        {"objective": "iwae", "n_samples": 3},
        {"objective": "monte_carlo"},
        {"kl_warmup": 3},
        {"early_stopping": "cv"},
        {"early_stopping": True},
        {"network": MLP((8,), batch_norm=True)},
        {"precision": "tf32"},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_so_are_those_of_other_objectives_and_precisions(options, monkeypatch, digits):
    plain, _ = history(monkeypatch, digits[:100], False, **options)
    captured, n_shapes = history(monkeypatch, digits[:100], True, **options)
    assert n_shapes > 0
    np.testing.assert_allclose(captured.history_["loss"], plain.history_["loss"], rtol=1e-4)


def test_networks_that_draw_numbers_are_never_captured(monkeypatch, digits):
    network = MLP((8,), dropout=0.5)
    _, n_shapes = history(monkeypatch, digits[:100], True, network=network)
    assert n_shapes == 0
