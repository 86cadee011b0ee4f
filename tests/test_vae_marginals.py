"""Gaussian(marginals="normal"): every column keeps its own marginal, in all methods."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.decomposition import FactorAnalysis

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Gaussian

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
NOISES = ["auto", "per_feature", "isotropic", "heteroscedastic"]
NORMAL = Gaussian(marginals="normal")


def correlated(n=600, seed=0):
    """Return a skewed column, counts and a mostly zero column that depend on each other."""
    rng = np.random.RandomState(seed)
    z = rng.standard_normal(n)
    u = 0.8 * z[:, None] + 0.6 * rng.standard_normal((n, 3))
    counts = np.floor(3 * np.exp(0.5 * u[:, 1]))
    return np.column_stack([np.exp(u[:, 0]), counts, 50 * np.maximum(np.rint(2 * u[:, 2]), 0)])


def test_what_it_cannot_be_combined_with_is_refused(quick, iris):
    for likelihood, message in (
        (Gaussian(0.5, marginals="normal"), "noise=0.5 .* use a learned noise"),
        (Gaussian(mean="sigmoid", marginals="normal"), "mean='identity'"),
        (Gaussian(marginals="uniform"), "marginals"),
    ):
        with pytest.raises(ValueError, match=message):
            quick(likelihood=likelihood).fit(iris)


@pytest.mark.parametrize("noise", NOISES)
def test_draws_have_values_that_occur(quick, noise):
    X = correlated()
    X[:, 0] = np.rint(1000 * X[:, 0])
    model = quick(likelihood=Gaussian(noise, marginals="normal")).fit(X)
    drawn = model.sample(500, random_state=0)
    assert set(drawn[:, 1]) <= set(X[:, 1])
    assert set(drawn[:, 2]) <= set(X[:, 2])
    # Means are of its range and whole too, but may be values that do not occur.
    for rows in (drawn, model.inverse_transform(model.transform(X))):
        assert (rows == np.rint(rows)).all()
        assert (rows.min(0) >= X.min(0)).all()
        assert (rows.max(0) <= X.max(0)).all()
    assert np.isfinite(model.score_samples(X)).all()


def test_the_start_is_a_gaussian_copula(quick):
    # The codes explain correlations of scores as a factor analysis of them does.
    X = correlated(5000)[:, :1] ** np.array([1.0, -1.0, 3.0]) * np.exp(
        0.3 * np.random.RandomState(1).standard_normal((5000, 3))
    )
    model = quick(latent_dim=1, likelihood=NORMAL, max_iter=0).fit(X)
    U = model._units.to_model(X)
    factors = FactorAnalysis(1, tol=1e-8, max_iter=5000).fit(U - U.mean(0))
    np.testing.assert_allclose(model.noise_variance_, factors.noise_variance_, atol=2e-3)
    expected = factors.score_samples(U - U.mean(0)) + model._units.log_jacobian_of(X)
    # The mean of scores is zero up to the ends of the column.
    np.testing.assert_allclose(model.score_samples(X).mean(), expected.mean(), atol=2e-3)


def test_the_start_is_better_than_a_random_one_and_training_improves_on_it():
    X, held_out = correlated(1000), correlated(1000, seed=1)
    settings = {"likelihood": NORMAL, "random_state": 0}
    start, random, trained, affine = (
        VAETransformer(1, **{**settings, **other}).fit(X).score(held_out)
        for other in (
            {"max_iter": 0},
            {"max_iter": 0, "init": "random"},
            {"max_iter": 40},
            {"max_iter": 40, "likelihood": "gaussian"},
        )
    )
    assert random < start < trained
    assert affine < start


def test_independent_columns_have_the_likelihood_of_their_marginals(quick):
    # A model without anything to learn has the entropy of the columns.
    rng = np.random.RandomState(0)
    X = rng.poisson(3.0, (4000, 2)).astype(float)
    model = quick(likelihood=NORMAL, max_iter=0).fit(X)
    shares = [np.unique(x, return_counts=True)[1] / len(x) for x in X.T]
    entropy = -sum((p * np.log(p)).sum() for p in shares)
    assert model.score(X) == pytest.approx(-entropy, abs=0.02)


@pytest.mark.parametrize("sample", [False, True])
def test_missing_values_are_filled_with_values_that_occur(sample):
    X = correlated(1000)
    holes = X.copy()
    missing = np.random.RandomState(0).random_sample(X.shape) < 0.3
    holes[missing] = np.nan
    model = VAETransformer(1, likelihood=NORMAL, random_state=0, max_iter=30).fit(holes)
    filled = model.impute(holes, sample=sample, random_state=0)
    np.testing.assert_array_equal(filled[~missing], X[~missing])
    for j in (1, 2):
        assert not sample or set(filled[:, j]) <= set(X[:, j])
        mean = np.mean(holes[~missing[:, j], j])
        error = np.square(filled - X)[missing[:, j], j].mean()
        assert sample or error < np.square(X[missing[:, j], j] - mean).mean()
    nothing = np.full((1, 3), np.nan)
    assert model.score_samples(nothing)[0] == pytest.approx(0, abs=1e-6)


def test_a_model_of_complete_rows_fills_missing_values(quick):
    X = correlated()
    holes = X.copy()
    holes[::2, 1] = np.nan
    filled = quick(likelihood=NORMAL).fit(X).impute(holes)
    np.testing.assert_array_equal(filled[1::2], X[1::2])
    assert set(filled[:, 1]) <= set(X[:, 1])


def test_a_stored_model_gives_the_same_results(quick):
    X = correlated()
    model = quick(likelihood=NORMAL).fit(X)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(
        loaded.sample(20, random_state=0), model.sample(20, random_state=0)
    )
    np.testing.assert_array_equal(
        loaded.partial_fit(X).transform(X), model.partial_fit(X).transform(X)
    )


def test_partial_fit_keeps_the_map_of_the_first_call(quick):
    X, later = correlated(), correlated(seed=1) + 1
    model = quick(likelihood=NORMAL).partial_fit(X)
    units = model._units
    model.partial_fit(later)
    assert model._units is units
    assert set(model.sample(500, random_state=0)[:, 1]) <= set(X[:, 1])


def test_files_and_sparse_rows_give_the_same_model(quick, tmp_path):
    X = correlated()
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected = quick(likelihood=NORMAL).fit(X)
    for rows in (mapped, sparse.csr_matrix(X)):
        model = quick(likelihood=NORMAL).fit(rows)
        np.testing.assert_array_equal(model.transform(X), expected.transform(X))
        np.testing.assert_array_equal(model.score_samples(rows), expected.score_samples(X))


def test_float32_rows_have_the_density_of_float64_ones(quick):
    X = correlated()
    model = quick(likelihood=NORMAL).fit(X)
    # At its ends the density of a column jumps.
    inside = (X[:, 0] > X[:, 0].min()) & (X[:, 0] < X[:, 0].max())
    single = model.score_samples(X.astype(np.float32))[inside]
    np.testing.assert_allclose(single, model.score_samples(X)[inside], atol=1e-3)


def test_an_autoencoder_counts_the_factor_of_each_row(quick):
    X = correlated()
    model = quick(AutoencoderTransformer, likelihood=NORMAL, device="cpu").fit(X)
    decoder = model._fitted.module.decoder
    U = model._units.to_model(X, np.float32)
    codes = torch.as_tensor(model.transform(X), dtype=torch.float32)
    reconstruction = decoder(codes).log_prob(torch.as_tensor(U)).numpy()
    expected = reconstruction + model._units.log_jacobian_of(X)
    np.testing.assert_allclose(model.score_samples(X), expected, atol=1e-3)
