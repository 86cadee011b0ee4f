"""How long to train: all epochs, or to the best on held-out rows; the start is a candidate."""

import warnings

import numpy as np
import pytest
import torch
from setup_cases import Scripted, Witness, held_out_loss, make_setup, state

from skvae import VAETransformer
from skvae.likelihoods import LIKELIHOODS
from skvae.model.objectives import OBJECTIVES
from skvae.training import fit
from skvae.training.fit import fit_model
from skvae.training.setup import Stopping
from skvae.training.steps import make_optimizer

each_mode = pytest.mark.parametrize("mode", ["hold_out", "all", "cv"])


def stopping(mode, fraction=0.2, n_iter_no_change=1000, tol=0.0):
    return Stopping(mode, fraction, n_iter_no_change, tol)


def fitted(mode, **changes):
    """Return the result of a training in this mode."""
    start, setup = make_setup(**changes)
    return fit_model(start, setup, stopping(mode))


def rows_of(setup):
    return set(setup.rows[:, 0].tolist())


# -- every mode -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hold_out", "all"])
def test_without_epochs_the_start_is_kept_bit_by_bit(mode):
    start, setup = make_setup(epochs=0)
    result = fit_model(start, setup, stopping(mode))
    assert torch.equal(state(result.module), state(start(setup.rows)))
    assert result.history == {"loss": [], "reconstruction": [], "kl": []}


@each_mode
def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_generators(mode):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second, other = (fitted(mode, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(state(first.module), state(second.module))
    assert not torch.equal(state(first.module), state(other.module))
    assert first.history == second.history
    assert first.best_score == second.best_score
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@each_mode
def test_the_training_rows_are_left_as_they_were(mode):
    start, setup = make_setup()
    before = setup.rows.clone()
    fit_model(start, setup, stopping(mode))
    assert torch.equal(setup.rows, before)


@each_mode
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("bound", OBJECTIVES)
def test_every_likelihood_and_objective_trains(mode, likelihood, bound):
    changes = {"likelihood": LIKELIHOODS[likelihood](), "bound": OBJECTIVES[bound]}
    assert state(fitted(mode, **changes).module).isfinite().all()


def test_rows_of_the_callers_own_are_those_that_are_held_out():
    witness = Witness()
    start, setup = make_setup(epochs=6, bound=witness)
    own = setup.rows[:7] + 100
    result = fit_model(start, setup, stopping("hold_out"), rows_val=own)
    assert witness.trained == [rows_of(setup)]
    assert witness.evaluated == [set(own[:, 0].tolist())]
    assert len(result.history["validation_loss"]) == 6


@pytest.mark.parametrize("mode", ["hold_out", "all"])
def test_a_module_that_is_given_is_trained_further_in_place(mode):
    # A rate at which the training pays, also in the eyes of held-out rows.
    start, setup = make_setup(epochs=40, learning_rate=0.05)
    module = start(setup.rows)
    before, optimizer = state(module), make_optimizer(module, setup.plan)
    result = fit_model(start, setup, stopping(mode), resumed=(module, optimizer))
    assert result.module is module
    assert result.optimizer is optimizer
    assert not torch.equal(state(module), before)


# -- all epochs -----------------------------------------------------------------------


@pytest.mark.parametrize("one_pass", [False, True])
def test_all_epochs_are_done_on_all_rows_and_nothing_is_held_out(one_pass, monkeypatch):
    if not one_pass:
        monkeypatch.setattr(fit, "sampled_loss", lambda *args: 0.0)
        monkeypatch.setattr(fit, "ended_worse", lambda *args: False)
    witness = Witness()
    start, setup = make_setup(epochs=6, bound=witness)
    result = fit_model(start, setup, None if one_pass else stopping("all"))
    assert witness.trained == [rows_of(setup)]
    assert witness.evaluated == [set()]
    assert {name: len(v) for name, v in result.history.items()} == {
        "loss": 6,
        "reconstruction": 6,
        "kl": 6,
    }
    assert result.best_score is None
    assert not result.stopped_early


def test_a_training_that_ends_far_above_its_start_has_worsened():
    assert fitted("all", epochs=6, learning_rate=5.0).worsened
    assert not fitted("all", epochs=100).worsened


# -- the hold-out ---------------------------------------------------------------------


@pytest.mark.parametrize(("fraction", "held"), [(0.1, 6), (0.2, 12), (0.5, 30), (0.9, 54)])
def test_the_part_held_out_is_evaluated_and_never_trained_on(fraction, held):
    witness = Witness()
    start, setup = make_setup(bound=witness)
    fit_model(start, setup, stopping("hold_out", fraction))
    assert len(witness.evaluated[0]) == held
    assert witness.trained[0] == rows_of(setup) - witness.evaluated[0]


def test_the_rows_held_out_are_drawn_by_the_seed_and_stay_when_training_continues():
    drawn = []
    for changes in ({}, {"seed": 1}, {"epochs_before": 7}):
        witness = Witness()
        fitted("hold_out", bound=witness, **changes)
        drawn.append(witness.evaluated[0])
    assert drawn[2] == drawn[0] != drawn[1]


def hold_out(n_iter_no_change=1000, **changes):
    """Evaluate on the first 20 rows; return the result and the losses of start and end."""
    start, setup = make_setup(**changes)
    rows_val = setup.rows[:20]
    result = fit_model(
        start, setup, stopping("hold_out", n_iter_no_change=n_iter_no_change), rows_val
    )
    losses = [held_out_loss(setup, m, rows_val) for m in (start(setup.rows), result.module)]
    return result, *losses


def test_the_state_that_is_best_on_the_held_out_rows_is_restored():
    result, start, end = hold_out(epochs=40, learning_rate=0.05)
    assert -result.best_score == end == min(start, *result.history["validation_loss"])
    assert end < start


@pytest.mark.parametrize("learning_rate", [1e3, 1e12, 1e30])
def test_the_start_is_kept_when_training_only_harms(learning_rate):
    result, start, end = hold_out(learning_rate=learning_rate)
    assert -result.best_score == start == end


def test_training_ends_after_so_many_epochs_without_improvement():
    result, _, _ = hold_out(epochs=50, learning_rate=0.5, n_iter_no_change=3)
    assert result.stopped_early
    assert len(result.history["loss"]) == len(result.history["validation_loss"]) == 3


def test_a_training_to_its_last_epoch_did_not_stop_early():
    result, _, _ = hold_out(epochs=6)
    assert not result.stopped_early
    assert len(result.history["loss"]) == 6


@pytest.mark.parametrize(("n", "fraction"), [(4, 0.1), (3, 0.9), (2, 0.5), (60, 0.001)])
def test_too_few_rows_to_hold_out_say_what_to_change(n, fraction):
    held = round(fraction * n)
    message = f"validation_fraction={fraction} of {n} rows leaves {held} to .* {n - held} to"
    start, setup = make_setup(np.eye(n, 5))
    with pytest.raises(ValueError, match=message) as error:
        fit_model(start, setup, stopping("hold_out", fraction))
    assert "early_stopping='cv' or False" in str(error.value)


# -- the warm-up ----------------------------------------------------------------------


def scripted(losses, kl_warmup, n_iter_no_change=1000, epochs_before=0):
    """Train with these held-out losses, from that of the start on."""
    start, setup = make_setup(
        epochs=len(losses) - 1,
        batch_size=60,
        bound=Scripted(losses),
        kl_warmup=kl_warmup,
        epochs_before=epochs_before,
    )
    mode = stopping("hold_out", n_iter_no_change=n_iter_no_change)
    return fit_model(start, setup, mode, rows_val=setup.rows[:20])


@pytest.mark.parametrize("kl_warmup", [0, 3, 10])
@pytest.mark.parametrize("n_iter_no_change", [1, 4])
def test_stopping_counts_from_the_end_of_the_warm_up(kl_warmup, n_iter_no_change):
    result = scripted(np.arange(31), kl_warmup, n_iter_no_change)
    assert result.stopped_early
    assert len(result.history["loss"]) == kl_warmup + n_iter_no_change


@pytest.mark.parametrize("epochs_before", [0, 2])
def test_no_state_of_the_warm_up_is_kept(epochs_before):
    losses = [9, 9, 9, 9, 1, 9, 9, 5, 9, 9, 9]
    rest = losses[:1] + losses[1 + epochs_before :]
    assert scripted(rest, kl_warmup=5, epochs_before=epochs_before).best_score == -5


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_does_not_stop_in_its_warm_up(iris):
    vae = VAETransformer(max_iter=60, kl_warmup=40, n_iter_no_change=1, tol=1e3)
    vae.set_params(early_stopping=True, random_state=0).fit(iris)
    assert vae.n_iter_ == 41


# -- the start that was kept ----------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "kl_warmup", "kept_start"),
    [
        ([1, 5, 50], 0, True),
        ([1, 5, 5], 0, False),  # little was lost
        ([1, 0.5, 50], 0, False),  # an epoch was better
        ([1, 5, 50], 2, False),  # no epoch was a candidate
    ],
)
def test_a_start_that_is_kept_is_told_of_where_much_was_lost(losses, kl_warmup, kept_start):
    X = np.tile(np.random.RandomState(0).standard_normal((100, 5)), (10, 1))
    start, setup = make_setup(
        X, epochs=2, batch_size=1000, bound=Scripted(losses), kl_warmup=kl_warmup
    )
    result = fit_model(start, setup, stopping("hold_out"), rows_val=setup.rows[:200])
    assert result.kept_start == kept_start


# -- without a word -------------------------------------------------------------------


@each_mode
def test_nothing_is_printed_or_warned_of(mode, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(mode)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("learning_rate", [3e-3, 5.0])
def test_held_out_rows_do_not_start_the_training_but_a_start_that_is_kept(learning_rate):
    start, setup = make_setup(epochs=60, learning_rate=learning_rate)
    given = []

    def noting(rows):
        given.append(len(rows))
        return start(rows)

    result = fit_model(noting, setup, stopping("hold_out", fraction=0.2))
    kept_start = learning_rate == 5.0
    assert given == ([48, 60] if kept_start else [48])
    assert torch.equal(state(result.module), state(start(setup.rows))) == kept_start
