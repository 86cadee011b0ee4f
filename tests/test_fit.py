"""How long to train: hold-out, cross-validation or all epochs; the start is a candidate."""

from functools import partial

import numpy as np
import pytest
import torch

from skvae import fitting
from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.model.modules import build_vae, start_affine
from skvae.model.objectives import OBJECTIVES, elbo
from skvae.networks import MLP
from skvae.posteriors import Diagonal
from skvae.training.evaluation import held_out_draws, mean_terms
from skvae.training.fit import Stopping, epoch_printer, fit_all, fit_hold_out, fit_in_mode
from skvae.training.loop import FEW_ROWS, Plan
from skvae.training.recipe import Outcome, Recipe

MODES = [True, False, "cv", "auto"]
each_mode = pytest.mark.parametrize("mode", MODES)


class Witness:
    """An objective that notes the rows of training and of judging."""

    def __init__(self):
        self.trained, self.judged = set(), set()

    def __call__(self, module, x, eps, n_samples, beta):
        (self.trained if module.training else self.judged).update(x[:, 0].tolist())
        return elbo(module, x, eps)


def data(n, noise=0.05):
    """A curve in five columns, with noise."""
    rng = np.random.RandomState(0)
    t = rng.uniform(-2, 2, n)
    return np.c_[t, t**2, np.sin(2 * t), t, -t] + noise * rng.standard_normal((n, 5))


def make_recipe(n=60, epochs=6, learning_rate=3e-3, seed=0, likelihood=None, **changes):
    likelihood = Gaussian() if likelihood is None else likelihood
    unbounded = likelihood.support[0] == -np.inf
    X = data(n) if unbounded else (data(n) > 0).astype(float)
    units = likelihood.units(X)
    rows = torch.as_tensor(units.to_model(X, np.float32))

    def start(rows, seed):
        parts = (MLP((8,)), likelihood, Diagonal())
        generator = torch.Generator().manual_seed(seed)
        vae = build_vae(*parts, rows, units, 1, None, generator)
        start_affine(vae, likelihood.linear_start(rows, 1, units))
        return vae

    plan = Plan(epochs, min(32, n), learning_rate, 0.01)
    fields = {"objective": elbo, "n_samples": 1} | changes
    return Recipe(start=start, plan=plan, rows=rows, seed=seed, **fields)


def stopping(mode, fraction=0.2, patience=1000, tol=0.0):
    return Stopping(mode, fraction, patience, tol)


def started(recipe):
    return recipe.start(recipe.rows, recipe.seed)


def state(module):
    return torch.cat([value.double().ravel() for value in module.state_dict().values()])


def rows_of(recipe):
    return set(recipe.rows[:, 0].tolist())


# -- every mode -----------------------------------------------------------------------


@each_mode
def test_without_epochs_the_start_is_kept_bit_by_bit(mode):
    recipe = make_recipe(epochs=0)
    outcome = fit_in_mode(recipe, stopping(mode))
    assert torch.equal(state(outcome.module), state(started(recipe)))
    assert outcome.history == {"loss": [], "reconstruction": [], "kl": []}


@each_mode
def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_generators(mode):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (fit_in_mode(make_recipe(), stopping(mode)) for _ in range(2))
    assert torch.equal(state(first.module), state(second.module))
    assert first.history == second.history
    assert first.best_score == second.best_score
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@each_mode
def test_another_seed_gives_another_model(mode):
    first, other = (fit_in_mode(make_recipe(seed=s), stopping(mode)).module for s in (0, 1))
    assert not torch.equal(state(first), state(other))


@each_mode
def test_the_training_rows_are_left_as_they_were(mode):
    recipe = make_recipe()
    before = recipe.rows.clone()
    fit_in_mode(recipe, stopping(mode))
    assert torch.equal(recipe.rows, before)


@each_mode
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_likelihood_and_objective_trains(mode, likelihood, objective):
    recipe = make_recipe(
        epochs=3, likelihood=LIKELIHOODS[likelihood](), objective=OBJECTIVES[objective]
    )
    outcome = fit_in_mode(recipe, stopping(mode))
    assert state(outcome.module).isfinite().all()


@each_mode
def test_each_epoch_of_the_final_training_is_reported_once(mode):
    reports = []

    def report(history):
        reports.append({name: len(values) for name, values in history.items()})

    outcome = fit_in_mode(make_recipe(report=report), stopping(mode))
    epochs = len(outcome.history["loss"])
    assert [counts["loss"] for counts in reports] == list(range(1, epochs + 1))
    # What is reported is complete: held-out terms too, where there are some.
    assert all(len(set(counts.values())) == 1 for counts in reports)


@each_mode
def test_rows_of_the_callers_own_take_precedence(mode):
    witness = Witness()
    recipe = make_recipe(objective=witness)
    own = recipe.rows[:7] + 100
    outcome = fit_in_mode(recipe, stopping(mode), rows_val=own)
    assert witness.trained == rows_of(recipe)
    assert witness.judged == set(own[:, 0].tolist())
    assert len(outcome.history["validation_loss"]) == 6


# -- all epochs -----------------------------------------------------------------------


@pytest.fixture
def _no_look_back(monkeypatch):
    """Leave out the comparison of the trained model with its start."""
    monkeypatch.setattr(fitting, "has_worsened", lambda *models: False)


@pytest.mark.usefixtures("_no_look_back")
def test_all_epochs_are_done_on_all_rows_and_nothing_is_held_out():
    witness = Witness()
    recipe = make_recipe(objective=witness)
    outcome = fit_in_mode(recipe, stopping(False))
    assert witness.trained == rows_of(recipe)
    assert not witness.judged
    assert set(outcome.history) == {"loss", "reconstruction", "kl"}
    assert len(outcome.history["loss"]) == 6
    assert outcome.best_score is None
    assert not outcome.stopped_early


@each_mode
def test_a_module_that_is_given_is_trained_further_in_place(mode):
    # A rate at which the training pays, also in the eyes of held-out rows.
    recipe = make_recipe(epochs=40, learning_rate=0.05)
    module = started(recipe)
    before = state(module)
    outcome = fit_in_mode(recipe, stopping(mode), module=module)
    assert outcome.module is module
    assert not torch.equal(state(module), before)


@pytest.mark.usefixtures("_no_look_back")
def test_cross_validation_would_judge_rows_that_a_given_module_has_seen():
    witness = Witness()
    recipe = make_recipe(objective=witness)
    outcome = fit_in_mode(recipe, stopping("cv"), module=started(recipe))
    assert not witness.judged
    assert len(outcome.history["loss"]) == 6


# -- the hold-out ---------------------------------------------------------------------


@pytest.mark.parametrize(("fraction", "held"), [(0.1, 6), (0.2, 12), (0.5, 30), (0.9, 54)])
def test_the_part_held_out_is_judged_and_never_trained_on(fraction, held):
    witness = Witness()
    recipe = make_recipe(objective=witness)
    fit_in_mode(recipe, stopping(True, fraction))
    assert len(witness.judged) == held
    assert witness.trained == rows_of(recipe) - witness.judged


def test_the_rows_held_out_are_drawn_by_the_seed():
    drawn = []
    for seed in (0, 0, 1):
        witness = Witness()
        fit_in_mode(make_recipe(seed=seed, objective=witness), stopping(True))
        drawn.append(witness.judged)
    assert drawn[0] == drawn[1] != drawn[2]


def hold_out(recipe, **changes):
    """Hold the last 20 rows out; return the outcome and the scores of start and end."""
    indices, rows_val = torch.arange(40), recipe.rows[40:]
    eps = held_out_draws(recipe, 20, 1)

    def score(module):
        return -mean_terms(recipe, module, rows_val, eps)[0]

    outcome = fit_hold_out(recipe, indices, rows_val, stopping(True, **changes))
    return outcome, score(started(recipe)), score(outcome.module)


def test_the_state_that_is_best_on_the_held_out_rows_is_restored():
    outcome, start, end = hold_out(make_recipe(epochs=40, learning_rate=0.05))
    scores = [-loss for loss in outcome.history["validation_loss"]]
    assert outcome.best_score == end == max(start, *scores)
    assert end > start


@pytest.mark.parametrize("learning_rate", [1e3, 1e12, 1e30])
def test_the_start_is_kept_when_training_only_harms(learning_rate):
    recipe = make_recipe(learning_rate=learning_rate)
    outcome, start, _ = hold_out(recipe)
    assert torch.equal(state(outcome.module), state(started(recipe)))
    assert outcome.best_score == start


def test_training_ends_when_the_patience_is_spent():
    outcome, _, _ = hold_out(make_recipe(epochs=50, learning_rate=0.5), patience=3)
    assert outcome.stopped_early
    assert len(outcome.history["loss"]) == len(outcome.history["validation_loss"]) == 3


def test_a_training_to_its_last_epoch_did_not_stop_early():
    outcome, _, _ = hold_out(make_recipe())
    assert not outcome.stopped_early
    assert len(outcome.history["loss"]) == 6


@pytest.mark.parametrize(("n", "fraction"), [(4, 0.1), (3, 0.9), (2, 0.5), (60, 0.001)])
def test_too_few_rows_to_hold_out_say_what_to_change(n, fraction):
    held = round(fraction * n)
    message = f"validation_fraction={fraction} of {n} rows leaves {held} to .* {n - held} to"
    with pytest.raises(ValueError, match=message) as error:
        fit_in_mode(make_recipe(n), stopping(True, fraction))
    assert "early_stopping='cv' or False" in str(error.value)


# -- which one ------------------------------------------------------------------------


@pytest.mark.usefixtures("_no_look_back")
@pytest.mark.parametrize(
    ("n", "mode", "expected"),
    [
        (FEW_ROWS - 1, "auto", "fit_cross_validated"),
        (FEW_ROWS, "auto", "fit_hold_out"),
        (FEW_ROWS, "cv", "fit_cross_validated"),
        (FEW_ROWS - 1, True, "fit_hold_out"),
        (FEW_ROWS, False, "fit_all"),
    ],
)
def test_the_number_of_rows_decides_in_automatic_mode_only(n, mode, expected, monkeypatch):
    called = []

    def note(recipe, *_, name):
        called.append(name)
        return Outcome(started(recipe))

    for name in ("fit_cross_validated", "fit_hold_out", "fit_all"):
        monkeypatch.setattr(fitting, name, partial(note, name=name))
    fit_in_mode(make_recipe(n), stopping(mode))
    assert called == [expected]


def test_cross_validation_has_no_more_folds_than_rows(monkeypatch):
    splits = []
    monkeypatch.setattr(fitting, "fit_cross_validated", lambda _, n: splits.append(n))
    for n in (2, 4, 60):
        fit_in_mode(make_recipe(n), stopping("cv"))
    assert splits == [2, 4, 5]


# -- in words -------------------------------------------------------------------------


def test_progress_is_one_line_an_epoch_in_the_units_of_the_data(capsys):
    report = epoch_printer(log_jacobian=10.0)
    report({"loss": [5.0], "kl": [1.0]})
    report({"loss": [5.0, 4.0], "validation_loss": [7.0, 6.0]})
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1, loss = -5.0000",
        "Epoch 2, loss = -6.0000, validation_loss = -4.0000",
    ]


def test_nothing_is_printed_unless_asked_for(capsys):
    fit_all(make_recipe())
    assert capsys.readouterr().out == ""


def test_what_continues_holds_out_the_same_rows():
    first, second = Witness(), Witness()
    fit_in_mode(make_recipe(objective=first), stopping(True))
    fit_in_mode(make_recipe(objective=second, epochs_before=7), stopping(True))
    assert second.judged == first.judged
