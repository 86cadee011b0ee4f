"""AutoencoderTransformer: its start, score and training, what noise does, a search."""

import numpy as np
import pytest
from helpers import NOISES, assert_same, outputs, reconstruct
from scipy.stats import norm
from sklearn import datasets
from sklearn.base import clone
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.networks import MLP, ConvNet

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

each_noise = pytest.mark.parametrize("noise", NOISES.values(), ids=list(NOISES))
each_corruption = pytest.mark.parametrize("name", ["gaussian", "masking"])


@pytest.fixture(scope="module")
def centre(digits):
    """Return the columns of the digits' centre, which all vary."""
    return digits[:300, 26:30]


# -- the start -------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("name", ["iris", "wine", "digits"])
def test_the_isotropic_start_reconstructs_as_pca(name, k, autoencoder):
    X = getattr(datasets, f"load_{name}")().data
    k = min(k, X.shape[1] - 1)
    opponent = PCA(k, svd_solver="full").fit(X)
    model = autoencoder(latent_dim=k, likelihood=Gaussian(noise="isotropic"), max_iter=0).fit(X)
    expected = opponent.inverse_transform(opponent.transform(X))
    np.testing.assert_allclose(reconstruct(model, X), expected, atol=1e-4)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("name", ["iris", "wine", "digits"])
def test_the_start_reconstructs_by_weighted_least_squares(name, k, autoencoder):
    X = StandardScaler().fit_transform(getattr(datasets, f"load_{name}")().data)
    opponent = FactorAnalysis(k, svd_method="lapack").fit(X)
    # The estimator's floor on a noise.
    root = np.sqrt(np.maximum(opponent.noise_variance_, 1e-6))
    W = opponent.components_.T / root[:, None]
    codes = np.linalg.lstsq(W, (X / root).T, rcond=None)[0]
    likelihood = Gaussian(noise="per_feature")
    model = autoencoder(latent_dim=k, likelihood=likelihood, max_iter=0).fit(X)
    np.testing.assert_allclose(reconstruct(model, X), codes.T @ (W.T * root), atol=1e-4)


def test_training_improves_the_held_out_score_over_the_start(autoencoder, digits, rows):
    start, trained = (autoencoder(max_iter=n, latent_dim=5).fit(digits[:1000]) for n in (0, 10))
    assert trained.score(rows) > start.score(rows) + 1
    assert trained.loss_curve_[-1] < trained.loss_curve_[0]


def test_a_random_start_is_trained_from_afar(autoencoder, iris):
    start, trained = (autoencoder(init="random", max_iter=n).fit(iris) for n in (0, 40))
    assert start.score(iris) < autoencoder(max_iter=0).fit(iris).score(iris) - 1
    assert trained.score(iris) > start.score(iris) + 1


def test_a_random_start_is_centred_at_the_mean_of_the_data(autoencoder, centre):
    X = centre / 16
    model = autoencoder(likelihood="bernoulli", max_iter=0).fit(X)
    # Half a pseudo-count keeps logits finite: it moves a mean by less than 1/n.
    decoded = model.inverse_transform(np.zeros((1, 2)))[0]
    np.testing.assert_allclose(decoded, X.mean(axis=0), atol=1 / len(X))


def test_counts_are_encoded_by_their_logarithms(autoencoder, centre):
    Z = autoencoder(likelihood="poisson", network=MLP(())).fit(centre).transform(centre)
    logs = np.column_stack([np.log1p(centre), np.ones(len(centre))])
    # A network without hidden layers is affine in what it sees.
    fitted = logs @ np.linalg.lstsq(logs, Z, rcond=None)[0]
    np.testing.assert_allclose(Z, fitted, atol=1e-9)


# -- the score -------------------------------------------------------------------------


@each_noise
@pytest.mark.parametrize("likelihood", ["gaussian", Gaussian("isotropic"), Gaussian(0.5)])
def test_the_score_is_the_gaussians_log_density_of_the_reconstruction(
    likelihood, noise, autoencoder, centre
):
    model = autoencoder(likelihood=likelihood, **noise).fit(centre)
    scale = np.sqrt(model.noise_variance_)
    expected = norm.logpdf(centre, reconstruct(model, centre), scale).sum(axis=1)
    np.testing.assert_allclose(model.score_samples(centre), expected, rtol=1e-6)
    assert model.score(centre) == pytest.approx(expected.mean(), rel=1e-6)


@each_noise
def test_the_score_is_minus_the_cross_entropy_of_the_reconstruction(noise, autoencoder, centre):
    X = centre / 16
    model = autoencoder(likelihood="bernoulli", **noise).fit(X)
    p = reconstruct(model, X)
    assert ((p > 0) & (p < 1)).all()
    expected = (X * np.log(p) + (1 - X) * np.log1p(-p)).sum(axis=1)
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-6)
    assert model.score(X) == pytest.approx(expected.mean(), rel=1e-6)
    assert not hasattr(model, "noise_variance_")


def test_noise_and_score_are_in_the_units_of_the_data(autoencoder, centre):
    model = autoencoder(noise=0.3).fit(centre)
    larger = autoencoder(noise=300).fit(1000 * centre)
    # Trained on the same numbers up to float32's rounding.
    np.testing.assert_allclose(
        larger.transform(1000 * centre), model.transform(centre), atol=1e-3
    )
    shifted = model.score_samples(centre) - centre.shape[1] * np.log(1000)
    np.testing.assert_allclose(larger.score_samples(1000 * centre), shifted, atol=1e-2)
    loss = np.asarray(model.loss_curve_) + centre.shape[1] * np.log(1000)
    np.testing.assert_allclose(larger.loss_curve_, loss, atol=1e-2)


def test_it_is_no_density(autoencoder, iris):
    model = autoencoder().fit(iris)
    for name in ("sample", "elbo", "latent_posterior", "latent_kl_"):
        assert not hasattr(model, name)
    assert not {"posterior", "objective", "beta", "n_samples"} & set(model.get_params())


# -- training --------------------------------------------------------------------------


@each_noise
@pytest.mark.parametrize("mode", [True, False, "cv"])
def test_the_history_has_no_kl_in_any_mode(mode, noise, autoencoder, iris):
    model = autoencoder(early_stopping=mode, **noise).fit(iris)
    prefixes = ["", "validation_"] if mode else [""]
    names = {p + name for p in prefixes for name in ("loss", "reconstruction", "kl")}
    assert set(model.history_) == names
    assert {len(values) for values in model.history_.values()} == {model.n_iter_}
    assert 1 <= model.n_iter_ <= 3
    for prefix in prefixes:
        assert not model.history_[prefix + "kl"].any()
        loss, value = (model.history_[prefix + name] for name in ("loss", "reconstruction"))
        np.testing.assert_array_equal(loss, -value)
    if mode:
        # The start is a candidate too.
        assert model.best_validation_score_ >= max(model.validation_scores_) - 1e-6
    else:
        assert model.best_validation_score_ is None
    assert np.isfinite(model.score(iris))


@each_noise
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_is_trained(likelihood, noise, autoencoder):
    # An encoded category is in the support of each of them too.
    X = np.eye(6)[np.random.RandomState(0).randint(6, size=80)]
    model = autoencoder(likelihood=likelihood, init="random", max_iter=10, **noise).fit(X)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_noise_that_drowns_the_rows_leaves_a_finite_model(likelihood, autoencoder):
    X = np.eye(6)[np.random.RandomState(0).randint(6, size=80)]
    model = autoencoder(likelihood=likelihood, noise=3, init="random").fit(X)
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.score_samples(X)).all()


@each_noise
def test_images_go_through_convolutions(noise, autoencoder, digits):
    X = digits[:200] / 16
    model = autoencoder(network=ConvNet((4,)), image_shape=(8, 8), max_iter=5, **noise).fit(X)
    assert reconstruct(model, X).shape == X.shape
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    with pytest.raises(ValueError, match="image_shape"):
        autoencoder(network="conv").fit(X)


@each_noise
def test_streams_and_warm_starts_go_on(noise, autoencoder, iris):
    model = autoencoder(warm_start=True, **noise).fit(iris)
    first = model.history_
    model.partial_fit(iris[:40]).fit(iris)
    assert model.n_iter_ == 7
    for name, values in model.history_.items():
        np.testing.assert_array_equal(values[:3], first[name])
    twin = autoencoder(warm_start=True, **noise).fit(iris).partial_fit(iris[:40]).fit(iris)
    assert_same(outputs(twin, iris), outputs(model, iris))


def test_a_failed_fit_leaves_the_earlier_one_usable(autoencoder, iris):
    model = autoencoder(noise=0.3).fit(iris)
    expected = outputs(model, iris)
    with pytest.raises(ValueError, match="masks every value"):
        model.set_params(noise=1, corruption="masking").fit(iris[:, :3])
    assert_same(outputs(model, iris), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("noise", -0.1), ("noise", "auto"), ("noise", np.nan), ("corruption", "salt")],
)
def test_parameters_out_of_range_are_refused_by_name(name, value, autoencoder, iris):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of Autoencoder"):
        autoencoder(**{name: value}).fit(iris)


# -- denoising --------------------------------------------------------------------------


@pytest.mark.parametrize("corruption", ["gaussian", "masking"])
def test_trained_on_corrupted_digits_it_restores_better(corruption, autoencoder, digits, rows):
    train, rng = digits[:1000], np.random.RandomState(1)
    if corruption == "gaussian":
        noise, corrupted = 4.0, rows + 4 * rng.randn(*rows.shape)
    else:
        noise, corrupted = 0.4, np.where(rng.rand(*rows.shape) < 0.4, train.mean(0), rows)
    model = autoencoder(
        latent_dim=10, max_iter=15, likelihood=Gaussian("isotropic"), corruption=corruption
    )
    errors = [
        np.mean(
            (reconstruct(clone(model).set_params(noise=n).fit(train), corrupted) - rows) ** 2
        )
        for n in (0, noise)
    ]
    assert errors[1] < 0.9 * errors[0]


@each_corruption
def test_training_draws_anew_and_held_out_rows_keep_their_draws(name, autoencoder, iris):
    # Nothing moves at this rate: only the draws can change a loss.
    still = {"max_iter": 4, "learning_rate_init": 1e-12}
    model = autoencoder(**still, **NOISES[name]).fit(iris, X_val=iris)
    assert len(set(np.round(model.loss_curve_, 4))) == 4
    np.testing.assert_allclose(
        model.validation_scores_, model.best_validation_score_, atol=1e-5
    )
    plain = autoencoder(**still).fit(iris)
    np.testing.assert_allclose(plain.loss_curve_, plain.loss_curve_[0], atol=1e-5)


@each_corruption
@pytest.mark.parametrize("train", ["partial_fit", "fit"])
def test_each_call_draws_anew_from_the_same_seed(train, name, autoencoder, iris):
    model = autoencoder(max_iter=1, warm_start=True, learning_rate_init=1e-12, **NOISES[name])
    for _ in range(4):
        getattr(model, train)(iris)
    assert len(set(np.round(model.loss_curve_, 4))) == 4


@each_corruption
def test_held_out_rows_are_corrupted_and_what_is_asked_later_is_not(name, autoencoder, iris):
    X, X_val = iris[::2], iris[1::2]
    plain = autoencoder().fit(X, X_val=X_val)
    assert plain.best_validation_score_ == pytest.approx(plain.score(X_val), abs=1e-4)
    model = autoencoder(**NOISES[name]).fit(X, X_val=X_val)
    assert model.best_validation_score_ < model.score(X_val) - 1
    # Fixed draws would come by a row's place.
    for ask in (model.transform, model.score_samples):
        np.testing.assert_array_equal(ask(X_val), ask(X_val))
        np.testing.assert_allclose(ask(X_val[::-1])[::-1], ask(X_val), atol=1e-9)


@pytest.mark.parametrize("noise", [1, 2.5])
def test_a_mask_over_everything_is_refused_before_training(noise, autoencoder, iris, capsys):
    model = autoencoder(noise=noise, corruption="masking", verbose=True)
    for train in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=rf"noise={noise} masks every value.*below 1"):
            train(iris)
    assert capsys.readouterr().out == "", "no epoch was done"
    assert not hasattr(model, "n_features_in_")


@each_corruption
def test_the_start_does_not_depend_on_the_noise(name, autoencoder, iris):
    expected = autoencoder(max_iter=0).fit(iris)
    model = autoencoder(max_iter=0, **NOISES[name]).fit(iris)
    np.testing.assert_allclose(model.transform(iris), expected.transform(iris), rtol=1e-12)
    assert model.score(iris) == pytest.approx(expected.score(iris), rel=1e-12)


# -- among scikit-learn's --------------------------------------------------------------


def test_a_grid_search_reaches_noise_and_network_in_a_pipeline(autoencoder, iris):
    model = Pipeline([("scale", MinMaxScaler()), ("ae", autoencoder())])
    grid = {
        "ae__noise": [0.0, 0.1],
        "ae__network__hidden_layer_sizes": [(), (8, 4)],
    }
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(iris)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(np.round(scores, 6))) == 4
    best = clone(model).set_params(**search.best_params_).fit(iris)
    np.testing.assert_array_equal(search.transform(iris), best.transform(iris))
    decoded = search.inverse_transform(search.transform(iris))
    assert np.mean((decoded - iris) ** 2) < 0.2 * iris.var(axis=0).mean()


@pytest.mark.parametrize("changed", [{"noise": 5.0}, {"noise": 0}, {"corruption": "masking"}])
def test_a_warm_start_takes_a_changed_noise(changed, autoencoder, iris):
    kept, other = (autoencoder(warm_start=True, noise=0.3).fit(iris) for _ in range(2))
    other.set_params(**changed)
    assert not np.array_equal(other.fit(iris).transform(iris), kept.fit(iris).transform(iris))


def test_as_many_codes_as_features_reconstruct_exactly(autoencoder, iris):
    # The closed form leaves the last code out; it must learn all the same.
    model = autoencoder(latent_dim=4, network=MLP(()), max_iter=200, early_stopping=False)
    assert np.mean((reconstruct(model.fit(iris), iris) - iris) ** 2) < 1e-3
