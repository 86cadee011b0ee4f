"""Computations that are recorded: the same again for other values, or refused."""

import pytest
import torch

from skvae.training.recording import record


def values(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def gradients(function, parameters):
    """Return a function that gives a result, and the gradients of its sum."""

    def compute(*inputs):
        with torch.enable_grad():
            result = function(*inputs)
            return [result.detach(), *torch.autograd.grad(result.sum(), parameters)]

    return compute


def test_a_computation_and_its_gradients_are_repeated_to_the_bit():
    layer = torch.nn.Linear(3, 2)
    compute = gradients(lambda x: layer(x).relu().softmax(-1).log(), list(layer.parameters()))
    results, repeat = record(compute, [values(5, 3)])
    assert all(map(torch.equal, results, compute(values(5, 3))))
    for seed in (1, 2):
        x = values(5, 3, seed=seed)
        found = repeat(x)
        assert all(map(torch.equal, found, compute(x)))
        assert not any(result.requires_grad for result in found)


def test_changes_of_parameters_in_place_are_seen():
    weight, x = values(3, 2).requires_grad_(), values(5, 3)
    compute = gradients(lambda x: (x @ weight.mT.mT).square(), [weight])
    _, repeat = record(compute, [x])
    with torch.no_grad():
        weight.mul_(2)
    assert all(map(torch.equal, repeat(x), compute(x)))


def test_operations_in_place_change_nothing_but_intermediate_results():
    _, repeat = record(lambda x: [(2 * x).relu_().add_(1)], [values(4)])
    x = values(4, seed=1)
    for _ in range(2):
        assert torch.equal(repeat(x)[0], (2 * x).relu() + 1)


def test_a_part_of_a_result_can_be_replaced():
    def with_new_end(x):
        y = x + 1
        y[1:] = 2 * x[1:]
        return [y]

    _, repeat = record(with_new_end, [values(4)])
    x = values(4, seed=1)
    assert torch.equal(repeat(x)[0], with_new_end(x)[0])


def test_several_results_and_nones_are_returned_as_they_are():
    def parts(x):
        first, second = x.split(2)
        return [second * 2, None, first]

    _, repeat = record(parts, [values(4)])
    x = values(4, seed=1)
    second, none, first = repeat(x)
    assert none is None
    assert torch.equal(first, x[:2])
    assert torch.equal(second, 2 * x[2:])


def test_elements_by_a_constant_mask_can_be_repeated():
    mask = torch.tensor([True, False, True])
    _, repeat = record(lambda x: [x[:, mask]], [values(2, 3)])
    x = values(2, 3, seed=1)
    assert torch.equal(repeat(x)[0], x[:, mask])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: [x + torch.rand(3)],
        lambda x: [x if x.sum() > 0 else -x],
        lambda x: [x * x.max().item()],
        lambda x: [x[x > 0]],
        lambda x: [x.nonzero()],
    ],
)
def test_what_would_differ_for_other_values_is_refused(function):
    results, repeat = record(function, [values(3).abs()])
    assert repeat is None
    assert len(results) == 1
