"""The training loop: every row once an epoch, one list of numbers."""

from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from skvae.training.loop import train_epochs, training_mode
from skvae.training.setup import Plan
from skvae.training.steps import make_optimizer


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def plan(**changes):
    defaults = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "weight_decay": 0.0}
    return Plan(**(defaults | changes))


def train(module, rows, terms=None, seed=0, **changes):
    """Return the epochs of a training; some arguments are the loop's, others the plan's."""
    loop = {k: changes.pop(k) for k in ("indices", "optimizer", "on_step") if k in changes}
    terms = module.terms if terms is None else terms
    return train_epochs(module, terms, rows, plan(**changes), generator(seed), **loop)


class Linear(nn.Linear):
    n_batch_axes = 0


class Recorder(nn.Module):
    """A module whose loss is the mean of the rows' first column; it notes its batches."""

    n_batch_axes = 0

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.batches = []
        self.modes = []

    def terms(self, rows, epoch):
        self.batches.append(rows[:, 0].tolist())
        self.modes.append(self.training)
        mean = rows[:, 0].mean()
        return torch.stack([mean + 0 * self.weight.sum(), 2 * mean, mean**0])


def record(n=10, **changes):
    """Train a recorder; return it and what the iteration gave."""
    module = Recorder()
    return module, list(train(module, torch.arange(float(n))[:, None], **changes))


def epochs_of(module, per_epoch):
    """Rows of each epoch in their order."""
    chunks = range(0, len(module.batches), per_epoch)
    return [list(chain(*module.batches[i : i + per_epoch])) for i in chunks]


# -- the loop -------------------------------------------------------------------------


def test_each_epoch_gives_one_list_of_floats():
    _, terms = record()
    assert len(terms) == 3
    assert all(len(epoch) == 3 for epoch in terms)
    assert all(type(value) is float for epoch in terms for value in epoch)


def test_terms_are_means_over_rows_whatever_the_last_batch():
    # Ten rows in batches of four: the last batch of two counts half as much.
    _, terms = record()
    for epoch in terms:
        assert epoch == pytest.approx([4.5, 9.0, 1.0], rel=1e-6)


@pytest.mark.parametrize(
    ("n", "sizes"), [(10, [4, 4, 2]), (8, [4, 4]), (9, [4, 4, 1]), (3, [3])]
)
def test_every_row_is_visited_once_an_epoch(n, sizes):
    module, _ = record(n)
    assert [len(batch) for batch in module.batches] == 3 * sizes
    for rows in epochs_of(module, len(sizes)):
        assert sorted(rows) == list(range(n))


def test_the_order_changes_from_epoch_to_epoch_and_repeats_with_the_seed():
    (first, _), (second, _), (other, _) = (record(seed=seed) for seed in (0, 0, 1))
    assert first.batches == second.batches
    assert first.batches != other.batches
    assert len({tuple(rows) for rows in epochs_of(first, 3)}) == 3


def test_only_the_rows_asked_for_are_visited():
    module, terms = record(indices=torch.tensor([1, 3, 5, 7, 9]))
    for rows in epochs_of(module, 2):
        assert sorted(rows) == [1, 3, 5, 7, 9]
    assert terms[0][0] == pytest.approx(5.0, rel=1e-6)


def test_nothing_happens_before_the_first_step_nor_after_the_last_one_asked_for():
    module, rows = Recorder(), torch.arange(10.0)[:, None]
    epochs = train(module, rows)
    assert not module.batches
    next(epochs)
    epochs.close()
    assert len(module.batches) == 3


def test_steps_are_told_of_and_may_end_their_epoch():
    told = []

    def on_step(done, n_steps):
        told.append((done, n_steps))
        return done == 2 and len(told) < 6

    module, rows = Recorder(), torch.arange(10.0)[:, None]
    first, second, _ = train(module, rows, on_step=on_step)
    assert told == [(1, 3), (2, 3), (1, 3), (2, 3), (1, 3), (2, 3), (3, 3)]
    # The means are those of the rows that were visited.
    for terms, batches in ((first, module.batches[:2]), (second, module.batches[2:4])):
        assert terms[0] == pytest.approx(np.mean(list(chain(*batches))))
        assert terms[2] == pytest.approx(1)


def test_every_epoch_is_in_training_mode_even_after_an_evaluation():
    module, rows = Recorder(), torch.arange(10.0)[:, None]
    for _ in train(module, rows):
        module.eval()
    assert all(module.modes)


@pytest.mark.parametrize("one_cycle", [True, False])
def test_the_loop_solves_a_linear_regression(one_cycle):
    X = torch.randn(200, 2, generator=generator())
    y = X @ torch.tensor([[2.0], [-3.0]]) + 0.5
    module, rows = Linear(2, 1), torch.cat([X, y], dim=1)

    def terms(rows, epoch):
        return (module(rows[:, :2]) - rows[:, 2:]).square().mean()[None]

    settings = {"epochs": 60, "batch_size": 32, "learning_rate": 0.1, "one_cycle": one_cycle}
    losses = list(train(module, rows, terms, **settings))
    # Without noise in y nothing but the rate keeps it from the exact solution.
    assert losses[-1][0] < 1e-3 * losses[0][0]
    torch.testing.assert_close(module.weight, torch.tensor([[2.0, -3.0]]), atol=0.02, rtol=0)
    torch.testing.assert_close(module.bias, torch.tensor([0.5]), atol=0.02, rtol=0)


def test_an_optimizer_that_is_passed_in_continues():
    module, rows = Recorder(), torch.arange(10.0)[:, None]
    optimizer = make_optimizer(module, plan(one_cycle=False))
    for calls in (1, 2):
        list(train(module, rows, optimizer=optimizer, one_cycle=False))
        assert optimizer.state[module.weight]["step"] == calls * 9


def test_the_same_seeds_give_the_same_bits_and_the_global_generator_stays():
    state, results = torch.get_rng_state(), []
    rows = torch.randn(50, 3, generator=generator())
    for _ in range(2):
        module = Linear(3, 3)
        with torch.no_grad():
            module.weight.copy_(torch.eye(3))
            module.bias.zero_()
        torch.set_rng_state(state)

        def terms(rows, epoch, module=module):
            return (module(rows) - rows.flip(1)).square().mean()[None]

        list(train(module, rows, terms, seed=5))
        results.append(module.weight.detach().clone())
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*results)


# -- models side by side --------------------------------------------------------------


class Means(nn.Module):
    """Models side by side, each of which learns the mean of its own rows."""

    n_batch_axes = 1

    def __init__(self, n_models):
        super().__init__()
        self.means = nn.Parameter(torch.zeros(n_models, 1))
        self.batches = []

    def terms(self, rows, epoch):
        self.batches.append(rows)
        loss = (rows[..., 0] - self.means).square().mean(-1)
        return torch.stack([loss, rows[..., 0].mean(-1)])


def test_models_side_by_side_are_each_trained_on_their_own_rows():
    module, rows = Means(2), torch.arange(20.0)[:, None]
    indices = torch.stack([torch.arange(10), torch.arange(10, 20)])
    epochs = list(train(module, rows, indices=indices, epochs=80, learning_rate=0.5))
    assert [batch.shape for batch in module.batches[:3]] == [(2, 4, 1), (2, 4, 1), (2, 2, 1)]
    for first, second in (batch[..., 0] for batch in module.batches):
        # The same places of both.
        assert torch.equal(second, first + 10)
    # What is reported are means over the rows of each.
    np.testing.assert_allclose([terms[1] for terms in epochs], [[4.5, 14.5]] * 80, rtol=1e-6)
    torch.testing.assert_close(
        module.means.detach(), torch.tensor([[4.5], [14.5]]), atol=0.3, rtol=0
    )


# -- around it ------------------------------------------------------------------------


@pytest.mark.parametrize("outside", [torch.no_grad, torch.inference_mode])
def test_training_works_inside_the_callers_no_grad(outside):
    module, rows = Linear(1, 1), torch.arange(10.0)[:, None]
    before = module.weight.detach().clone()
    with outside():
        with training_mode("float32"):
            list(train(module, rows, lambda x, epoch: module(x).square().mean()[None]))
        assert not torch.is_grad_enabled()
    assert not torch.equal(module.weight, before)


def test_a_gradient_that_is_not_finite_makes_the_epochs_terms_nan():
    class Spoiled(Recorder):
        def terms(self, rows, epoch):
            terms = super().terms(rows, epoch)
            self.weight.register_hook(lambda gradient: gradient * np.nan)
            return terms

    module, rows = Spoiled(), torch.arange(10.0)[:, None]
    first, *_ = train(module, rows)
    assert np.isnan(first).all()
