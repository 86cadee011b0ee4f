"""The map of a column: monotone, exact at ties, with the column's own marginal."""

import numpy as np
import pytest
import torch
from marginal_cases import COLUMNS, DISCRETE
from scipy.integrate import quad
from scipy.special import ndtr, ndtri
from torch.distributions import Normal

from skvae.data.column_map import ColumnMap
from skvae.likelihoods.ties import TiedNormal, Ties

each_column = pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
discrete = pytest.mark.parametrize("name", DISCRETE)


def even_draws(n=100_000):
    """Return the quantiles of a normal variable: draws without their error."""
    return ndtri((np.arange(n) + 0.5) / n)


def largest_distance(x, column):
    """Return the Kolmogorov-Smirnov distance."""
    points = np.unique(np.concatenate([x, column]))
    first, second = (np.searchsorted(np.sort(v), points, "right") / len(v) for v in (x, column))
    return np.abs(first - second).max()


@each_column
def test_scores_increase_with_the_values(column):
    one = ColumnMap.of_values(column)
    assert one.is_valid
    assert (np.diff(one.to_scores(np.unique(column))) > 0).all()


@each_column
def test_values_come_back(column):
    one = ColumnMap.of_values(column)
    back = one.to_values(one.to_scores(column))
    ties = np.isin(column, one.tied)
    np.testing.assert_array_equal(back[ties], column[ties])
    # Slopes differ by orders of magnitude between the pieces of a heavy-tailed column.
    np.testing.assert_allclose(back, column, rtol=1e-9, atol=1e-12 * np.ptp(column))


@each_column
def test_draws_have_the_marginal_of_the_column(column):
    x = ColumnMap.of_values(column).to_values(even_draws())
    # The line is straight inside a piece. There are four times the cube root of n pieces, and
    # each has ten values.
    n = len(column)
    assert largest_distance(x, column) < 0.25 / n ** (1 / 3) + 10 / n
    assert x.min() >= column.min()
    assert x.max() <= column.max()


@discrete
def test_draws_of_tied_values_have_their_frequencies(name):
    column = COLUMNS[name]
    one = ColumnMap.of_values(column)
    values, counts = np.unique(column, return_counts=True)
    np.testing.assert_array_equal(one.tied, values)
    np.testing.assert_allclose(ndtr(one.upper) - ndtr(one.lower), counts / len(column))
    assert set(one.to_values(even_draws())) == set(values)


@each_column
def test_whole_numbers_stay_whole(column):
    x = ColumnMap.of_values(column).to_values(even_draws())
    is_whole = (column == np.rint(column)).all()
    assert (x == np.rint(x)).all() == is_whole


def test_a_frequent_value_among_others_has_its_frequency():
    for name, value in (("zero_or_positive", 0.0), ("tied_inside", 0.5), ("capped", 1.0)):
        column = COLUMNS[name]
        one = ColumnMap.of_values(column)
        assert value in one.tied
        share = np.mean(one.to_values(even_draws()) == value)
        assert share == pytest.approx(np.mean(column == value), abs=1e-4)


@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (-0.7, 0.2), (2.5, 0.6)])
@each_column
def test_densities_and_probabilities_of_a_column_add_up_to_one(column, loc, scale):
    one = ColumnMap.of_values(column)
    normal = Normal(*torch.tensor([[loc], [scale]], dtype=torch.float64))
    p = TiedNormal(normal, Ties([one])) if len(one.tied) else normal

    def density(x):
        x = np.atleast_1d(x).astype(np.float64)
        scores = torch.as_tensor(one.to_scores(x))[:, None]
        return np.exp(p.log_prob(scores)[:, 0].numpy() + one.log_jacobian(x))

    total = density(one.tied).sum() if len(one.tied) else 0.0
    # In each piece the density is smooth; values without scores change at the middle.
    ends = np.unique(np.concatenate([one.values, one.tied[:-1] + np.diff(one.tied) / 2]))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    half = np.diff(ends)[:, None] / 2
    inside = ends[:-1, None] + half * (nodes + 1)
    total += (density(inside.ravel()).reshape(inside.shape) * weights * half).sum()
    for end, side in ((ends[0], -1), (ends[-1], 1)):
        # A unit of the integration variable is a standard deviation, or a score.
        unit = max(one.spread, scale * one.spread)
        total += quad(
            lambda t, e=end, s=side, d=unit: d * density(e + s * d * t)[0], 0, np.inf
        )[0]
    assert total == pytest.approx(1, abs=1e-6)


@each_column
def test_missing_values_stay_missing_and_extremes_are_finite(column):
    one = ColumnMap.of_values(column)
    x = np.array([np.nan, -1e30, column.min() - 1, column.max() + 1, 1e30])
    scores, factors = one.to_scores(x), one.log_jacobian(x)
    assert np.isnan(scores[0])
    assert factors[0] == 0
    assert np.isfinite(scores[1:]).all()
    assert np.isfinite(factors).all()
    assert (np.diff(scores[1:]) >= 0).all()


def test_a_value_between_tied_ones_is_like_the_nearest_but_less_probable():
    one = ColumnMap.of_values(COLUMNS["counts"])
    x, near = np.array([3.4, 3.6, -2.0, 1e3]), np.array([3.0, 4.0, 0.0, one.tied[-1]])
    np.testing.assert_array_equal(one.to_scores(x), one.to_scores(near))
    assert (one.log_jacobian(x) < one.log_jacobian(near) - 5).all()


def test_new_values_are_as_probable_as_values_that_occur_once():
    column = np.concatenate([np.repeat([0.0, 1.0], 50), [2.0, 3.0, 4.0]])
    one = ColumnMap.of_values(column)
    assert one.unseen == (3 + 1) / (103 + 2)
    new, seen = one.log_jacobian(np.array([2.5, 3.0]))
    # To either side of 3 half of its share, up to the middle.
    assert np.exp(new) == pytest.approx(one.unseen / 2 / 0.5)
    assert np.exp(seen) == pytest.approx(1 - one.unseen)


def test_a_value_beyond_a_steep_end_is_not_infinitely_far_away():
    column = np.concatenate([COLUMNS["normal"], 3.5 + 1e-9 * np.arange(40)])
    one = ColumnMap.of_values(column)
    assert one.to_scores(np.array([3.6]))[0] < one.scores[-1] + 1 + 0.1 / one.spread


@each_column
def test_float32_values_are_recognised(column):
    one = ColumnMap.of_values(column)
    tied = np.array(one.tied)
    single = tied.astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(one.to_scores(single), one.to_scores(tied))
    np.testing.assert_array_equal(one.log_jacobian(single), one.log_jacobian(tied))


def test_the_number_of_points_is_bounded():
    rng = np.random.RandomState(0)
    continuous = ColumnMap.of_values(rng.standard_normal(200_000))
    assert 100 < len(continuous.values) < 450
    heavy = np.concatenate([rng.standard_normal(10_000), np.repeat(np.arange(90) / 7, 1000)])
    assert len(ColumnMap.of_values(heavy).values) < 1000


def test_the_density_does_not_follow_single_rows():
    # Held-out normal rows lose little to the true density.
    rng = np.random.RandomState(0)
    for n, most in ((100, 0.25), (1000, 0.06), (10_000, 0.01)):
        one = ColumnMap.of_values(rng.standard_normal(n))
        x = rng.standard_normal(20_000)
        scores = one.to_scores(x)
        lost = (np.square(scores) - np.square(x)).mean() / 2 - one.log_jacobian(x).mean()
        assert lost < most


@pytest.mark.parametrize("unit", [1e-160, 1.0, 1e140])
@pytest.mark.parametrize("step", [np.finfo(float).eps, 1.0])
@pytest.mark.parametrize("n", [2, 9, 4000])
def test_any_unit_and_neighbouring_floats_are_no_problem(n, step, unit):
    x = unit * (1 + step * np.arange(n))
    one = ColumnMap.of_values(x)
    assert one.is_valid
    scores = one.to_scores(x)
    assert np.isfinite(scores).all()
    assert np.isfinite(one.log_jacobian(x)).all()
    np.testing.assert_allclose(one.to_values(scores), x, atol=1e-9 * np.ptp(x))
