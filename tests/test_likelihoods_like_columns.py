"""Gaussian(noise="auto"): one noise for the pixels of images, one per feature elsewhere."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae import AutoencoderTransformer, VAETransformer
from skvae.data import rows
from skvae.likelihoods import Gaussian
from skvae.likelihoods.like_columns import has_like_columns

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

TABLES = {
    "iris": load_iris,
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "diabetes": load_diabetes,
}


def faces(n_rows=60, n_features=150, spread=0.1):
    """Return rows without ties whose columns have about the same range."""
    rng = np.random.RandomState(0)
    scale = np.exp(spread * rng.standard_normal(n_features))
    return rng.standard_normal((n_rows, n_features)) * scale


@pytest.mark.parametrize("scaler", [None, MinMaxScaler(), StandardScaler()])
@pytest.mark.parametrize("load", TABLES.values(), ids=TABLES)
def test_measurements_have_a_noise_per_feature(load, scaler):
    X = load().data
    assert not has_like_columns(X if scaler is None else scaler.fit_transform(X))


@pytest.mark.parametrize("n_rows", [30, 150, 1797])
@pytest.mark.parametrize("factor", [1, 1 / 16, 255])
def test_images_have_one_noise(factor, n_rows, digits):
    assert has_like_columns(digits[:n_rows] * factor)


@pytest.mark.parametrize("scaler", [None, MinMaxScaler(), StandardScaler()])
def test_many_like_columns_have_one_noise(scaler):
    X = faces()
    assert has_like_columns(X if scaler is None else scaler.fit_transform(X))
    assert not has_like_columns(X[:, :99])
    assert not has_like_columns(faces(spread=3.0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_rows", [300, 1797])
def test_images_behind_a_standard_scaler_have_one_noise(digits, n_rows, dtype):
    assert has_like_columns(StandardScaler().fit_transform(digits[:n_rows].astype(dtype)))


@pytest.mark.parametrize("scaler", [None, StandardScaler()])
def test_frequencies_with_many_zeros_have_a_noise_per_feature(scaler):
    rng = np.random.RandomState(0)
    rates = np.exp(rng.standard_normal(50) - 1)
    words = rng.lognormal(size=(500, 50)) * rates * (rng.random_sample((500, 50)) < 0.4)
    counts = rng.negative_binomial(1, 1 / (1 + 3 * rates), size=(500, 50)).astype(float)
    for X in (words, np.round(words, 2), counts):
        assert not has_like_columns(X if scaler is None else scaler.fit_transform(X))


def test_scaled_flags_have_a_noise_per_feature():
    rng = np.random.RandomState(0)
    flags = rng.random_sample((500, 30)) < rng.random_sample(30)
    assert not has_like_columns(StandardScaler().fit_transform(flags.astype(float)))


def test_the_order_of_rows_and_their_blocks_do_not_matter(digits, monkeypatch):
    tables = [digits, StandardScaler().fit_transform(digits), load_wine().data, faces()]
    expected = [has_like_columns(X) for X in tables]
    monkeypatch.setattr(rows, "BLOCK_ELEMENTS", 1000)
    assert [has_like_columns(X[::-1]) for X in tables] == expected
    assert has_like_columns(sparse.csr_matrix(digits))


def test_columns_that_are_nearly_or_always_constant_do_not_decide(digits):
    constant = np.hstack([digits, np.ones((len(digits), 200))])
    assert has_like_columns(constant)
    rare = (np.arange(len(digits))[:, None] == np.arange(20)).astype(float)
    assert has_like_columns(np.hstack([digits, rare]))
    assert not has_like_columns(np.ones((5, 3)))
    wine = load_wine().data
    assert not has_like_columns(np.hstack([wine, rare[: len(wine), :5]]))


@pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])
def test_the_choice_is_shown_and_the_parameter_stays(estimator, quick, digits, iris):
    images, table = (quick(estimator).fit(X) for X in (digits, iris))
    assert images.likelihood_.noise == "isotropic"
    assert table.likelihood_.noise == "per_feature"
    assert images.likelihood == estimator().likelihood
    assert Gaussian().noise == "auto"
    chosen = clone(images).set_params(likelihood__noise="per_feature").fit(digits)
    assert chosen.likelihood_.noise == "per_feature"


def test_an_image_shape_gives_one_noise(quick, iris):
    assert quick(image_shape=(2, 2)).fit(iris).likelihood_.noise == "isotropic"
    chosen = quick(image_shape=(2, 2), likelihood=Gaussian("per_feature")).fit(iris)
    assert chosen.likelihood_.noise == "per_feature"


def test_a_warm_start_keeps_the_first_choice(quick, digits):
    model = quick(warm_start=True).fit(digits)
    other = np.random.RandomState(0).standard_normal(digits.shape)
    assert model.fit(other).likelihood_.noise == "isotropic"
    assert model.partial_fit(other).likelihood_.noise == "isotropic"
    with pytest.raises(ValueError, match="fitted with likelihood=Auto"):
        model.set_params(likelihood="bernoulli").fit(digits / 16)


def test_a_range_beyond_float64_is_refused_by_its_column(quick):
    X = faces()
    X[:2, 7] = 1.5e308, -1.5e308
    assert has_like_columns(X)
    with pytest.raises(ValueError, match="feature 7 of X are too large"):
        quick().fit(X)


def test_it_is_the_same_behind_a_scaler(quick, digits):
    model = make_pipeline(MinMaxScaler(), quick()).fit(digits)
    assert model[-1].likelihood_.noise == "isotropic"
    assert len(set(model[-1].noise_variance_)) == 1
