"""How held-out rows judge a module."""

import pytest
import torch
from recipe_cases import make_recipe, started

from skvae.data import rows as rows_module
from skvae.model.objectives import OBJECTIVES
from skvae.training.evaluation import held_out_draws, held_out_terms, mean_terms

each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


@pytest.mark.parametrize(
    ("n_rows", "n_draws"), [(1, 16), (60, 16), (300, 3), (1000, 1), (9999, 1)]
)
def test_few_held_out_rows_get_more_draws_and_all_get_the_same_again(n_rows, n_draws):
    recipe = make_recipe()
    eps = held_out_draws(recipe, n_rows, 2)
    assert eps.shape == (n_draws, n_rows, 2)
    assert torch.equal(eps, held_out_draws(recipe, n_rows, 2))


@each_objective
def test_held_out_terms_do_not_depend_on_the_blocks(objective, monkeypatch):
    recipe = make_recipe()
    module, eps = started(recipe), held_out_draws(recipe, 30, 2)
    whole = held_out_terms(recipe, module, recipe.rows, eps)
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 7)
    monkeypatch.setattr(rows_module, "BATCH_ELEMENTS", 0)
    torch.testing.assert_close(held_out_terms(recipe, module, recipe.rows, eps), whole)
    assert whole.shape == (30, 3)
    mean = mean_terms(recipe, module, recipe.rows, eps)
    assert mean == pytest.approx(whole.mean(0).tolist(), rel=1e-5)


def test_judging_needs_no_gradient_and_puts_the_module_into_evaluation():
    recipe = make_recipe()
    module = started(recipe).train()
    terms = held_out_terms(recipe, module, recipe.rows, held_out_draws(recipe, 30, 2))
    assert not terms.requires_grad
    assert not module.training
