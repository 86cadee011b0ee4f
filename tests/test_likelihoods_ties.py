"""Tied scores: probabilities of intervals, exact far from the mean and for narrow ones."""

import math

import numpy as np
import pytest
import torch
from marginal_cases import COLUMNS
from scipy.stats import norm
from torch.distributions import Normal

from skvae.data.column_map import ColumnMap
from skvae.likelihoods.factor_analysis import LinearGaussian
from skvae.likelihoods.ties import TiedNormal, Ties, log_mass

COUNTS = ColumnMap.of_values(COLUMNS["counts"])
NORMAL = ColumnMap.of_values(COLUMNS["normal"])
CAPPED = ColumnMap.of_values(COLUMNS["capped"])
MAPS = [NORMAL, COUNTS, None, CAPPED]


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_the_mass_of_an_interval_is_the_difference_of_the_distribution_function():
    lower, upper = double(-1.0, 0.5, -1e6, 1.0), double(2.0, 0.7, 0.0, 1e6)
    expected = np.log(norm.cdf(upper) - norm.cdf(lower))
    np.testing.assert_allclose(log_mass(lower, upper), expected, rtol=1e-13)


def test_the_mass_of_all_numbers_is_one():
    assert log_mass(double(-1e6), double(1e6)).item() == 0


@pytest.mark.parametrize("centre", [-30.0, -2.0, 0.0, 2.0, 30.0])
def test_the_mass_of_a_narrow_interval_is_density_times_width(centre):
    mass = log_mass(double(centre - 5e-7), double(centre + 5e-7))
    assert mass.item() == pytest.approx(norm.logpdf(centre) + math.log(1e-6), abs=1e-7)


def test_the_mass_far_from_the_mean_is_that_of_the_tail():
    upper = double(-50.0, -1e3, -1e5)
    expected = norm.logcdf(upper)
    np.testing.assert_allclose(log_mass(double(-1e9), upper), expected, rtol=1e-12)
    np.testing.assert_allclose(log_mass(-upper, double(1e9)), expected, rtol=1e-12)


@pytest.mark.parametrize(("lower", "upper"), [(-1.0, 2.0), (0.5, 0.51), (-40, -38), (3, 1e6)])
def test_the_gradient_is_the_derivative(lower, upper):
    ends = double(lower, upper).requires_grad_()
    (gradient,) = torch.autograd.grad(log_mass(ends[0], ends[1]), ends)
    for k in (0, 1):
        step = double(0.0, 0.0)
        step[k] = 1e-6
        high, low = (log_mass(*(ends.detach() + sign * step)).item() for sign in (1, -1))
        assert gradient[k].item() == pytest.approx((high - low) / 2e-6, rel=1e-5, abs=1e-9)


def test_gradients_are_finite_at_the_farthest_ends():
    loc = double(-1e4, -3.0, 0.0, 3.0, 1e4).requires_grad_()
    scale = double(1e-3).requires_grad_()
    for lower, upper in ((-1e6, -1.0), (-1.0, -0.999), (2.0, 1e6), (-1e6, 1e6)):
        mass = log_mass((lower - loc) / scale, (upper - loc) / scale)
        for gradient in torch.autograd.grad(mass.sum(), (loc, scale)):
            assert gradient.isfinite().all()


def test_only_scores_of_tied_values_are_found():
    ties = Ties(MAPS)
    assert ties.columns.tolist() == [1, 3]
    scores = np.zeros((2, 4))
    scores[:, 1] = COUNTS.tied_scores[[0, 3]]
    scores[:, 3] = 0.123, CAPPED.tied_scores[-1]
    found, lower, upper = ties.find(torch.as_tensor(scores))
    assert found.tolist() == [[True, False], [True, True]]
    assert lower[:, 0].tolist() == COUNTS.lower[[0, 3]].tolist()
    assert upper[1, 1] == CAPPED.upper[-1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_scores_are_found_in_the_dtype_of_the_rows(dtype):
    scores = torch.zeros(len(COUNTS.tied), 4, dtype=dtype)
    scores[:, 1] = torch.as_tensor(COUNTS.tied_scores)
    found, lower, _ = Ties(MAPS).find(scores)
    assert found[:, 0].all()
    np.testing.assert_array_equal(lower[:, 0], COUNTS.lower)


def test_leading_axes_of_rows_and_of_the_distribution():
    rng = np.random.RandomState(0)
    scores = torch.zeros(5, 4)
    scores[:, 1] = torch.as_tensor(rng.choice(COUNTS.tied_scores, 5))
    loc = torch.as_tensor(rng.standard_normal((3, 5, 4)), dtype=torch.float32)
    ties, scale = Ties(MAPS), torch.ones(())
    together = TiedNormal(Normal(loc, scale.expand_as(loc)), ties).log_prob(scores)
    for k in range(3):
        alone = TiedNormal(Normal(loc[k], scale.expand_as(loc[k])), ties).log_prob(scores)
        torch.testing.assert_close(together[k], alone)
    several = TiedNormal(Normal(loc, scale.expand_as(loc)), ties)
    assert torch.equal(several.log_prob(scores.expand(3, 5, 4)), together)


def test_the_noise_of_scores_is_larger_by_the_variance_inside_intervals():
    solution = LinearGaussian.from_loadings(np.full((4, 1), 0.5), np.full(4, 0.5))
    added = Ties(MAPS).of_scores(solution).noise_variance - 0.5
    assert added[0] == added[2] == 0
    u = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    for j, one in ((1, COUNTS), (3, CAPPED)):
        around = one.to_scores(one.to_values(u)) - u
        tied = np.isin(one.to_values(u), one.tied)
        assert added[j] == pytest.approx(np.square(around[tied]).sum() / len(u), rel=1e-2)
