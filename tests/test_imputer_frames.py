"""VAEImputer on frames with categories and flags: the frame comes back filled."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.impute import MissingIndicator
from test_frames_of_columns import make_frame, with_holes

from skvae import VAEImputer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


def imputer(**parameters):
    defaults = {"latent_dim": 2, "max_iter": 3, "early_stopping": False, "random_state": 0}
    return VAEImputer(**defaults | parameters)


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.fixture(scope="module")
def holes(frame):
    return with_holes(frame)


@pytest.mark.parametrize("options", [{}, {"sample_posterior": True}], ids=str)
def test_only_gaps_change_and_dtypes_stay(options, frame, holes):
    model = imputer(**options).fit(holes)
    filled = model.transform(holes)
    pd.testing.assert_series_equal(filled.dtypes, frame.dtypes)
    assert not filled.isna().any().any()
    pd.testing.assert_frame_equal(filled.where(holes.notna()), holes)
    pd.testing.assert_frame_equal(model.transform(holes), filled)
    expected = model.vae_.impute(holes, sample=model.sample_posterior, random_state=0)
    pd.testing.assert_frame_equal(filled, expected)


def test_categories_are_found_more_often_than_by_the_most_frequent(frame, holes):
    # At the defaults: also the number of latent dimensions is chosen.
    filled = VAEImputer(max_iter=10, random_state=0).fit_transform(holes)
    missing = holes["job"].isna()
    right = (filled["job"] == frame["job"])[missing].mean()
    assert right > (frame["job"] == frame["job"].mode()[0])[missing].mean() + 0.1


def test_polars_with_indicators(holes):
    plain = holes.astype({"job": object})
    rows = {name: [None if pd.isna(v) else v for v in plain[name]] for name in plain}
    frame = pl.DataFrame(rows).with_columns(pl.col("job").cast(pl.Categorical))
    model = imputer(add_indicator=True)
    out = model.fit_transform(frame)
    assert out.columns == model.get_feature_names_out().tolist()
    assert out[:, :5].schema == frame.schema
    assert sum(out[:, :5].null_count().row(0)) == 0
    np.testing.assert_array_equal(out[:, 5:].to_numpy(), holes.isna())


def test_pandas_with_indicators_and_set_output(holes):
    for model in (imputer(add_indicator=True), clone(imputer(add_indicator=True))):
        out = model.set_output(transform="pandas").fit_transform(holes)
        assert list(out) == model.get_feature_names_out().tolist()
        names = MissingIndicator().fit(holes[["age", "gain"]]).get_feature_names_out()
        np.testing.assert_array_equal(out[names], holes[["age", "gain"]].isna())
        pd.testing.assert_series_equal(out[list(holes)].dtypes, holes.dtypes)


def test_columns_without_values_are_dropped_whatever_their_kind(holes):
    empty = holes.assign(gain=np.nan, job=pd.Categorical([None] * len(holes), ["cook"]))
    with pytest.warns(UserWarning, match="without any value are dropped: gain, job"):
        model = imputer().fit(empty)
    assert list(model.transform(empty)) == ["age", "weight", "owner"]
    assert model.get_feature_names_out().tolist() == ["age", "weight", "owner"]
    with pytest.warns(UserWarning, match="have some now; they are dropped: gain, job"):
        model.transform(holes)
    kept = imputer(keep_empty_features=True, sample_posterior=True)
    assert (kept.fit_transform(holes.assign(gain=np.nan))["gain"] == 0).all()


def test_a_category_that_fit_did_not_see_is_indicated_as_missing(holes):
    model = imputer(add_indicator=True).fit(holes)
    unseen = holes.assign(job=pd.Categorical(["astronaut"] * len(holes)))
    with pytest.warns(UserWarning, match="fit did not see: 'astronaut'"):
        filled = model.transform(unseen)
    assert filled["missingindicator_job"].all()
    assert set(filled["job"]) <= set(holes["job"].dropna())


@pytest.mark.filterwarnings("ignore:Features without any value are dropped")
def test_codes_in_an_array_are_categories_where_they_are_listed(frame):
    X = np.c_[np.full(len(frame), np.nan), frame["weight"], frame["job"].cat.codes]
    X[::4, 2] = np.nan
    filled = imputer(categorical_features=[2]).fit_transform(X)
    # The first column is dropped, and the last is still the one with categories.
    assert filled.shape == (len(X), 2)
    assert set(np.unique(filled[:, 1])) <= {0.0, 1.0, 2.0}
    assert set(np.unique(imputer().fit_transform(X)[:, 1])) - {0.0, 1.0, 2.0}


def test_a_frame_of_numbers_is_an_array_as_of_other_imputers(holes):
    numbers = holes[["gain", "weight"]]
    assert isinstance(imputer().fit_transform(numbers), np.ndarray)
    filled = imputer().set_output(transform="pandas").fit_transform(numbers)
    assert list(filled) == ["gain", "weight"]


def test_what_cannot_be_used_is_refused_and_an_earlier_fit_stays(holes):
    model = imputer().fit(holes)
    before = model.transform(holes)
    with pytest.raises(ValueError, match=r"missing_values=-1 is for tables of numbers"):
        imputer(missing_values=-1).fit(holes)
    with pytest.raises(ValueError, match=r"In feature 4 of X: .*chief.*='\?' all other values"):
        imputer(missing_values="?").fit(holes.astype(object).fillna("?"))
    with pytest.raises(ValueError, match="In column 'job' of X: it has dates"):
        model.fit(holes.assign(job=pd.Timestamp("2020-01-01")))
    with pytest.raises(ValueError, match="All values of X are missing"):
        model.fit(holes.mask(holes.notna()).add_prefix("other "))
    with pytest.raises(ValueError, match="must be in the same order"):
        model.transform(holes[list(holes)[::-1]])
    pd.testing.assert_frame_equal(model.transform(holes), before)


def test_a_flag_is_filled_with_a_flag_in_an_array_of_objects():
    number = np.random.RandomState(0).randn(60)
    frame = pd.DataFrame({"flag": pd.array(number > 0, dtype="boolean"), "number": number})
    imputer = VAEImputer(max_iter=5, random_state=0)
    imputer.fit(frame)
    frame.loc[[2, 5], "flag"] = pd.NA
    with pytest.warns(UserWarning, match="feature names"):
        filled = imputer.transform(frame.to_numpy(dtype=object))
    assert {type(value) for value in filled[:, 0]} == {bool}
    assert filled[:, 0].tolist() == imputer.transform(frame)["flag"].tolist()
