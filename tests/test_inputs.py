"""Rows that are tensors, and what is no table of numbers."""

import datetime
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy.sparse import csr_array
from sklearn import config_context
from torch.utils.data import DataLoader, TensorDataset

from skvae import AutoencoderTransformer, VAEImputer, VAETransformer
from skvae.data.inputs import as_table
from skvae.likelihoods import Gaussian, Mixed

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [VAETransformer, AutoencoderTransformer]
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
METHODS = ["transform", "score_samples", "score", "elbo", "latent_posterior", "impute"]

# -- tensors -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_methods_take_tensors_as_they_take_arrays(method, requires_grad, quick, iris):
    call, X = (
        getattr(quick().fit(iris), method),
        torch.tensor(iris, requires_grad=requires_grad),
    )
    actual, expected = call(X), call(iris)
    assert type(actual) is type(expected)
    np.testing.assert_array_equal(np.asarray(actual), np.asarray(expected))
    assert X.requires_grad == requires_grad


@each_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_fits_of_tensors_are_those_of_arrays(method, estimator, quick, iris):
    X = torch.tensor(iris, requires_grad=True)
    own, expected = (getattr(quick(estimator), method)(rows) for rows in (X, iris))
    np.testing.assert_array_equal(own.transform(X), expected.transform(iris))
    codes = torch.tensor(own.transform(iris), requires_grad=True)
    decoded = own.inverse_transform(codes)
    np.testing.assert_array_equal(decoded, own.inverse_transform(codes.detach().numpy()))


def test_validation_rows_and_columns_of_parts_may_be_of_tensors(quick, iris):
    likelihood = Mixed([("a", Gaussian(), [0, 1]), ("b", Gaussian("isotropic"), [2, 3])])
    own, expected = (
        quick(likelihood=likelihood).fit(rows, X_val=rows[:50])
        for rows in (torch.tensor(iris), iris)
    )
    np.testing.assert_array_equal(own.validation_scores_, expected.validation_scores_)


def test_an_imputer_takes_tensors(iris):
    gaps = iris.copy()
    gaps[::5, 1] = np.nan
    imputer = VAEImputer(latent_dim=2, max_iter=3, early_stopping=False, random_state=0)
    filled = imputer.fit_transform(torch.tensor(gaps, requires_grad=True))
    np.testing.assert_array_equal(filled, imputer.fit_transform(gaps))
    np.testing.assert_array_equal(imputer.vae_.impute(torch.tensor(gaps)), filled)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, np.float64),
        (torch.float32, np.float32),
        (torch.bfloat16, np.float32),
        (torch.float16, np.float32),
        (torch.int64, np.float64),
        (torch.bool, np.float64),
    ],
)
def test_codes_have_the_precision_of_a_tensor(dtype, expected, quick, iris):
    X = torch.tensor(iris).to(dtype)
    codes = quick().fit(iris).transform(X)
    assert codes.dtype == expected
    assert codes.shape == (150, 2)


def test_tensors_are_not_copied_without_need():
    X = torch.ones(3, 2, requires_grad=True)
    assert np.shares_memory(as_table(X), X.detach().numpy())
    dense = torch.eye(3)
    np.testing.assert_array_equal(as_table(dense.to_sparse()), dense)
    np.testing.assert_array_equal(as_table(torch.ones(2, 2).T.conj()), np.ones((2, 2)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_tensors_may_be_on_another_device(quick, iris):
    model = quick(device="cpu").fit(torch.tensor(iris, device="cuda"))
    np.testing.assert_array_equal(
        model.transform(torch.tensor(iris, device="cuda")), model.transform(iris)
    )


# -- array API -----------------------------------------------------------------------------


class OtherArray:
    shape = (3, 2)

    def __array_namespace__(self, api_version=None):
        raise AssertionError("not asked")

    def __array__(self, dtype=None, copy=None):
        return np.arange(6.0).reshape(3, 2).astype(dtype or float)


@pytest.fixture
def dispatch(monkeypatch):
    # scikit-learn asks for it.
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    with config_context(array_api_dispatch=True):
        yield


@pytest.mark.usefixtures("dispatch")
@pytest.mark.parametrize("X", [torch.ones(5, 4), OtherArray()], ids=["torch", "other"])
def test_array_api_dispatch_is_refused_by_name(X, quick, iris):
    message = r"{} is a \w+\.\w+, and with array_api_dispatch=True.*config_context"
    for estimator in (*ESTIMATORS, VAEImputer):
        with pytest.raises(TypeError, match=message.format("X")):
            estimator().fit(X)
    with pytest.raises(TypeError, match=message.format("X_val")):
        quick().fit(iris, X_val=X)
    model = quick().fit(iris)
    with pytest.raises(TypeError, match=message.format("Z")):
        model.inverse_transform(X)
    with config_context(array_api_dispatch=False):
        assert model.transform(torch.ones(5, 4)).shape == (5, 2)


@pytest.mark.usefixtures("dispatch")
def test_arrays_and_frames_are_fitted_with_dispatch_enabled(quick, iris):
    for X in (iris, iris.tolist(), csr_array(iris), pd.DataFrame(iris)):
        model = quick().fit(X)
        decoded = model.inverse_transform(model.transform(X))
        # That of a frame is a frame.
        assert type(decoded) is (pd.DataFrame if isinstance(X, pd.DataFrame) else np.ndarray)


# -- no table ------------------------------------------------------------------------------

FITS = {
    "fit": (lambda X: VAETransformer(max_iter=0).fit(X), "X"),
    "autoencoder": (lambda X: AutoencoderTransformer(max_iter=0).fit(X), "X"),
    "imputer": (lambda X: VAEImputer(max_iter=0).fit(X), "X"),
    "partial_fit": (lambda X: VAETransformer(max_iter=0).partial_fit(X), "X"),
    "X_val": (lambda X: VAETransformer(max_iter=0).fit(np.eye(5), X_val=X), "X_val"),
    "transform": (
        lambda X: VAETransformer(max_iter=0, early_stopping=False).fit(np.eye(5)).transform(X),
        "X",
    ),
}
each_fit = pytest.mark.parametrize(("fit", "name"), FITS.values(), ids=FITS)


@each_fit
@pytest.mark.parametrize(
    "make",
    [
        lambda: (row for row in np.eye(5)),
        lambda: DataLoader(torch.eye(5)),
        lambda: TensorDataset(torch.eye(5)),
    ],
    ids=["generator", "loader", "dataset"],
)
def test_batches_are_for_partial_fit(make, fit, name):
    with pytest.raises(TypeError, match=rf"^{name} is a \w+, but rows.* partial_fit"):
        fit(make())


@each_fit
def test_lazy_frames_are_to_be_collected(fit, name):
    with pytest.raises(ValueError, match=rf"^{name} is a lazy frame.*call \.collect\(\)"):
        fit(pl.LazyFrame(np.eye(5)))


@each_fit
@pytest.mark.parametrize(
    ("shape", "reshaped", "image_shape"),
    [
        ((5, 8, 6), "{}.reshape", "(8, 6)"),
        ((5, 8, 6, 3), "{}.reshape", "(8, 6, 3)"),
        ((5, 3, 8, 6), "np.moveaxis({}, 1, -1).reshape", "(8, 6, 3)"),
        ((5, 1, 8, 6), "np.moveaxis({}, 1, -1).reshape", "(8, 6)"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [np.zeros, torch.zeros, lambda shape: list(np.zeros(shape))])
def test_images_are_to_be_flattened(shape, reshaped, image_shape, kind, fit, name):
    with pytest.raises(ValueError, match="must have one row") as caught:
        fit(kind(shape))
    message = str(caught.value)
    assert message.startswith(f"{name} has shape {shape}")
    assert f"pass {reshaped.format(name)}(len({name}), -1). Set image_shape={image_shape}" in (
        message
    )


def test_the_remedy_for_images_works(quick):
    X = np.random.RandomState(0).random_sample((20, 3, 4, 6))
    rows = np.moveaxis(X, 1, -1).reshape(len(X), -1)
    assert quick(network="conv", image_shape=(4, 6, 3)).fit(rows).n_features_in_ == 72
    with pytest.raises(ValueError, match=r"has shape \(20, 3, 4, 6, 1\).*-1\)\.$"):
        quick().fit(X[..., None])


# -- dates ---------------------------------------------------------------------------------

DAYS = np.arange(5).astype("M8[s]")
NUMBERS = np.arange(5.0)
FRAMES = {
    "dates only": (pd.DataFrame({"a": DAYS, "b": DAYS}), "column 'a'", "dates"),
    "date": (pd.DataFrame({"a": NUMBERS, "b": DAYS}), "column 'b'", "dates"),
    "time zone": (
        pd.DataFrame({"a": NUMBERS, "b": pd.to_datetime(DAYS, utc=True)}),
        "column 'b'",
        "dates",
    ),
    "period": (
        pd.DataFrame({"a": NUMBERS, "b": pd.period_range("2020", periods=5, freq="D")}),
        "column 'b'",
        "dates",
    ),
    "duration": (pd.DataFrame({"a": NUMBERS, "b": DAYS - DAYS[0]}), "column 'b'", "durations"),
    "labels of integers": (pd.DataFrame({0: NUMBERS, 1: DAYS}), "column 1", "dates"),
    "polars": (pl.DataFrame({"a": NUMBERS, "b": DAYS.astype("M8[ms]")}), "column 'b'", "dates"),
    "polars date": (
        pl.DataFrame({"a": NUMBERS, "b": [datetime.date(2020, 1, 1)] * 5}),
        "column 'b'",
        "dates",
    ),
    "polars time": (
        pl.DataFrame({"a": NUMBERS, "b": [datetime.time(1)] * 5}),
        "column 'b'",
        "dates",
    ),
    "polars duration": (
        pl.DataFrame({"a": NUMBERS, "b": [datetime.timedelta(1)] * 5}),
        "column 'b'",
        "durations",
    ),
    "array": (np.stack([DAYS, DAYS], axis=1), "feature 0", "dates"),
    "list": ([[1.0, datetime.date(2020, 1, 1)]] * 5, "feature 1", "dates"),
    "list of NumPy's": ([[np.timedelta64(1), np.timedelta64(2)]] * 5, "feature 0", "durations"),
}
each_frame = pytest.mark.parametrize(("X", "place", "words"), FRAMES.values(), ids=FRAMES)


@each_fit
@each_frame
def test_dates_are_refused_by_their_column(X, place, words, fit, name):
    with pytest.raises(ValueError, match=f"In {place} of {name}: it has {words}.*to numbers"):
        fit(X)


def test_all_columns_of_dates_are_named(quick):
    X = pd.DataFrame({"a": NUMBERS, "b": DAYS, "c": DAYS - DAYS[0], "d": DAYS})
    with pytest.raises(ValueError, match=r"In column 'b'.*The same holds for column 'd'\.$"):
        quick().fit(X)


def test_words_in_the_names_of_columns_are_no_dates(quick):
    X = pd.DataFrame({"date": NUMBERS, "time": pd.Categorical(list("dates"))})
    assert quick().fit(X).n_features_in_ == 2


# -- pairs and weights -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize("rows", [np.eye(5), pd.DataFrame(np.eye(5)), torch.eye(5)])
def test_validation_rows_come_without_targets(kind, rows, quick):
    with pytest.raises(ValueError, match=r"X_val is a (tuple|list) of two: pass the rows only"):
        quick().fit(np.eye(5), X_val=kind([rows, np.arange(5)]))
    assert quick().fit(np.eye(2), X_val=kind([[0.0, 1.0], [1.0, 0.0]])).validation_scores_


@each_estimator
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_of_rows_are_refused_in_clear_words(method, estimator, quick, iris):
    fit = partial(getattr(quick(estimator), method), iris, sample_weight=np.ones(len(iris)))
    with pytest.raises(TypeError, match=rf"\.{method} takes no sample_weight.*resample"):
        fit()
