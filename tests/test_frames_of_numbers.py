"""Frames of numbers alone, autoencoders on frames, and what all estimators refuse."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from test_frames_of_columns import N_ROWS, fitted, make_frame, with_holes

from skvae import AutoencoderTransformer, VAEImputer, VAETransformer
from skvae.display import SampleDisplay

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_a_frame_of_numbers_comes_back_as_one(library, dtype):
    # Also integers that floats cannot hold stay as they are where they are not missing.
    large = 2**53 + 1 + 2 * np.arange(N_ROWS)
    numbers = {"b": make_frame()["weight"].to_numpy().astype(dtype), "a": large}
    frame = {"pandas": pd, "polars": pl}[library].DataFrame(numbers)
    model = fitted(frame, max_iter=2)
    for back in (model.sample(3, random_state=0), model.inverse_transform(np.zeros((3, 2)))):
        assert type(back) is type(frame)
        assert list(back.columns) == ["b", "a"]
        assert list(back.dtypes) == list(frame.dtypes)
        assert large.min() - 1e4 < min(back["a"]) <= max(back["a"]) < large.max() + 1e4
    assert model.impute(frame).equals(frame)
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded.sample(3, random_state=0).equals(model.sample(3, random_state=0))


def test_samples_are_not_shown_under_the_names_of_other_columns(frame):
    model = fitted(frame, max_iter=0)
    with pytest.raises(ValueError, match="feature names should match"):
        SampleDisplay.from_estimator(model, frame[frame.columns[::-1]])


@pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer, VAEImputer])
def test_lazy_frames_and_dates_are_refused_with_what_to_do(estimator, frame):
    lazy = pl.DataFrame({"a": [1.0, 2.0]}).lazy()
    with pytest.raises(ValueError, match=r"X is a lazy frame.*call \.collect\(\)"):
        estimator().fit(lazy)
    dates = frame[["gain"]].assign(day=pd.Timestamp("2020-01-01"))
    with pytest.raises(ValueError, match=r"In column 'day' of X: it has dates.*Convert them"):
        estimator().fit(dates)
    with pytest.raises(ValueError, match=r"X_val is a lazy frame.*call \.collect\(\)"):
        VAETransformer().fit(frame, X_val=lazy)
    with pytest.raises(ValueError, match=r"call \.collect\(\)"):
        fitted(frame, max_iter=0).transform(lazy)


def test_an_autoencoder_takes_and_returns_frames(frame):
    model = AutoencoderTransformer(2, max_iter=60, random_state=0).fit(frame)
    back = model.inverse_transform(model.transform(frame))
    pd.testing.assert_series_equal(back.dtypes, frame.dtypes)
    assert (back["job"] == frame["job"]).mean() > 0.8
    assert model.score(frame) > AutoencoderTransformer(2, max_iter=0).fit(frame).score(frame)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.transform(frame), model.transform(frame))


def test_an_autoencoder_names_columns_with_gaps_and_refuses_noise(frame):
    model = AutoencoderTransformer(1, max_iter=1, early_stopping=False).fit(frame)
    with pytest.raises(ValueError, match=r"X has missing values.*'age' \(\d+\).*VAEImputer"):
        model.fit(with_holes(frame))
    with pytest.raises(ValueError, match=r"X_val has missing values.*'age' \(\d+\)"):
        model.fit(frame, X_val=with_holes(frame))
    with pytest.raises(ValueError, match=r"noise=0\.1 cannot be added.*codes of categories"):
        AutoencoderTransformer(noise=0.1).fit(frame)
    odd = frame.astype({"job": object})
    odd.loc[3, "job"] = "pilot"
    with (
        pytest.warns(UserWarning, match="did not see: 'pilot'"),
        pytest.raises(ValueError, match=r"categories that fit did not see, in 'job' \(1\)"),
    ):
        model.transform(odd)
