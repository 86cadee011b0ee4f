"""How a module is evaluated on rows that it is not trained on."""

import numpy as np
import pytest
import torch
from setup_cases import make_setup

from skvae.data import rows as rows_module
from skvae.data.units import Units
from skvae.likelihoods import Gaussian
from skvae.model.objectives import OBJECTIVES
from skvae.training.evaluation import (
    bounded_residuals,
    ended_worse,
    fixed_draws,
    held_out_noise,
    mean_terms,
    sampled_loss,
    terms_and_residuals,
)


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
    eps = fixed_draws(setup, n_rows, 1)
    assert eps.shape == (n_draws, n_rows, 1)
    assert torch.equal(eps, fixed_draws(setup, n_rows, 1))


@pytest.mark.parametrize("bound", OBJECTIVES.values(), ids=OBJECTIVES)
def test_mean_terms_are_those_of_the_rows_whatever_the_blocks(bound, monkeypatch):
    start, setup = make_setup(bound=bound, n_samples=2)
    module, eps = start(setup.rows).train(), fixed_draws(setup, 60, 1)
    whole = mean_terms(setup, module, setup.rows, eps)
    assert not module.training
    rows = setup.objective.row_terms(module, setup.rows, eps)
    assert whole == pytest.approx(rows.mean(-1).tolist(), rel=1e-5)
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 7)
    monkeypatch.setattr(rows_module, "BATCH_ELEMENTS", 0)
    assert mean_terms(setup, module, setup.rows, eps) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("n_draws", [1, 16])
@pytest.mark.parametrize("bound", OBJECTIVES.values(), ids=OBJECTIVES)
def test_residuals_are_means_over_the_draws_beside_the_terms(bound, n_draws):
    start, setup = make_setup(bound=bound)
    module, eps = start(setup.rows).eval(), fixed_draws(setup, 60, 1)[:n_draws]
    q = module.encoder(setup.rows)
    means = torch.stack([module.decoder(q.mean + q.stddev * e).mean for e in eps])
    expected = (setup.rows - means).square().mean(0)
    found = terms_and_residuals(setup.objective, module, setup.rows, eps)
    torch.testing.assert_close(found[:, 3:], expected)
    terms = setup.objective.row_terms(module, setup.rows, eps)
    torch.testing.assert_close(found[:, :3], terms.T)


@pytest.mark.parametrize(("shift", "worse"), [(0.0, False), (1.0, False), (100.0, True)])
def test_only_what_is_far_worse_than_the_start_has_ended_worse(shift, worse):
    start, setup = make_setup()
    module = start(setup.rows)
    start_loss = sampled_loss(setup, module)
    with torch.no_grad():
        noise = module.decoder.head.noise_variance()[0]
        module.decoder.body.output.bias += shift * noise**0.5
    assert ended_worse(setup, start_loss, module) == worse


# -- the noise that held-out rows show ----------------------------------------------------


def residual_table(scales, n_rows, seed, n_folds=5):
    """Return squared residuals (n_rows, n_features), their sums by folds, sizes and counts."""
    rng = np.random.RandomState(seed)
    rows = torch.as_tensor((rng.standard_normal((n_rows, len(scales))) * scales) ** 2)
    folds = rows.chunk(n_folds)
    sizes = torch.tensor([len(fold) for fold in folds], dtype=torch.float64)
    return rows, torch.stack([fold.sum(0) for fold in folds]), sizes, sizes[:, None]


def noise_head(noise, n_features):
    return Gaussian(noise).head(Units.identity(n_features))


@pytest.mark.parametrize("n_rows", [15, 998])
def test_noises_that_differ_clearly_are_each_features_own(n_rows):
    rows, *folds = residual_table([0.01, 1.0, 100.0], n_rows=n_rows, seed=0)
    noise = held_out_noise(noise_head("per_feature", 3), *folds)
    torch.testing.assert_close(noise, rows.mean(0))


def test_a_noise_is_the_mean_over_the_values_that_are_there():
    rows, sums, sizes, _ = residual_table([0.01, 1.0, 100.0], n_rows=15, seed=0)
    there = torch.ones(15, 3, dtype=torch.float64)
    there[:, 1], there[::2, 2] = 0.0, 0.0
    sums = torch.stack([fold.sum(0) for fold in (rows * there).chunk(5)])
    counts = torch.stack([fold.sum(0) for fold in there.chunk(5)])
    noise = held_out_noise(noise_head("per_feature", 3), sums, sizes, counts)
    # Of the second nothing is known; 1 is its variance in model units.
    expected = torch.tensor([rows[:, 0].mean(), 1.0, rows[1::2, 2].mean()])
    torch.testing.assert_close(noise, expected.double())


def test_many_rows_are_hardly_drawn_together():
    rows, *folds = residual_table(np.ones(3), n_rows=1500, seed=0)
    noise = held_out_noise(noise_head("per_feature", 3), *folds)
    # At most a hundredth of the way: 15 of 1500 rows.
    span = rows.mean(0).log().max() - rows.mean(0).log().min()
    assert (noise.log() - rows.mean(0).log()).abs().max() <= 0.01 * span


def test_noises_that_few_rows_cannot_tell_apart_are_drawn_together():
    own, drawn = [], []
    for seed in range(30):
        rows, *folds = residual_table(np.ones(8), n_rows=10, seed=seed)
        own.append(rows.mean(0).log().std())
        drawn.append(held_out_noise(noise_head("per_feature", 8), *folds).log().std())
    # All are one in truth. No table may be made worse, most are made better.
    assert all(ours <= theirs + 1e-12 for ours, theirs in zip(drawn, own, strict=True))
    assert np.mean(drawn) < 0.5 * np.mean(own)


def test_one_row_far_from_all_others_is_not_the_noise():
    _, sums, _, counts = residual_table(np.ones(3), n_rows=500, seed=0)
    start_noise = torch.full((3,), 0.5, dtype=torch.float64)
    torch.testing.assert_close(bounded_residuals(sums, counts, start_noise), sums)
    far = sums.clone()
    far[1] += 1e6
    bounded = bounded_residuals(far, counts, start_noise)
    assert (bounded.sum(0) <= 3 * sums.sum(0)).all()
    # Where most folds have no residual, as in a nearly constant column, the start has a noise.
    rare = torch.zeros_like(sums)
    rare[1] = counts[1] * 4.0
    torch.testing.assert_close(bounded_residuals(rare, counts, start_noise), rare)


def test_an_isotropic_noise_is_the_mean_of_the_residuals():
    # There is nothing to draw together: one noise for all is the likeliest at the mean.
    for seed in range(20):
        rows, *folds = residual_table(np.ones(5), n_rows=10, seed=seed)
        head = noise_head("isotropic", 5)
        head.set_noise(held_out_noise(head, *folds).float())
        np.testing.assert_allclose(head.noise_variance(), rows.mean(), rtol=1e-5)
