"""Computations that are recorded: the same again for other values, or refused."""

import pytest
import torch

from skvae.training.recording import _in_little_memory, _memory, _needed, _Recorder, record


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


def test_results_are_the_same_tensors_each_time_and_inputs_stay_as_they_are():
    x = values(4)
    before = x.clone()
    _, repeat = record(lambda x: [(x + 1).relu_()], [x])
    first = repeat(values(4, seed=1))[0]
    assert repeat(values(4, seed=2))[0] is first
    assert torch.equal(x, before)


def test_a_result_may_be_written_over_an_earlier_one():
    def larger_of_both(x):
        half = 1 - x
        return [torch.maximum(half, x, out=half).log_() + x]

    _, repeat = record(larger_of_both, [values(4).abs()])
    x = values(4, seed=1).abs()
    assert torch.equal(repeat(x)[0], larger_of_both(x)[0])


def test_results_are_copied_where_an_operation_cannot_write_to_a_given_tensor():
    def one_more(x):
        # It takes other keywords if it is given a tensor.
        total = torch.ones_like(x)
        total += x
        return [total]

    _, repeat = record(one_more, [values(4)])
    x = values(4, seed=1)
    for _ in range(2):
        assert torch.equal(repeat(x)[0], x + 1)


def recorded_steps(function, x):
    """Return the steps that are repeated, and the results on which they end."""
    recorder = _Recorder([x])
    with recorder:
        results = function(x)
    return _in_little_memory(_needed(recorder.steps, results), results)


def test_memory_is_used_again_after_the_last_reader():
    def chain(x):
        first = y = x + 1
        for _ in range(10):
            y = y * 2
        return [y + first]

    steps, results = recorded_steps(chain, values(4))
    # That of `first`, and two by turns.
    assert len({memory for step in steps for memory in step.writes}) == 3
    assert len(steps) == 12
    assert _memory(results[0]) in steps[-1].writes


def test_constants_and_unused_results_are_not_computed_again():
    def with_constants(x):
        torch.sin(x)
        ones = torch.ones_like(x) * 3
        changed = torch.zeros(4)
        changed += x
        return [x * ones + torch.eye(4)[0] + changed]

    steps, _ = recorded_steps(with_constants, values(4))
    names = [step.operation.overloadpacket.__name__ for step in steps]
    assert sorted(names) == ["add", "add", "add_", "mul", "zeros"]


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
