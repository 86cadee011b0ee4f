"""Around the training loop: its optimiser and the best state."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from skvae.training.loop import (
    BestState,
    Plan,
    make_optimizer,
    moments_of,
    on_cpu,
    set_moments,
    train,
)


def plan(**changes):
    defaults = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "weight_decay": 0.0}
    return Plan(**(defaults | changes))


def epochs_of(module, optimizer=None):
    """Train a linear map of one input on ten rows."""
    rows = torch.arange(10.0)[:, None]

    def terms(rows, epoch):
        return module(rows).square().mean()[None]

    generator = torch.Generator().manual_seed(0)
    return train(module, terms, rows, plan(), generator, optimizer=optimizer)


# -- the optimiser --------------------------------------------------------------------


def test_only_matrices_decay():
    module = nn.Linear(3, 2)
    nn.init.ones_(module.weight)
    nn.init.ones_(module.bias)
    optimizer = make_optimizer(module, plan(learning_rate=0.1, weight_decay=0.5))
    module.zero_grad(set_to_none=False)
    (0 * module(torch.ones(1, 3))).sum().backward()
    optimizer.step()
    # Without a gradient a step is the decay alone: 1 - rate * decay.
    torch.testing.assert_close(module.weight, torch.full((2, 3), 0.95))
    assert torch.equal(module.bias, torch.ones(2))


def test_frozen_parameters_are_left_out():
    module = nn.Linear(3, 2)
    module.weight.requires_grad_(False)
    optimizer = make_optimizer(module, plan())
    assert [p.shape for group in optimizer.param_groups for p in group["params"]] == [(2,)]


def test_an_optimizers_state_survives_the_way_over_the_cpu():
    module = nn.Linear(1, 1)
    first = make_optimizer(module, plan())
    list(epochs_of(module, first))
    second = make_optimizer(module, plan())
    set_moments(second, on_cpu(first.state_dict()["state"]))
    assert second.state[module.weight]["step"] == 9


def test_moments_bring_no_settings_and_are_copied():
    module = nn.Linear(1, 1)
    first = make_optimizer(module, plan())
    list(epochs_of(module, first))
    moments = moments_of(first)
    before = str(moments)
    second = make_optimizer(module, plan(learning_rate=7.0, weight_decay=0.3))
    set_moments(second, moments)
    assert [group["lr"] for group in second.param_groups] == [7.0, 7.0]
    assert {group["weight_decay"] for group in second.param_groups} == {0.3, 0.0}
    list(epochs_of(module, second))
    assert str(moments) == before


def test_on_cpu_copies_tensors_at_any_depth_and_keeps_the_rest():
    tensor = torch.ones(2, requires_grad=True)
    state = {"a": [tensor, {"b": tensor}], "c": (0.9, 0.99), "d": 1.5, "e": None}
    copied = on_cpu(state)
    assert {key: copied[key] for key in "cde"} == {"c": (0.9, 0.99), "d": 1.5, "e": None}
    for ours in (copied["a"][0], copied["a"][1]["b"]):
        assert ours.device.type == "cpu"
        assert torch.equal(ours, tensor)
        assert ours.data_ptr() != tensor.data_ptr()
        assert not ours.requires_grad


# -- the best state -------------------------------------------------------------------


def follow(scores, patience=10, tol=0.0):
    """Update with scores in turn, the module's weight being the epoch's number."""
    module = nn.Linear(1, 1, bias=False)
    best, spent = BestState(module, patience, tol), []
    for epoch, score in enumerate(scores):
        nn.init.constant_(module.weight, epoch)
        spent.append(best.update(score))
    best.restore()
    return best, module.weight.item(), spent


@pytest.mark.parametrize(
    ("scores", "epoch"),
    [
        ([3, 2, 1], 0),
        ([1, 2, 3], 2),
        ([1, 5, 2, 4], 1),
        ([1, 2, 2], 1),
        ([-np.inf, -5, -6], 1),
        ([1, np.nan, 2, np.nan], 2),
        ([np.nan, np.nan], 0),
        ([np.nan, 1, 0], 1),
    ],
)
def test_the_first_best_state_is_kept_and_restored(scores, epoch):
    best, weight, _ = follow(scores)
    assert (best.epoch, best.score, weight) == (epoch, scores[epoch], epoch)


def test_patience_counts_the_epochs_since_the_last_improvement():
    _, _, spent = follow([1, 2, 2, 1, 2], patience=3)
    assert spent == [False, False, False, False, True]


def test_an_improvement_within_tol_is_kept_but_does_not_buy_patience():
    best, _, spent = follow([1, 1.05, 1.09, 1.0], patience=2, tol=0.1)
    assert best.epoch == 2
    assert spent == [False, False, True, True]


def test_small_improvements_that_add_up_to_tol_buy_patience():
    _, _, spent = follow([1, 1.06, 1.12, 1.18, 1.24], patience=3, tol=0.1)
    assert not any(spent)


def test_the_moments_are_those_of_the_best_state():
    module = nn.Linear(1, 1)
    optimizer = make_optimizer(module, plan())
    best = BestState(module, 10, 0.0, optimizer)
    expected = {}
    for score, _ in zip([1.0, 3.0, 2.0], epochs_of(module, optimizer), strict=True):
        best.update(score)
        if score == 3.0:
            expected = moments_of(optimizer)
    best.restore()
    assert str(moments_of(optimizer)) == str(expected)
    assert optimizer.state[module.weight]["step"] == 6


def test_the_moments_of_an_unused_optimiser_are_none():
    module = nn.Linear(1, 1)
    optimizer = make_optimizer(module, plan())
    best = BestState(module, 10, 0.0, optimizer)
    best.update(1.0)
    list(epochs_of(module, optimizer))
    best.restore()
    assert not optimizer.state


def test_an_endless_divergence_spends_the_patience():
    _, weight, spent = follow([1, np.nan, np.nan], patience=2)
    assert spent == [False, False, True]
    assert weight == 0


def test_buffers_are_restored_too():
    module = nn.BatchNorm1d(1)
    best = BestState(module, 1, 0.0)
    best.update(1.0)
    before = copy.deepcopy(module.state_dict())
    module(torch.arange(5.0)[:, None])
    best.restore()
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
