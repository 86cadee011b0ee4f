"""The leading part of a second moment stands for the whole where that is wide."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.data.rows import StreamedRows, Subset
from skvae.data.units import Units
from skvae.likelihoods import Gaussian, second_moments
from skvae.likelihoods.factor_analysis import factor_analysis, probabilistic_pca
from skvae.likelihoods.second_moments import (
    DenseSecondMoment,
    LowRankSecondMoment,
    second_moment,
)
from skvae.networks import MLP


def factors(n=500, n_features=400, n_factors=4, seed=0):
    """Standardised rows of a few factors, with a noise of its own for each feature."""
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, n_factors)) @ rng.standard_normal((n_factors, n_features))
    X += rng.standard_normal(X.shape) * rng.uniform(0.5, 2, n_features)
    return StandardScaler().fit_transform(X).astype(np.float32)


def low_rank(X, rank=44):
    return LowRankSecondMoment.of_rows(torch.from_numpy(X), rank)


def matrix(moment):
    """What the low-rank form stands for."""
    return np.array([moment.times(column) for column in np.eye(len(moment.variance))])


def start(k, noise):
    network, likelihood = MLP((8,)), Gaussian(noise=noise)
    return VAETransformer(k, network=network, likelihood=likelihood, max_iter=0)


# -- the start of wide data ----------------------------------------------------------------


@pytest.mark.parametrize("noise", ["per_feature", "isotropic", 0.5])
@pytest.mark.parametrize("n", [100, 1000])
def test_wide_data_start_where_the_whole_matrix_would(n, noise, monkeypatch):
    X = factors(n, n_features=600)
    # That the matrix starts at FactorAnalysis and PCA is another file's test.
    expected = start(5, noise).fit(X).score(X[:50])
    monkeypatch.setattr(second_moments, "_WIDEST_MATRIX", 100)
    monkeypatch.setattr(DenseSecondMoment, "of_rows", None)
    # Of hundreds of nats: what is left out is weak.
    assert start(5, noise).fit(X).score(X[:50]) == pytest.approx(expected, rel=1e-3)


def test_no_matrix_of_features_by_features_is_made(monkeypatch):
    monkeypatch.setattr(DenseSecondMoment, "of_rows", None)
    X = factors(60, n_features=2001)
    assert np.isfinite(start(2, "per_feature").fit(X).score(X))


@pytest.mark.parametrize(
    ("width", "k", "kind"),
    [
        (2000, 2, DenseSecondMoment),
        (2001, 2, LowRankSecondMoment),
        (2001, 500, DenseSecondMoment),
    ],
)
def test_what_is_wide_and_asked_little_of_is_truncated(width, k, kind):
    assert isinstance(second_moment(torch.zeros(3, width), k), kind)


def test_streamed_rows_and_subsets_give_the_bits_of_a_tensor():
    X = factors(60)
    whole = torch.from_numpy(X)
    units = Units.identity(X.shape[1])
    streamed = StreamedRows(X, units, torch.device("cpu"), (-np.inf, np.inf))
    expected = vars(low_rank(X))
    for rows in (streamed, Subset(whole, torch.arange(60))):
        for name, value in vars(LowRankSecondMoment.of_rows(rows, 44)).items():
            np.testing.assert_array_equal(value, expected[name])


# -- the second moment itself -----------------------------------------------------------------


def test_a_rank_as_large_as_that_of_the_rows_is_exact():
    X = factors(30)
    np.testing.assert_allclose(
        matrix(low_rank(X)), DenseSecondMoment.of_rows(X).matrix, atol=1e-5
    )


def test_the_diagonal_is_exact_and_the_leading_part_close():
    X = factors()
    whole, part = DenseSecondMoment.of_rows(X), low_rank(X)
    np.testing.assert_allclose(part.diagonal(), whole.diagonal(), rtol=1e-6)
    values, vectors = part.leading(4)
    expected, axes = whole.leading(4)
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    np.testing.assert_allclose(np.abs((vectors * axes).sum(axis=0)), 1, atol=1e-4)


def test_with_few_rows_sampled_the_variances_are_those_of_all(monkeypatch):
    # Among 100 rows of 400 independent features the largest variance seems 9 and not 1.
    monkeypatch.setattr(second_moments, "_SAMPLE_ROWS", 100)
    X = np.random.RandomState(0).standard_normal((20_000, 400)).astype(np.float32)
    assert low_rank(X).leading(1)[0] < 1.4


def test_sampled_rows_are_spread_over_all(monkeypatch):
    monkeypatch.setattr(second_moments, "_SAMPLE_ROWS", 100)
    X = np.r_[factors(500, seed=0), factors(500, seed=1)]
    expected = DenseSecondMoment.of_rows(X).leading(8)[0]
    np.testing.assert_allclose(low_rank(X).leading(8)[0], expected, rtol=0.02)


@pytest.mark.parametrize("kind", [LowRankSecondMoment, DenseSecondMoment])
def test_eigenvectors_are_those_of_the_scaled_matrix(kind):
    moment = low_rank(factors(40, n_features=250))
    whole = matrix(moment)
    np.testing.assert_allclose(whole, whole.T, atol=1e-12)
    scale = np.random.RandomState(1).uniform(0.5, 2, 250)
    moment = DenseSecondMoment(whole) if kind is DenseSecondMoment else moment
    values, vectors = moment.leading(3, scale)
    expected = whole / np.outer(scale, scale)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(expected)[:-4:-1], rtol=1e-9)
    np.testing.assert_allclose(expected @ vectors, values * vectors, atol=1e-8 * values[0])


@pytest.mark.parametrize("n_varying", [0, 1, 3, 300])
def test_constant_features_stay_out(n_varying):
    X = factors(50)
    X[:, n_varying:] = 0
    part = low_rank(X)
    for solution in (factor_analysis(part, 2, 50), probabilistic_pca(part, 2)):
        assert all(np.isfinite(value).all() for value in vars(solution).values())
        np.testing.assert_allclose(solution.loadings[n_varying:], 0, atol=1e-6)


def test_two_runs_give_the_same_bits_and_leave_the_global_generators():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first, second = (factor_analysis(low_rank(factors()), 3, 500) for _ in range(2))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_equal_eigenvalues_are_all_found(count):
    values, vectors = DenseSecondMoment(np.eye(50) - 1 / 50).leading(count)
    np.testing.assert_allclose(values, np.ones(count))
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(count), atol=1e-12)
