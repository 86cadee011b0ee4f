"""What is trained: draws, histories, convergence."""

import numpy as np
import pytest
import torch
from recipe_cases import make_recipe, started

from skvae.model.objectives import OBJECTIVES
from skvae.training.recipe import Outcome, record, run_epochs

each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


@each_objective
@pytest.mark.parametrize("n_samples", [1, 3])
def test_the_training_loss_is_minus_the_mean_bound_with_its_parts(objective, n_samples):
    recipe = make_recipe(objective=objective, n_samples=n_samples)
    module = started(recipe)
    terms = recipe.loss_terms(module, stream=2)(recipe.rows, 0)
    generator = recipe.generator(2)
    eps = torch.randn(n_samples, 30, 2, generator=generator)
    value, reconstruction, kl = objective(module, recipe.rows, eps, n_samples)
    expected = torch.stack([-value.mean(), reconstruction.mean(), kl.mean()])
    torch.testing.assert_close(terms, expected)


def test_each_step_has_its_own_draws():
    recipe = make_recipe()
    terms = recipe.loss_terms(started(recipe), stream=2)
    assert not torch.equal(terms(recipe.rows, 0), terms(recipe.rows, 0))


def test_streams_repeat_and_differ():
    recipe = make_recipe()
    first, again, other = (
        torch.randn(5, generator=recipe.generator(stream)) for stream in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_epochs_are_recorded_as_they_go_by():
    recipe = make_recipe()
    outcome = Outcome(started(recipe))
    for done, _ in enumerate(run_epochs(recipe, outcome), start=1):
        assert {name: len(values) for name, values in outcome.history.items()} == {
            "loss": done,
            "reconstruction": done,
            "kl": done,
        }
    assert done == 3
    history = {name: np.array(values) for name, values in outcome.history.items()}
    difference = history["kl"] - history["reconstruction"]
    np.testing.assert_allclose(history["loss"], difference, rtol=1e-5)


def test_epochs_can_be_ended_from_outside():
    recipe = make_recipe()
    outcome = Outcome(started(recipe))
    for _ in run_epochs(recipe, outcome):
        break
    assert len(outcome.history["loss"]) == 1


def test_record_adds_a_prefix_and_keeps_plain_floats():
    history = {}
    record(history, torch.tensor([1.0, 2.0, 3.0]), "validation_")
    record(history, [4, 5, 6], "validation_")
    assert history == {
        "validation_loss": [1.0, 4.0],
        "validation_reconstruction": [2.0, 5.0],
        "validation_kl": [3.0, 6.0],
    }
    assert all(type(v) is float for values in history.values() for v in values)


def outcome_with(loss, stopped_early=False):
    outcome = Outcome(module=None, stopped_early=stopped_early)
    outcome.history["loss"] = list(loss)
    return outcome


@pytest.mark.parametrize(
    ("loss", "converged"),
    [
        (np.linspace(5, 1, 50), False),
        (np.exp(-np.arange(50.0)), True),
        (np.r_[np.linspace(5, 1, 50), np.ones(20)], True),
        ([], True),
        ([3.0], False),
    ],
)
def test_a_training_has_converged_when_its_last_tenth_gained_little(loss, converged):
    assert outcome_with(loss).converged == converged


def test_a_training_that_stopped_early_has_converged():
    assert outcome_with(np.linspace(5, 1, 50), stopped_early=True).converged


def test_histories_get_the_jacobian_where_a_density_is():
    outcome = outcome_with([1.0, 2.0])
    outcome.history |= {"reconstruction": [-1.5, -2.5], "kl": [0.5, 0.5]}
    outcome.history["validation_loss"] = [3.0, 4.0]
    history = outcome.history_in_data_units(10.0)
    expected = {
        "loss": [-9.0, -8.0],
        "reconstruction": [8.5, 7.5],
        "kl": [0.5, 0.5],
        "validation_loss": [-7.0, -6.0],
    }
    assert {name: values.tolist() for name, values in history.items()} == expected


def test_outcomes_do_not_share_a_history():
    first, second = Outcome(None), Outcome(None)
    record(first.history, [1, 2, 3])
    assert second.history["loss"] == []
