"""Copies of a module's state: the last ones, the best one, and the optimiser's moments."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from skvae.training.loop import train_epochs
from skvae.training.setup import Plan
from skvae.training.states import BestState, LastStates, copy_moments, set_moments
from skvae.training.steps import make_optimizer


class Linear(nn.Linear):
    n_batch_axes = 0


def plan(**changes):
    defaults = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "weight_decay": 0.0}
    return Plan(**(defaults | changes))


def epochs_of(module, optimizer=None):
    """Train a linear map of one input on ten rows."""
    rows = torch.arange(10.0)[:, None]

    def terms(rows, epoch):
        return module(rows).square().mean()[None]

    generator = torch.Generator().manual_seed(0)
    return train_epochs(module, terms, rows, plan(), generator, optimizer=optimizer)


# -- the optimiser's moments ------------------------------------------------------------


def test_moments_bring_no_settings_and_are_copied():
    module = Linear(1, 1)
    first = make_optimizer(module, plan())
    list(epochs_of(module, first))
    moments = copy_moments(first)
    before = str(moments)
    second = make_optimizer(module, plan(learning_rate=7.0, weight_decay=0.3))
    set_moments(second, moments)
    assert [group["lr"] for group in second.param_groups] == [7.0, 7.0]
    assert {group["weight_decay"] for group in second.param_groups} == {0.3, 0.0}
    list(epochs_of(module, second))
    assert str(moments) == before


# -- the best state -------------------------------------------------------------------


def follow(scores, n_iter_no_change=10, tol=0.0):
    """Update with scores in turn, the module's weight being the epoch's number."""
    module = Linear(1, 1, bias=False)
    best, stops = BestState(module, n_iter_no_change, tol), []
    for epoch, score in enumerate(scores):
        nn.init.constant_(module.weight, epoch)
        stops.append(best.update(score))
    best.restore()
    return best, module.weight.item(), stops


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


def test_stopping_counts_the_epochs_since_the_last_improvement():
    _, _, stops = follow([1, 2, 2, 1, 2], n_iter_no_change=3)
    assert stops == [False, False, False, False, True]


def test_an_improvement_within_tol_is_kept_but_does_not_put_off_stopping():
    best, _, stops = follow([1, 1.05, 1.09, 1.0], n_iter_no_change=2, tol=0.1)
    assert best.epoch == 2
    assert stops == [False, False, True, True]


def test_small_improvements_that_add_up_to_tol_put_off_stopping():
    _, _, stops = follow([1, 1.06, 1.12, 1.18, 1.24], n_iter_no_change=3, tol=0.1)
    assert not any(stops)


def test_the_moments_are_those_of_the_best_state():
    module = Linear(1, 1)
    optimizer = make_optimizer(module, plan())
    best = BestState(module, 10, 0.0, optimizer)
    expected = {}
    for score, _ in zip([1.0, 3.0, 2.0], epochs_of(module, optimizer), strict=True):
        best.update(score)
        if score == 3.0:
            expected = copy_moments(optimizer)
    best.restore()
    assert str(copy_moments(optimizer)) == str(expected)
    assert optimizer.state[module.weight]["step"] == 6


def test_the_moments_of_an_unused_optimiser_are_none():
    module = Linear(1, 1)
    optimizer = make_optimizer(module, plan())
    best = BestState(module, 10, 0.0, optimizer)
    best.update(1.0)
    list(epochs_of(module, optimizer))
    best.restore()
    assert not optimizer.state


def test_an_endless_divergence_ends_in_stopping():
    _, weight, stops = follow([1, np.nan, np.nan], n_iter_no_change=2)
    assert stops == [False, False, True]
    assert weight == 0


def test_buffers_are_restored_too():
    module = nn.BatchNorm1d(1)
    best = BestState(module, 1, 0.0)
    best.update(1.0)
    before = copy.deepcopy(module.state_dict())
    module(torch.arange(5.0)[:, None])
    best.restore()
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_epochs_that_are_skipped_are_no_candidates_and_do_not_stop():
    module = Linear(1, 1, bias=False)
    best = BestState(module, n_iter_no_change=2, tol=0.0)
    assert not best.update(1.0)
    for _ in range(5):
        best.skip()
    assert [best.update(score) for score in (0.5, 0.4, 0.3)] == [False, True, True]
    assert (best.epoch, best.score) == (0, 1.0)


# -- the last states ------------------------------------------------------------------


def test_the_last_two_states_are_restored_one_by_one():
    module = Linear(1, 1, bias=False)
    last = LastStates(module)
    for number in (1.0, 2.0, 3.0):
        nn.init.constant_(module.weight, number)
        last.update()
    nn.init.constant_(module.weight, 4.0)
    assert [module.weight.item() for _ in last.restore()] == [3.0, 2.0]


def test_before_any_update_the_last_state_is_the_start():
    module = Linear(1, 1, bias=False)
    last = LastStates(module)
    start = module.weight.item()
    nn.init.constant_(module.weight, 4.0)
    assert [module.weight.item() for _ in last.restore()] == [start]
