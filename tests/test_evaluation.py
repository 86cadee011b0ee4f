"""How a module is evaluated on rows that it is not trained on."""

import copy

import pytest
import torch
from setup_cases import make_setup

from skvae.data import rows as rows_module
from skvae.model.objectives import OBJECTIVES
from skvae.training.evaluation import ended_worse, fixed_draws, mean_terms, squared_residuals


def draws(setup, n_rows):
    generator = setup.streams.generator("held-out draws")
    return fixed_draws(setup.objective, n_rows, 1, generator, setup.rows.device)


@pytest.mark.parametrize(
    ("n_rows", "n_samples", "n_draws"),
    [
        (1, 1, 16),
        (60, 1, 16),
        (60, 2, 16),
        (300, 1, 3),
        (300, 2, 2),
        (9999, 1, 1),
        (9999, 2, 2),
    ],
)
def test_few_held_out_rows_get_more_draws_and_all_get_the_same_again(
    n_rows, n_samples, n_draws
):
    _, setup = make_setup(n_samples=n_samples)
    eps = draws(setup, n_rows)
    assert eps.shape == (n_draws, n_rows, 1)
    assert torch.equal(eps, draws(setup, n_rows))


@pytest.mark.parametrize("bound", OBJECTIVES.values(), ids=OBJECTIVES)
def test_mean_terms_are_those_of_the_rows_whatever_the_blocks(bound, monkeypatch):
    start, setup = make_setup(bound=bound, n_samples=2)
    module, eps = start(setup.rows).train(), draws(setup, 60)
    whole = mean_terms(setup.objective, module, setup.rows, eps)
    assert not module.training
    rows = setup.objective.row_terms(module, setup.rows, eps)
    assert whole == pytest.approx(rows.mean(-1).tolist(), rel=1e-5)
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 7)
    monkeypatch.setattr(rows_module, "BATCH_ELEMENTS", 0)
    assert mean_terms(setup.objective, module, setup.rows, eps) == pytest.approx(
        whole, rel=1e-5
    )


def test_squared_residuals_are_means_over_the_draws():
    start, setup = make_setup()
    module, eps = start(setup.rows).eval(), draws(setup, 60)
    q = module.encoder(setup.rows)
    means = torch.stack([module.decoder(q.mean + q.stddev * e).mean for e in eps])
    expected = (setup.rows - means).square().mean(0)
    torch.testing.assert_close(squared_residuals(module, setup.rows, eps), expected)


@pytest.mark.parametrize(("shift", "worse"), [(0.0, False), (1.0, False), (100.0, True)])
def test_only_what_is_far_worse_than_the_start_has_ended_worse(shift, worse):
    start, setup = make_setup()
    first = start(setup.rows)
    last = copy.deepcopy(first)
    with torch.no_grad():
        last.decoder.body.output.bias += shift * first.decoder.head.noise_variance()[0] ** 0.5
    generator = setup.streams.generator("held-out draws")
    assert ended_worse(setup.objective, first, last, setup.rows, generator) == worse
