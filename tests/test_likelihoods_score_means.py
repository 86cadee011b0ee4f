"""Means of values whose scores are normal: those of draws, for every kind of column."""

import numpy as np
import pytest
import torch
from marginal_cases import COLUMNS
from scipy.special import ndtri

from skvae import VAETransformer
from skvae.data.column_map import ColumnMap
from skvae.likelihoods import Gaussian
from skvae.likelihoods.score_means import ScoreMeans

MAPS = {name: ColumnMap.of_values(column) for name, column in COLUMNS.items()}
QUANTILES = ndtri((np.arange(20_000) + 0.5) / 20_000)


def means(one, loc, scale):
    """Return the means of one column, with the scale of all rows or of each."""
    loc = torch.as_tensor(loc, dtype=torch.float64)[:, None]
    common = ScoreMeans([one]).with_common_scale(loc, torch.tensor([scale]).double())
    each = ScoreMeans([one]).with_scales(loc, torch.full_like(loc, scale))
    return common[:, 0].numpy(), each[:, 0].numpy()


@pytest.mark.parametrize("scale", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("name", COLUMNS)
def test_they_are_the_means_of_draws(name, scale):
    one, loc = MAPS[name], np.linspace(-2.5, 2.5, 11)
    # A step of the map may be off by the distance of two points of the table.
    low, expected, high = (
        np.array([one.line_at(at + shift + scale * QUANTILES).mean() for at in loc])
        for shift in (-1 / 128, 0.0, 1 / 128)
    )
    common, each = means(one, loc, scale)
    quantile = np.ptp(one.values) / len(QUANTILES) + 1e-9
    assert ((low - quantile <= common) & (common <= high + quantile)).all()
    np.testing.assert_allclose(each, expected, atol=0.05 * np.ptp(one.values))


@pytest.mark.parametrize("name", COLUMNS)
def test_they_are_inside_the_range_and_increase(name):
    one = MAPS[name]
    for found in means(one, np.linspace(-30, 30, 401), 0.5):
        rounding = 1e-9 * np.abs(one.values).max()
        assert (np.diff(found) >= -rounding).all()
        assert found.min() >= one.values[0] - rounding
        assert found.max() <= one.values[-1] + rounding


def test_without_noise_they_are_the_values_and_without_a_map_the_scores():
    loc = torch.linspace(-2, 2, 1001, dtype=torch.float64)[:, None].expand(-1, 2)
    found = ScoreMeans([MAPS["normal"], None]).with_common_scale(loc, torch.zeros(2).double())
    expected = MAPS["normal"].to_values(loc[:, 0].numpy())
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(found[:, 1], loc[:, 1], atol=1e-9)


def test_tables_follow_the_scale():
    of = ScoreMeans([MAPS["skewed"]])
    loc = torch.zeros(1, 1).double()
    small, large, again = (
        of.with_common_scale(loc, torch.tensor([scale]).double()).item()
        for scale in (0.1, 1.0, 0.1)
    )
    assert small == again < large


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("noise", ["per_feature", "isotropic", "heteroscedastic"])
def test_decoded_and_imputed_means_are_those_of_draws(noise):
    rng = np.random.RandomState(0)
    z = rng.standard_normal(500)
    X = np.column_stack([np.exp(z), 10 * np.rint(np.maximum(z, 0)), z]) + 0.0
    X[:, 0] *= np.exp(0.3 * rng.standard_normal(500))
    likelihood = Gaussian(noise, marginals="normal")
    model = VAETransformer(1, likelihood=likelihood, max_iter=20, random_state=0).fit(X)
    draws = model.sample(40_000, random_state=0)
    means = model.sample(40_000, mean=True, random_state=0)
    np.testing.assert_allclose(means.mean(0), draws.mean(0), atol=0.04 * X.std(0).max())
    holes = np.repeat(X[:8], 500, axis=0)
    holes[:, :2] = np.nan
    filled = model.impute(holes).reshape(8, 500, 3)
    drawn = model.impute(holes, sample=True, random_state=0).reshape(8, 500, 3)
    error = drawn.std(1) / np.sqrt(500)
    # The second column is of whole numbers.
    assert (np.abs(filled[:, 0] - drawn.mean(1)) <= 4 * error + [0.02, 0.55, 1e-9]).all()
