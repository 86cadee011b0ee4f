"""The training loop: every row once an epoch, one list of numbers, a best state."""

from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from skvae.training.loop import Plan, make_optimizer, train


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def plan(**changes):
    defaults = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "weight_decay": 0.0}
    return Plan(**(defaults | changes))


class Recorder(nn.Module):
    """A module whose loss is the mean of the rows' first column; it notes its batches."""

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


def record(n=10, seed=0, indices=None, **changes):
    """Train a recorder; return it and what the iteration gave."""
    module, rows = Recorder(), torch.arange(float(n))[:, None]
    terms = train(module, module.terms, rows, plan(**changes), generator(seed), indices=indices)
    return module, list(terms)


def epochs_of(module, per_epoch):
    """Rows of each epoch in their order."""
    chunks = range(0, len(module.batches), per_epoch)
    return [list(chain(*module.batches[i : i + per_epoch])) for i in chunks]


# -- the plan -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "size", "epochs"),
    # 800 or 6000 steps, in 10 to 200 epochs.
    [
        (2, 2, 400),
        (100, 64, 400),
        (999, 64, 50),
        (1000, 128, 200),
        (60_000, 128, 12),
        (10**7, 128, 10),
    ],
)
def test_the_automatic_plan_is_a_number_of_steps(n_rows, size, epochs):
    automatic = Plan.for_rows(n_rows, "auto", "auto", 0.1, 0.2)
    assert automatic == Plan(epochs, size, 0.1, 0.2)


def test_a_plan_keeps_the_numbers_given():
    assert Plan.for_rows(5000, 32, 7, 0.1, 0.2) == Plan(7, 32, 0.1, 0.2)
    assert Plan.for_rows(5000, "auto", 0, 0.1, 0.2).epochs == 0


def test_a_batch_is_no_larger_than_the_rows():
    assert Plan.for_rows(10, 64, 7, 0.1, 0.2).batch_size == 10


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
    epochs = train(module, module.terms, rows, plan(), generator())
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
    first, second, _ = train(module, module.terms, rows, plan(), generator(), on_step=on_step)
    assert told == [(1, 3), (2, 3), (1, 3), (2, 3), (1, 3), (2, 3), (3, 3)]
    # The means are those of the rows that were visited.
    for terms, batches in ((first, module.batches[:2]), (second, module.batches[2:4])):
        assert terms[0] == pytest.approx(np.mean(list(chain(*batches))))
        assert terms[2] == pytest.approx(1)


def test_no_epochs_give_nothing():
    module, terms = record(epochs=0)
    assert terms == []
    assert module.batches == []


def test_every_epoch_is_in_training_mode_even_after_an_evaluation():
    module, rows = Recorder(), torch.arange(10.0)[:, None]
    for _ in train(module, module.terms, rows, plan(), generator()):
        module.eval()
    assert all(module.modes)


@pytest.mark.parametrize("one_cycle", [True, False])
def test_the_loop_solves_a_linear_regression(one_cycle):
    X = torch.randn(200, 2, generator=generator())
    y = X @ torch.tensor([[2.0], [-3.0]]) + 0.5
    module, rows = nn.Linear(2, 1), torch.cat([X, y], dim=1)

    def terms(rows, epoch):
        return (module(rows[:, :2]) - rows[:, 2:]).square().mean()[None]

    losses = list(
        train(
            module,
            terms,
            rows,
            plan(epochs=60, batch_size=32, learning_rate=0.1, one_cycle=one_cycle),
            generator(),
        )
    )
    # Without noise in y nothing but the rate keeps it from the exact solution.
    assert losses[-1][0] < 1e-3 * losses[0][0]
    torch.testing.assert_close(module.weight, torch.tensor([[2.0, -3.0]]), atol=0.02, rtol=0)
    torch.testing.assert_close(module.bias, torch.tensor([0.5]), atol=0.02, rtol=0)


def rates(n=10, **changes):
    """Return the learning rate at each step."""
    module, rows, seen = Recorder(), torch.arange(float(n))[:, None], []
    optimizer = make_optimizer(module, plan(**changes))

    def terms(batch, epoch):
        seen.append(optimizer.param_groups[0]["lr"])
        return module.terms(batch, epoch)

    list(train(module, terms, rows, plan(**changes), generator(), optimizer=optimizer))
    return np.array(seen)


@pytest.mark.parametrize("epochs", range(1, 13))
@pytest.mark.parametrize("n", [4, 8])
def test_one_cycle_works_for_any_number_of_steps_and_never_exceeds_the_rate(n, epochs):
    seen = rates(n, epochs=epochs, learning_rate=0.5)
    assert len(seen) == epochs * n // 4
    assert (seen > 0).all()
    assert (seen <= 0.5).all()


def test_one_cycle_rises_for_a_fifth_of_the_steps_and_falls_to_nothing():
    seen = rates(10, epochs=20, learning_rate=0.5)
    top = seen.argmax()
    assert top == pytest.approx(0.2 * 60, abs=1)
    assert seen[top] == pytest.approx(0.5, rel=1e-2)
    assert (np.diff(seen[:top]) > 0).all()
    assert (np.diff(seen[top:]) < 0).all()
    assert seen[0] < 0.1 * 0.5
    assert seen[-1] < 0.01 * 0.5


def test_without_one_cycle_the_rate_stays():
    np.testing.assert_array_equal(rates(one_cycle=False, learning_rate=0.5), 0.5)


def test_an_optimizer_that_is_passed_in_continues():
    module, rows = Recorder(), torch.arange(10.0)[:, None]
    constant = plan(one_cycle=False)
    optimizer = make_optimizer(module, constant)
    for calls in (1, 2):
        list(train(module, module.terms, rows, constant, generator(), optimizer=optimizer))
        assert optimizer.state[module.weight]["step"] == calls * 9


def test_the_same_seeds_give_the_same_bits_and_the_global_generator_stays():
    state, results = torch.get_rng_state(), []
    rows = torch.randn(50, 3, generator=generator())
    for _ in range(2):
        module = nn.Linear(3, 3)
        with torch.no_grad():
            module.weight.copy_(torch.eye(3))
            module.bias.zero_()
        torch.set_rng_state(state)

        def terms(rows, epoch, module=module):
            return (module(rows) - rows.flip(1)).square().mean()[None]

        list(train(module, terms, rows, plan(), generator(5)))
        results.append(module.weight.detach().clone())
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*results)
