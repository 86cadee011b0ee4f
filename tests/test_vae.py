"""VAETransformer's outputs: dtypes, memory layouts, edge cases, fitted attributes."""

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import poisson
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer
from skvae.likelihoods import Gaussian

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

OUTPUTS = {
    "transform": lambda model, X: model.transform(X),
    "latent_posterior": lambda model, X: np.hstack(model.latent_posterior(X)),
    "score_samples": lambda model, X: model.score_samples(X),
    "elbo": lambda model, X: np.stack(model.elbo(X), axis=1),
}
each_output = pytest.mark.parametrize("output", OUTPUTS.values(), ids=list(OUTPUTS))
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# -- dtypes and memory layouts -----------------------------------------------------------


@each_output
@each_dtype
def test_the_dtype_of_the_rows_is_kept(output, dtype, model, rows):
    assert output(model, rows.astype(dtype)).dtype == dtype
    Z = np.zeros((3, 2), dtype)
    assert model.inverse_transform(Z).dtype == dtype


@each_output
def test_float64_is_computed_and_not_only_returned(output, model, rows):
    # A step of 1e-9 is below float32's resolution; in float64 its effect is linear. Not
    # in a constant column, whose noise is as narrow as the step.
    X, step = rows[:20], 1e-9 * np.random.RandomState(0).randn(20, 64)
    step[:, model.noise_variance_ < 1e-10] = 0
    small = output(model, X + step) - output(model, X)
    large = output(model, X + 1000 * step) - output(model, X)
    assert np.all(np.abs(small).max(axis=0) > 0)
    np.testing.assert_allclose(1000 * small, large, rtol=0.05, atol=0.01 * np.abs(large).max())


def test_decoding_is_computed_in_float64(model):
    Z = np.random.RandomState(0).randn(20, 2)
    small = model.inverse_transform(Z + 1e-9) - model.inverse_transform(Z)
    large = model.inverse_transform(Z + 1e-6) - model.inverse_transform(Z)
    np.testing.assert_allclose(1000 * small, large, rtol=0.05, atol=0.01 * np.abs(large).max())


@each_output
def test_float32_is_close_to_float64(output, model, rows):
    expected = output(model, rows)
    actual = output(model, rows.astype(np.float32))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-2)


def as_read_only(X, tmp_path):
    X = X.copy()
    X.flags.writeable = False
    return X


def as_memory_map(X, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


LAYOUTS = {
    "read-only": as_read_only,
    "memory-mapped": as_memory_map,
    "fortran": lambda X, tmp_path: np.asfortranarray(X),
    "strided": lambda X, tmp_path: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X, tmp_path: X[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda X, tmp_path: X.astype(X.dtype.newbyteorder(">")),
    "list": lambda X, tmp_path: X.tolist(),
}


@each_dtype
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_the_memory_layout_does_not_matter(layout, likelihood, dtype, quick, digits, tmp_path):
    X = (digits[:60, 18:22] / 16).astype(dtype)
    other = layout(X, tmp_path)
    plain = quick(likelihood=likelihood).fit(X, X_val=X)
    model = quick(likelihood=likelihood).fit(other, X_val=other)
    # A list or a big-endian array is read as float64.
    np.testing.assert_allclose(model.transform(other), plain.transform(X), atol=1e-5)
    np.testing.assert_allclose(model.score_samples(other), plain.score_samples(X), atol=1e-3)
    codes = plain.transform(X)
    decoded = plain.inverse_transform(layout(codes, tmp_path))
    np.testing.assert_allclose(decoded, plain.inverse_transform(codes), atol=1e-5)


@pytest.mark.parametrize("likelihood", ["gaussian", Gaussian(noise="isotropic"), "bernoulli"])
@pytest.mark.parametrize(("n_rows", "n_features", "k"), [(2, 3, 2), (50, 1, 1), (50, 2, 5)])
def test_few_rows_one_feature_and_more_codes_than_features_work(
    likelihood, n_rows, n_features, k
):
    X = np.random.RandomState(0).rand(n_rows, n_features)
    model = VAETransformer(latent_dim=k, likelihood=likelihood, max_iter=3).fit(X)
    Z = model.transform(X[:1])
    assert Z.shape == (1, k)
    assert model.inverse_transform(Z).shape == (1, n_features)
    assert model.sample(3).shape == (3, n_features)
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize("noise", ["per_feature", "isotropic", 0.1])
def test_data_that_do_not_vary_give_no_infinity(noise, quick):
    X = np.full((20, 3), 7.0)
    model = quick(likelihood=Gaussian(noise=noise)).fit(X)
    assert np.isfinite(model.score(X))
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-2)


@each_dtype
def test_an_outlier_gives_no_nan(dtype, model, rows):
    # NaN would be a silent end of a grid search; minus infinity is at least in order.
    X = rows[:2].astype(dtype) * dtype(1e20)
    assert np.isfinite(model.transform(X)).all()
    with warnings.catch_warnings():
        # Of which a warning tells.
        warnings.filterwarnings("ignore", "2 of 2 rows have results beyond float32")
        assert not np.isnan(model.score_samples(X)).any()


# -- fitted attributes -------------------------------------------------------------------

MODES = {
    "all rows": {"early_stopping": False},
    "hold-out": {"early_stopping": True},
    "cross-validation": {"early_stopping": "cv"},
}


@pytest.mark.parametrize("mode", MODES)
def test_the_fitted_attributes_agree_in_length_and_units(mode, iris, capsys):
    X = 1000 * iris
    model = VAETransformer(max_iter=4, random_state=0, verbose=True, **MODES[mode]).fit(X)
    n = model.n_iter_
    assert 0 <= n <= 4
    names = ["loss", "reconstruction", "kl"]
    names += [] if mode == "all rows" else [f"validation_{name}" for name in names]
    assert set(model.history_) <= set(names)
    assert all(len(values) == n for values in model.history_.values())
    assert n == 0 or set(model.history_) == set(names)
    assert model.loss_curve_ == list(model.history_["loss"])
    validation_loss = model.history_.get("validation_loss", np.zeros(0))
    np.testing.assert_array_equal(model.validation_scores_, -validation_loss)
    for prefix in ("", "validation_") if mode != "all rows" and n else ("",):
        loss, reconstruction, kl = (
            model.history_[prefix + name] for name in ("loss", "reconstruction", "kl")
        )
        np.testing.assert_allclose(loss, kl - reconstruction, rtol=1e-5)
    if mode == "all rows":
        assert model.best_validation_score_ is None
    else:
        # A held-out row is within some nats of a training row; 1000 X adds 4 log(1000).
        assert model.best_validation_score_ == pytest.approx(model.score(X), abs=4)
        assert model.best_validation_score_ >= max(model.validation_scores_, default=-1e9) - 1
    assert np.isscalar(model.n_iter_)
    assert model.noise_variance_.shape == (4,)
    assert np.all((model.noise_variance_ > 0) & (model.noise_variance_ < 2 * X.var(axis=0)))
    assert model.device_ == ("cuda" if torch.cuda.is_available() else "cpu")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n
    for epoch, line in enumerate(lines):
        assert f"loss = {model.loss_curve_[epoch]:.4f}" in line
        assert str(epoch + 1) in line


@pytest.mark.parametrize("max_iter", [0, 5])
def test_latent_kl_is_the_mean_kl_of_the_training_rows(max_iter, quick, iris):
    model = quick(latent_dim=3, max_iter=max_iter).fit(iris)
    assert model.latent_kl_.shape == (3,)
    assert model.latent_kl_.sum() == pytest.approx(model.elbo(iris).kl.mean(), rel=1e-4)


def test_a_dimension_without_information_has_no_kl(quick, iris):
    # Four features cannot fill six dimensions.
    model = quick(latent_dim=6, max_iter=0).fit(iris)
    assert np.sum(model.latent_kl_ > 1e-3) <= 4


def test_the_noise_is_in_the_units_of_the_data(quick, iris):
    scale = np.array([1e-3, 1.0, 10.0, 1e5])
    plain = quick(max_iter=0).fit(iris).noise_variance_
    scaled = quick(max_iter=0).fit(iris * scale).noise_variance_
    np.testing.assert_allclose(scaled, plain * scale**2, rtol=1e-4)
    isotropic = quick(likelihood=Gaussian(noise="isotropic")).fit(iris).noise_variance_
    assert len(set(isotropic)) == 1
    assert not hasattr(quick(likelihood="bernoulli").fit(iris / 10), "noise_variance_")


def test_too_few_epochs_warn_and_name_max_iter(iris):
    model = VAETransformer(init="random", max_iter=2, early_stopping=False)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.fit(iris)


@pytest.mark.filterwarnings("error")
def test_a_start_that_is_kept_does_not_warn(iris):
    VAETransformer(max_iter=0).fit(iris)


def test_training_improves_on_the_start(model, digits, rows):
    start = VAETransformer(max_iter=0).fit(digits[:1000])
    assert model.score(rows) > start.score(rows) + 1
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_counts_are_likelier_than_under_independent_features(likelihood, digits):
    train, test = digits[:600], digits[600:900]
    model = VAETransformer(
        likelihood=likelihood, early_stopping=True, max_iter=60, random_state=0
    )
    rate = train.mean(axis=0) + 0.5 / len(train)
    independent = poisson(rate).logpmf(test).sum(axis=1).mean()
    # The start is close to that, and not lost by its random weights.
    assert clone(model).set_params(max_iter=0).fit(train).score(test) > 2 * independent
    assert model.fit(train).score(test) > independent


def test_another_image_shape_is_another_model(quick, digits):
    model = quick(network="conv", image_shape=(8, 8), warm_start=True).fit(digits[:100])
    with pytest.raises(ValueError, match="image_shape"):
        model.set_params(image_shape=(4, 16)).fit(digits[:100])


def test_validation_rows_outside_the_support_are_called_so(quick):
    X = np.random.RandomState(0).poisson(3.0, (50, 4)).astype(float)
    with pytest.raises(ValueError, match="of X_val ranges"):
        quick(likelihood="poisson").fit(X, X_val=X - 3)
