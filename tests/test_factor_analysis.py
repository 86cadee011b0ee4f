"""The closed-form start: scikit-learn's likelihoods and the exact posterior."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.preprocessing import StandardScaler

from skvae.likelihoods import second_moments
from skvae.likelihoods.factor_analysis import (
    MIN_NOISE_VARIANCE,
    LinearGaussian,
    factor_analysis,
    probabilistic_pca,
)
from skvae.likelihoods.second_moments import DenseSecondMoment

LOADERS = [load_iris, load_wine, load_diabetes, load_breast_cancer]
each_table = pytest.mark.parametrize("load", LOADERS)
# scikit-learn needs ten seconds for the factor analysis of the last.
each_small_table = pytest.mark.parametrize("load", LOADERS[:-1])


def second_moment(X, block=8192):
    return DenseSecondMoment.of_rows(X, block).matrix


def fa(covariance, latent_dim, n_samples):
    return factor_analysis(DenseSecondMoment(covariance), latent_dim, n_samples)


def ppca(covariance, latent_dim, noise_variance=None):
    return probabilistic_pca(DenseSecondMoment(covariance), latent_dim, noise_variance)


METHODS = {
    "factor_analysis": lambda covariance, k: fa(covariance, k, 1000),
    "probabilistic_pca": ppca,
    "known_noise": lambda covariance, k: ppca(covariance, k, 0.3),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
each_dim = pytest.mark.parametrize("latent_dim", [1, 2, 3])


def standardized(load):
    return StandardScaler().fit_transform(load().data)


def implied(solution):
    """Covariance of x under the model."""
    return solution.loadings @ solution.loadings.T + np.diag(solution.noise_variance)


def log_likelihood(solution, covariance):
    """Mean log-density of centred rows with this second moment."""
    model = implied(solution)
    trace = np.trace(np.linalg.solve(model, covariance))
    constant = len(covariance) * np.log(2 * np.pi)
    return -0.5 * (constant + np.linalg.slogdet(model).logabsdet + trace)


def factors(n_features, n_factors=3, noise=0.5, n=400, seed=0):
    """Covariance of data with that many strong factors."""
    rng = np.random.RandomState(seed)
    loadings = rng.standard_normal((n_features, n_factors)) * np.arange(n_factors, 0, -1)
    X = rng.standard_normal((n, n_factors)) @ loadings.T
    X += noise * rng.standard_normal(X.shape)
    return second_moment(StandardScaler().fit_transform(X))


@each_small_table
@each_dim
def test_factor_analysis_has_the_likelihood_of_sklearn(load, latent_dim):
    X = standardized(load)
    covariance = second_moment(X)
    ours = log_likelihood(fa(covariance, latent_dim, len(X)), covariance)
    theirs = FactorAnalysis(latent_dim, svd_method="lapack").fit(X).score(X)
    # The same iteration with the same stopping rule: the same up to rounding, but for
    # our floor under the noise, which costs less than it is.
    assert ours == pytest.approx(theirs, abs=1e-5)


@each_table
@each_dim
def test_probabilistic_pca_is_sklearns(load, latent_dim):
    X = standardized(load)
    covariance = X.T @ X / (len(X) - 1)
    solution = ppca(covariance, latent_dim)
    pca = PCA(latent_dim).fit(X)
    np.testing.assert_allclose(implied(solution), pca.get_covariance(), atol=1e-10)
    assert log_likelihood(solution, second_moment(X)) == pytest.approx(pca.score(X), abs=1e-9)


@each_dim
@pytest.mark.parametrize("noise_variance", [0.05, 0.5])
def test_with_known_noise_no_other_loadings_are_more_likely(latent_dim, noise_variance):
    covariance = second_moment(standardized(load_wine))
    solution = ppca(covariance, latent_dim, noise_variance)
    best = log_likelihood(solution, covariance)
    rng = np.random.RandomState(0)
    for step in rng.standard_normal((20, *solution.loadings.shape)) * 0.01:
        other = LinearGaussian.from_loadings(solution.loadings + step, solution.noise_variance)
        assert log_likelihood(other, covariance) < best


def test_known_noise_above_all_variance_leaves_no_loadings():
    solution = ppca(np.eye(4), 2, noise_variance=2.0)
    assert not solution.loadings.any()
    np.testing.assert_array_equal(solution.noise_variance, 2.0)


@each_method
@each_table
@each_dim
def test_the_posterior_is_the_exact_conditional(method, load, latent_dim):
    solution = method(second_moment(standardized(load)), latent_dim)
    # The joint covariance of (z, x), conditioned on x: no shortcut by Woodbury.
    gain = np.linalg.solve(implied(solution), solution.loadings).T
    covariance = np.eye(latent_dim) - gain @ solution.loadings
    # Noise down to the floor of 1e-6 conditions the solve: digits are lost by 1e6.
    np.testing.assert_allclose(solution.projection, gain, atol=1e-8 * np.abs(gain).max())
    np.testing.assert_allclose(np.diag(solution.posterior_scale**2), covariance, atol=1e-8)


@each_method
@each_dim
def test_latent_dimensions_come_most_informative_first(method, latent_dim):
    scale = method(second_moment(standardized(load_wine)), latent_dim).posterior_scale
    assert (np.diff(scale) >= 0).all()
    assert (scale > 0).all()
    assert (scale <= 1).all()


@each_method
def test_the_largest_loading_of_each_dimension_is_positive(method):
    loadings = method(second_moment(standardized(load_wine)), 3).loadings
    largest = np.abs(loadings).argmax(axis=0)
    assert (loadings[largest, np.arange(3)] > 0).all()


def test_rotating_the_loadings_changes_no_density():
    rng = np.random.RandomState(0)
    loadings, noise = rng.standard_normal((6, 3)), rng.uniform(0.1, 1, 6)
    solution = LinearGaussian.from_loadings(loadings, noise)
    np.testing.assert_allclose(implied(solution), loadings @ loadings.T + np.diag(noise))


@each_method
@pytest.mark.parametrize("latent_dim", [4, 5, 9])
def test_more_dimensions_than_features_carry_nothing(method, latent_dim):
    covariance = second_moment(standardized(load_iris))
    solution = method(covariance, latent_dim)
    assert solution.loadings.shape == (4, latent_dim)
    assert solution.projection.shape == (latent_dim, 4)
    assert all(np.isfinite(value).all() for value in vars(solution).values())
    np.testing.assert_array_equal(solution.loadings[:, 4:], 0)
    np.testing.assert_array_equal(solution.posterior_scale[4:], 1)


@each_small_table
@each_method
def test_more_dimensions_are_never_less_likely(method, load):
    covariance = second_moment(standardized(load))
    dims = range(1, len(covariance) + 2)
    scores = [log_likelihood(method(covariance, k), covariance) for k in dims]
    # The iteration stops where a step gains 1e-5 (0.01 nats over 1000 rows): a slow one
    # may have a hundred such steps still before it.
    assert np.diff(scores).min() >= -1e-3


@each_method
def test_one_feature(method):
    solution = method(np.array([[2.0]]), 1)
    assert all(np.isfinite(value).all() for value in vars(solution).values())


def test_one_feature_is_all_noise_under_pca():
    assert ppca(np.array([[2.0]]), 1).noise_variance.tolist() == [2.0]


@each_method
@pytest.mark.parametrize("latent_dim", [1, 3, 6])
def test_constant_columns_stay_out(method, latent_dim):
    covariance = np.zeros((6, 6))
    varies = [0, 2, 3, 5]
    covariance[np.ix_(varies, varies)] = second_moment(standardized(load_iris))
    solution = method(covariance, latent_dim)
    assert all(np.isfinite(value).all() for value in vars(solution).values())
    np.testing.assert_allclose(solution.loadings[[1, 4]], 0, atol=1e-15)


@each_method
@pytest.mark.parametrize("width", [3, 300])
def test_data_without_any_variance_have_no_loadings(method, width):
    solution = method(np.zeros((width, width)), 2)
    assert not solution.loadings.any()
    assert not solution.projection.any()
    np.testing.assert_array_equal(solution.posterior_scale, 1)


def test_a_constant_column_does_not_change_the_others():
    inner = second_moment(standardized(load_iris))
    covariance = np.zeros((5, 5))
    covariance[:4, :4] = inner
    with_constant, without = fa(covariance, 2, 150), fa(inner, 2, 150)
    np.testing.assert_allclose(implied(with_constant)[:4, :4], implied(without), atol=1e-12)


@each_method
def test_the_noise_of_a_heywood_case_stops_at_the_floor(method):
    X = standardized(load_iris)
    # A feature twice: one factor explains both copies wholly.
    solution = method(second_moment(np.c_[X, X]), 4)
    assert solution.noise_variance.min() >= MIN_NOISE_VARIANCE
    assert np.isfinite(solution.projection).all()


def test_singular_data_reach_the_floor_exactly():
    X = standardized(load_iris)
    solution = ppca(second_moment(np.c_[X, X]), 5)
    np.testing.assert_array_equal(solution.noise_variance, MIN_NOISE_VARIANCE)


@each_method
def test_a_wide_matrix_goes_by_lanczos_and_agrees_with_the_dense_solver(method, monkeypatch):
    covariance = factors(240)
    calls = []
    eigsh = second_moments.eigsh
    monkeypatch.setattr(
        second_moments, "eigsh", lambda *a, **k: calls.append(1) or eigsh(*a, **k)
    )
    lanczos = method(covariance, 3)
    assert calls
    calls.clear()
    monkeypatch.setattr(second_moments, "_DENSE_WIDTH", 1000)
    dense = method(covariance, 3)
    assert not calls
    # Both to machine precision; FactorAnalysis's iteration carries it on.
    np.testing.assert_allclose(lanczos.loadings, dense.loadings, atol=1e-9)
    np.testing.assert_allclose(lanczos.noise_variance, dense.noise_variance, atol=1e-9)


def pairs(width):
    """Covariance of columns that cancel in pairs: the rows of the data sum to zero."""
    half = factors(width // 2)
    return np.block([[half, -half], [-half, half]])


AWKWARD = {
    "identity": np.eye(300),
    "two equal eigenvalues": np.kron(np.eye(2), np.ones((150, 150))) + np.eye(300),
    "rows that sum to zero": pairs(300),
    "ring": 2 * np.eye(300) - np.roll(np.eye(300), 1, 0) - np.roll(np.eye(300), -1, 0),
    "all columns equal": np.ones((300, 300)),
    "ordinary": factors(300),
}


@pytest.mark.parametrize("case", AWKWARD)
def test_wide_matrices_are_solved_and_give_the_same_bits_again(case):
    # Lanczos iteration can break down and is then restarted at random: the caller
    # must not see it, neither as an error nor as other bits.
    first, second = (ppca(AWKWARD[case], 3) for _ in range(2))
    np.testing.assert_array_equal(first.loadings, second.loadings)
    top = np.linalg.eigvalsh(AWKWARD[case])[:-4:-1]
    spread = np.linalg.eigvalsh(first.loadings.T @ first.loadings)[::-1]
    expected = np.maximum(top - first.noise_variance[0], 0)
    np.testing.assert_allclose(spread, expected, atol=1e-9 * top[0])


@each_method
@pytest.mark.parametrize("n_features", [10, 240])
def test_two_runs_give_the_same_bits(method, n_features):
    covariance = factors(n_features)
    first, second = method(covariance, 3), method(covariance, 3)
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name))


@each_method
def test_the_covariance_is_left_as_it_was(method):
    covariance = factors(10)
    before = covariance.copy()
    method(covariance, 2)
    np.testing.assert_array_equal(covariance, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", [7, 8192])
def test_second_moment_is_computed_in_float64_whatever_the_block(dtype, block):
    X = np.random.RandomState(0).standard_normal((100, 4)).astype(dtype)
    exact = X.astype(np.float64).T @ X.astype(np.float64) / 100
    np.testing.assert_allclose(second_moment(X, block), exact, rtol=1e-13, atol=1e-15)


def test_solutions_do_not_touch_the_global_generator():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    fa(factors(240), 3, 400)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
