"""Before any training step the model is the closed form, and its density is exact."""

import numpy as np
import pytest
from sklearn import datasets
from sklearn.base import clone
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP, ConvNet

NAMES = ["iris", "wine", "breast_cancer", "diabetes", "digits"]
OPPONENTS = {
    "per_feature": lambda k: FactorAnalysis(k, svd_method="lapack"),
    # The full solver: with 60 columns and more "auto" takes a less exact one.
    "isotropic": lambda k: PCA(k, svd_solver="full"),
}
each_noise = pytest.mark.parametrize("noise", OPPONENTS)
ignore_convergence = pytest.mark.filterwarnings(
    "ignore:.*:sklearn.exceptions.ConvergenceWarning"
)


def load(name):
    return getattr(datasets, f"load_{name}")().data


def load_standardised(name):
    return StandardScaler().fit_transform(load(name))


def start(noise, k, hidden_layer_sizes=(8,)):
    # Hidden layers are there and change nothing yet; few units, to save time.
    network, likelihood = MLP(hidden_layer_sizes), Gaussian(noise=noise)
    return VAETransformer(latent_dim=k, network=network, likelihood=likelihood, max_iter=0)


def trained(noise):
    return VAETransformer(
        likelihood=Gaussian(noise=noise), max_iter=20, early_stopping=False, random_state=0
    )


@each_noise
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_the_start_scores_as_its_linear_opponent(name, k, noise):
    X = load_standardised(name)
    rows = X[::4]  # which say as much as all, in a quarter of the time
    # One component fewer than features gives any covariance. At more, PCA refuses and
    # FactorAnalysis stops too early (iris: -4.5 at k=5, -3.3 at k=3).
    expected = OPPONENTS[noise](min(k, X.shape[1] - 1)).fit(X).score(rows)
    assert start(noise, k).fit(X).score(rows) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (128,), (30, 20)])
def test_the_start_does_not_depend_on_the_hidden_layers(hidden_layer_sizes):
    X = load_standardised("wine")
    expected = start("per_feature", 2).fit(X).score_samples(X)
    actual = start("per_feature", 2, hidden_layer_sizes).fit(X).score_samples(X)
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@each_noise
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_the_start_scores_each_held_out_row_as_its_opponent(name, noise):
    X = load_standardised(name)
    train, test = X[::2], X[1::2]
    expected = OPPONENTS[noise](2).fit(train).score_samples(test)
    # FactorAnalysis stops its iteration by tolerance; rows far outside feel that most.
    actual = start(noise, 2).fit(train).score_samples(test)
    np.testing.assert_allclose(actual, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_in_raw_units_the_isotropic_start_scores_as_pca(name):
    X = load(name)
    expected = PCA(2, svd_solver="full").fit(X).score(X[::4])
    # Features of breast_cancer differ by 1e5 in scale: float32 noise, relative to its own.
    assert start("isotropic", 2).fit(X).score(X[::4]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_in_raw_units_the_per_feature_start_adds_the_log_jacobian(name):
    X = load(name)
    scaler = StandardScaler().fit(X)
    standardised = scaler.transform(X)
    opponent = FactorAnalysis(2, svd_method="lapack").fit(standardised)
    expected = opponent.score(standardised[::4]) - np.log(scaler.scale_).sum()
    assert start("per_feature", 2).fit(X).score(X[::4]) == pytest.approx(expected, abs=1e-4)


def test_a_fixed_noise_starts_at_the_probabilistic_pca_with_that_noise(iris):
    model = start(0.5, 2).fit(iris)
    # Tipping & Bishop (1999): the optimum keeps PCA's axes and shrinks their variance.
    pca = PCA(2).fit(iris)
    axes, values = pca.components_, pca.explained_variance_ * (1 - 1 / len(iris))
    covariance = 0.25 * np.eye(4) + axes.T @ np.diag(np.maximum(values - 0.25, 0)) @ axes
    _, logdet = np.linalg.slogdet(2 * np.pi * covariance)
    centred = iris - iris.mean(0)
    mahalanobis = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(covariance), centred)
    expected = -0.5 * (logdet + mahalanobis)
    np.testing.assert_allclose(model.score_samples(iris), expected, atol=1e-4)
    np.testing.assert_allclose(model.noise_variance_, 0.25, rtol=1e-6)


@each_noise
def test_transform_and_reconstruction_are_the_opponents(noise):
    X = load_standardised("wine")
    opponent = OPPONENTS[noise](3).fit(X)
    model = start(noise, 3).fit(X)
    # The posterior mean of the linear model is E[z|x] = W' C^-1 (x - mean), up to a
    # rotation of z that leaves W E[z|x] as it is.
    C, psi = opponent.get_covariance(), np.diag(np.atleast_1d(opponent.noise_variance_))
    psi = psi if len(psi) > 1 else psi * np.eye(X.shape[1])
    expected = X @ np.linalg.solve(C, C - psi)
    decoded = model.inverse_transform(model.transform(X))
    np.testing.assert_allclose(decoded, expected, atol=2e-3)


@pytest.mark.parametrize("n_samples", [1, 2, 7, 128, 300])
def test_on_a_linear_model_any_number_of_samples_is_exact(n_samples):
    # With the exact posterior every importance weight is p(x).
    X = load_standardised("diabetes")
    expected = FactorAnalysis(2, svd_method="lapack").fit(X).score_samples(X)
    actual = start("per_feature", 2).fit(X).score_samples(X, n_samples=n_samples)
    np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_on_a_linear_model_the_bound_is_tight_and_its_kl_exact():
    X = load_standardised("wine")
    model = start("per_feature", 2).fit(X)
    bound = model.elbo(X)
    mean, scale = model.latent_posterior(X)
    kl = 0.5 * (mean**2 + scale**2 - 1 - 2 * np.log(scale)).sum(axis=1)
    np.testing.assert_allclose(bound.kl, kl, rtol=1e-9)
    # Quasi-random draws integrate a quadratic to about a thousandth.
    np.testing.assert_allclose(bound.value, model.score_samples(X), atol=0.05)


@each_noise
def test_samples_of_a_linear_model_have_its_mean_and_covariance(noise, iris):
    n = 40_000
    opponent = OPPONENTS[noise](2).fit(iris / iris.std(0) if noise != "isotropic" else iris)
    scale = 1.0 if noise == "isotropic" else iris.std(0)
    covariance = opponent.get_covariance() * np.outer(scale * np.ones(4), scale)
    samples = start(noise, 2).fit(iris).sample(n, random_state=0)
    variance = np.diag(covariance)
    assert np.all(np.abs(samples.mean(0) - iris.mean(0)) < 5 * np.sqrt(variance / n))
    # The standard error of a covariance of Gaussian variables.
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    assert np.all(np.abs(np.cov(samples.T) - covariance) < 5 * error)


def test_means_of_samples_leave_the_noise_out(iris):
    model = start("per_feature", 2).fit(iris)
    means = model.sample(40_000, mean=True, random_state=0)
    # Two dimensions, the latent ones, and no more.
    assert np.linalg.matrix_rank(means - means.mean(0), tol=1e-6 * len(means)) == 2
    noisy = model.sample(40_000, random_state=0).var(0)
    np.testing.assert_allclose(means.var(0) + model.noise_variance_, noisy, rtol=0.05)


def test_constant_features_cost_a_new_value_14_nats_and_not_infinity(digits):
    constant = digits.std(0) == 0
    assert constant.any()
    model = start("per_feature", 2).fit(digits)
    changed = digits[:5].copy()
    changed[:, np.flatnonzero(constant)[0]] += 1
    spike = 0.5 * np.log(1e12)
    drop = (model.score_samples(digits[:5]) - model.score_samples(changed)) - spike
    # Slab of weight 1e-6: log(1e6) = 13.8, and half a nat for one standard deviation.
    np.testing.assert_allclose(drop, np.log(1e6) + 0.5, atol=1e-3)
    assert np.isfinite(model.sample(10, random_state=0)).all()


@ignore_convergence
@each_noise
@pytest.mark.parametrize("factor", [1024.0, 1 / 1024])
def test_a_power_of_two_changes_the_score_by_the_log_jacobian_to_the_last_bits(
    noise, factor, iris
):
    # A power of two changes no mantissa: the training sees the very same bits.
    model = trained(noise)
    expected = clone(model).fit(iris).score_samples(iris) - 4 * np.log(factor)
    actual = clone(model).fit(factor * iris).score_samples(factor * iris)
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-12)


@ignore_convergence
@each_noise
@pytest.mark.parametrize("factor", [1000.0, 1e-6])
def test_a_change_of_units_changes_the_score_by_the_log_jacobian(noise, factor, iris):
    # Here (1000 x - 1000 loc) / (1000 scale) rounds otherwise than (x - loc) / scale, in
    # the 16th digit: after the cast to float32 few rows differ, by one part in 1e7.
    model = trained(noise)
    expected = clone(model).fit(iris).score_samples(iris) - 4 * np.log(factor)
    actual = clone(model).fit(factor * iris).score_samples(factor * iris)
    np.testing.assert_allclose(actual, expected, atol=1e-3)


def test_an_offset_of_a_million_does_not_change_the_score(iris):
    # In float64 the offset costs 6 of 16 digits.
    expected = start("per_feature", 2).fit(iris).score(iris)
    moved = iris + 1e6
    assert start("per_feature", 2).fit(moved).score(moved) == pytest.approx(expected, abs=1e-4)


@ignore_convergence
@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_a_linear_network_trains_to_the_factor_analysis_again(name):
    X = load_standardised(name)
    model = VAETransformer(
        network=MLP(hidden_layer_sizes=()), early_stopping=False, max_iter=40, random_state=0
    ).fit(X)
    best = FactorAnalysis(2, svd_method="lapack").fit(X).score(X)
    # No linear model is above its maximum likelihood but for FactorAnalysis's tolerance;
    # the noise of the gradient and the weight decay keep the training a little below.
    assert best - 0.1 < model.score(X) < best + 0.01


@pytest.mark.parametrize("noise", ["per_feature", "isotropic", 0.3])
def test_a_wide_matrix_whose_rows_sum_to_zero_starts_as_any_other(noise):
    # The vector of ones is then an eigenvector with eigenvalue 0, a bad start for an
    # iterative eigensolver.
    X = np.random.RandomState(0).randn(300, 250)
    X -= X.mean(axis=1, keepdims=True)
    scores = [start(noise, 2).fit(X).score(X[:20]) for _ in range(2)]
    assert np.isfinite(scores).all()
    assert scores[0] == scores[1]


# -- tables in their own units: no scaler is needed, and none changes the model --------------

TABLES = {
    "wine": datasets.load_wine().data,
    "diabetes": datasets.load_diabetes(scaled=False).data,
    "diabetes as shipped": datasets.load_diabetes().data,
}
each_table = pytest.mark.parametrize("X", TABLES.values(), ids=TABLES)


@ignore_convergence
@each_table
@pytest.mark.parametrize("mode", [True, "cv"])
def test_raw_columns_are_modelled_as_well_as_by_factor_analysis(X, mode):
    train, test = train_test_split(X, test_size=0.25, random_state=0)
    model = VAETransformer(max_iter=20, early_stopping=mode, random_state=0).fit(train)
    linear = FactorAnalysis(2, svd_method="lapack").fit(train)
    gains = model.score_samples(test) - linear.score_samples(test)
    assert gains.mean() > -gains.std(ddof=1) / np.sqrt(len(gains))


@ignore_convergence
@each_table
def test_a_scaler_changes_the_units_of_the_density_and_nothing_else(X):
    scaler = StandardScaler().fit(X)
    raw, scaled = (
        VAETransformer(max_iter=5, early_stopping=True, random_state=0).fit(rows)
        for rows in (X, scaler.transform(X))
    )
    expected = scaled.score_samples(scaler.transform(X)) - np.log(scaler.scale_).sum()
    np.testing.assert_allclose(raw.score_samples(X), expected, rtol=1e-4, atol=1e-4)


# -- a linear map beside convolutions ----------------------------------------------------


@each_noise
@pytest.mark.parametrize("k", [1, 5])
def test_the_start_of_a_convolutional_network_scores_as_its_opponent(k, noise):
    # Without the columns at the edge, some of which are constant.
    X = load("digits").reshape(-1, 8, 8)[:, :, 2:6].reshape(-1, 32)
    X = StandardScaler().fit_transform(X)
    # Few channels, whose weights have no part in the start.
    vae = VAETransformer(k, network=ConvNet((4, 8)), likelihood=Gaussian(noise), max_iter=0)
    vae.set_params(image_shape=(8, 4)).fit(X)
    expected = OPPONENTS[noise](k).fit(X).score(X[::8])
    assert vae.score(X[::8]) == pytest.approx(expected, abs=1e-4)


@ignore_convergence
def test_a_default_convolutional_network_is_better_than_pca_on_held_out_images():
    train, test = train_test_split(load("digits"), test_size=0.3, random_state=0)
    vae = VAETransformer(16, network="conv", image_shape=(8, 8), random_state=0)
    vae.set_params(max_iter=5).fit(train)
    pca = PCA(16).fit(train)
    error = {
        model: np.square(model.inverse_transform(model.transform(test)) - test).mean()
        for model in (vae, pca)
    }
    assert error[vae] < error[pca]
    assert vae.elbo(test).value.mean() > pca.score(test)
