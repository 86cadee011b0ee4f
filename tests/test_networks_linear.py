"""The linear layer: whatever computes its products, they are the same."""

import copy

import pytest
import torch
from torch.nn import functional

from skvae.networks import _linear
from skvae.networks._linear import Linear, onednn_is_faster

N_IN, N_OUT, N_ROWS = 96, 80, 64


def has_operator():
    return _linear._is_right()


needs_operator = pytest.mark.skipif(not has_operator(), reason="torch without oneDNN")


def rows(n=N_ROWS, width=N_IN, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator, dtype=torch.float32)


def layer(bias=True):
    made = Linear(N_IN, N_OUT, bias=bias, dtype=torch.float32)
    with torch.no_grad():
        made.weight.copy_(rows(N_OUT, N_IN, 1))
    return made


INPUTS = {"float64": rows().double(), "three axes": rows()[None], "no rows": rows()[:0]}


@pytest.fixture(params=["here", "onednn", "torch"])
def path(request, monkeypatch):
    """Take each path, whatever this machine would choose."""
    if request.param != "here":
        monkeypatch.setattr(_linear, "_LARGE", 1)
        monkeypatch.setattr(_linear, "onednn_is_faster", lambda: request.param == "onednn")
    if request.param == "onednn" and not has_operator():
        pytest.skip("torch without oneDNN")
    return request.param


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("bias", [True, False])
def test_output_and_gradients_are_those_of_torchs_function(bias):
    mine = layer(bias)
    theirs = copy.deepcopy(mine)
    x, y = (rows().requires_grad_() for _ in range(2))
    ours, expected = mine(x), functional.linear(y, theirs.weight, theirs.bias)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-4)
    weights = rows(N_ROWS, N_OUT, 2)
    (ours * weights).sum().backward()
    (expected * weights).sum().backward()
    pairs = [(x, y), *zip(mine.parameters(), theirs.parameters(), strict=True)]
    for own, other in pairs:
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-5, atol=1e-3)


@pytest.mark.usefixtures("path")
def test_a_stack_of_layers_gives_each_ones_output():
    layers, x = [layer(), layer()], rows()
    stacked = {
        name: torch.stack([getattr(one, name) for one in layers]) for name in ("weight", "bias")
    }

    def call(parameters):
        return torch.func.functional_call(layers[0], parameters, (x,))

    expected = torch.stack([one(x) for one in layers])
    result = torch.vmap(call)(stacked)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    "x", [rows().double(), rows()[None], rows()[:0]], ids=["f8", "3d", "0"]
)
def test_other_inputs_go_torchs_way(x):
    one = layer().to(x.dtype)
    assert torch.equal(one(x), functional.linear(x, one.weight, one.bias))


@needs_operator
def test_small_products_go_torchs_way(monkeypatch):
    monkeypatch.setattr(_linear, "onednn_is_faster", lambda: True)
    small, one = rows(), layer()
    assert not one._is_large(small)
    assert one._is_large(rows(_linear._LARGE // (N_IN * N_OUT) + 1))
    assert torch.equal(one(small), functional.linear(small, one.weight, one.bias))


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_without_the_private_operator_there_is_torchs_own(error, monkeypatch):
    def absent(*args):
        raise error

    monkeypatch.setattr(_linear, "_product", absent)
    assert not _linear._is_right()


def test_a_wrong_operator_is_not_trusted(monkeypatch):
    monkeypatch.setattr(_linear, "_product", lambda x, weight: x @ weight.t() + 1)
    assert not _linear._is_right()


@pytest.mark.parametrize(("maker", "capability"), [(False, "AVX512"), (True, "AVX2")])
def test_only_where_the_products_are_known_to_be_faster(maker, capability, monkeypatch):
    monkeypatch.setattr(_linear, "_is_amd", lambda: maker)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    onednn_is_faster.cache_clear()
    assert not onednn_is_faster()
    monkeypatch.undo()
    onednn_is_faster.cache_clear()
