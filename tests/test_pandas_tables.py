"""Columns of pandas frames, to numbers and codes and back."""

import datetime

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.ensemble import HistGradientBoostingRegressor
from table_cases import GAPS, PANDAS_COLUMNS, STRINGS, adult_in_pandas, encode_store_decode

from skvae.data.encoding import TableEncoding


@pytest.mark.parametrize(("kind", "column"), PANDAS_COLUMNS.values(), ids=PANDAS_COLUMNS)
def test_a_column_comes_back_as_it_was(kind, column):
    frame = column.to_frame("a")
    encoding, U, back = encode_store_decode(frame)
    assert encoding.kinds == [kind]
    np.testing.assert_array_equal(np.isnan(U[:, 0]), column.isna())
    assert_frame_equal(back, frame)


def test_a_frame_of_all_of_them_comes_back_as_it_was():
    frame = pd.DataFrame({name: column for name, (_, column) in PANDAS_COLUMNS.items()})
    encoding, _, back = encode_store_decode(frame)
    assert encoding.kinds == [kind for kind, _ in PANDAS_COLUMNS.values()]
    assert_frame_equal(back, frame)


def test_numbers_flags_and_codes_of_categories_in_the_order_of_the_dtype():
    levels = ["low", "unused", "mid", "high"]
    frame = pd.DataFrame(
        {
            "n": [1.5, np.nan, 2.0],
            "b": pd.array([None, True, False], dtype="boolean"),
            "c": pd.Categorical(["high", "low", "mid"], categories=levels, ordered=True),
        }
    )
    encoding = TableEncoding.fit(frame)
    np.testing.assert_array_equal(
        encoding.encode(frame), [[1.5, np.nan, 2], [np.nan, 1, 0], [2, 0, 1]]
    )
    assert encoding.levels == [None, None, ["low", "mid", "high"]]
    assert encoding.n_levels == [0, 0, 3]
    assert TableEncoding.fit(frame, keep_declared=True).levels == [None, None, levels]


def test_an_interval_is_a_pair_of_its_ends():
    frame = pd.cut(pd.Series([1, 9]), [0, 5, 10]).to_frame("a")
    assert TableEncoding.fit(frame).levels == [[(0, 5), (5, 10)]]


@pytest.mark.parametrize("dtype", ["object", "string", "int64", "Int64", "float32", "bool"])
def test_a_listed_column_of_any_dtype_is_one_of_sorted_categories(dtype):
    strings = dtype in ("object", "string")
    values = STRINGS if strings else [3, 1, 3, 3] if dtype == "int64" else GAPS
    values = [True, False, True, True] if dtype == "bool" else values
    frame = pd.DataFrame({"n": [0.5, 1, 2, 3], "a": pd.Series(values, dtype=dtype)})
    for listed in (["a"], [1], [False, True]):
        encoding, U, back = encode_store_decode(frame, categorical_features=listed)
        assert encoding.kinds == ["number", "category"]
        assert encoding.levels[1] == sorted(frame["a"].dropna().unique().tolist())
        assert np.nanmax(U[:, 1]) == encoding.n_levels[1] - 1
        assert_frame_equal(back, frame)


def test_what_is_a_category_is_as_in_gradient_boosting():
    frame = pd.DataFrame({name: column for name, (_, column) in PANDAS_COLUMNS.items()})
    # Gradient boosting cannot sort intervals, several types, or pd.NA among categories, and
    # warns of sparse columns.
    others = frame.columns.str.contains("intervals|several|sparse|category of (?:string|Int64)")
    frame = frame.loc[:, ~others]
    boosting = HistGradientBoostingRegressor(max_iter=1).fit(frame, np.arange(4))
    is_category = [kind == "category" for kind in TableEncoding.fit(frame).kinds]
    np.testing.assert_array_equal(is_category, boosting.is_categorical_)
    strings = pd.DataFrame({"a": ["x", "y"]})
    for fit in (TableEncoding.fit, lambda X: boosting.fit(X, [0, 1])):
        with pytest.raises(ValueError, match="string"):
            fit(strings)


DAY = pd.Timestamp("2020-01-01")
REFUSED = {
    "strings": (pd.Series(["a"]), r"strings.*astype\('category'\).*categorical_features"),
    "strings among numbers": (pd.Series([1, "a"], dtype=object), "strings"),
    "dates": (pd.Series([DAY]), "dates or times.*Convert them to numbers"),
    "dates of a zone": (pd.Series([DAY.tz_localize("UTC")]), "dates or times"),
    "periods": (pd.Series([DAY.to_period("D")]), "dates or times"),
    "objects of dates": (pd.Series([datetime.date(2020, 1, 1)]), "dates or times"),
    "durations": (pd.Series([pd.Timedelta(1)]), "durations.*seconds"),
    "complex": (pd.Series([1j]), "complex numbers.*two columns"),
    "lists": (pd.Series([[1], [2]]), "nested"),
    "dicts": (pd.Series([{"a": 1}]), "nested"),
    "bytes": (pd.Series([b"a"]), "neither numbers"),
    "intervals": (pd.Series([pd.Interval(0, 1)]), "neither numbers.*interval"),
    "categories of dates": (pd.Series([DAY], dtype="category"), "Timestamp.*Rename"),
    "no categories": (pd.Series([None], dtype="category"), "no categories"),
}


@pytest.mark.parametrize(("column", "message"), REFUSED.values(), ids=REFUSED)
def test_other_columns_are_refused_by_name_with_what_to_do(column, message):
    frame = pd.DataFrame({"fine": range(len(column)), "odd": column})
    with pytest.raises(ValueError, match=f"In column 'odd' of X: .*{message}"):
        TableEncoding.fit(frame)


def test_a_category_that_is_not_listed_is_refused():
    frame = adult_in_pandas()
    for listed in (None, ["hours"]):
        with pytest.raises(ValueError, match=r"'workclass' of X: .*Add it to categorical"):
            TableEncoding.fit(frame, listed)


@pytest.mark.parametrize("dtype", ["int8", "bool"])
def test_a_missing_value_where_the_dtype_has_none_is_an_error(dtype):
    frame = pd.DataFrame({"a": pd.Series([0, 1], dtype=dtype)})
    for listed in (None, ["a"]):
        encoding = TableEncoding.fit(frame, listed)
        with pytest.raises(ValueError, match=f"column 'a' of X: the dtype {dtype} has no miss"):
            encoding.decode([[0.0], [np.nan]])


def test_numbers_are_rounded_and_kept_in_the_range_of_integers():
    frame = pd.DataFrame(
        {
            "a": pd.Series([0], dtype="int8"),
            "b": pd.Series([0], dtype="Int64"),
            "c": pd.Series([0], dtype="uint64"),
            "d": pd.Series([0], dtype="float32"),
        }
    )
    decode = TableEncoding.fit(frame).decode
    assert decode([[1.6, -0.4, 2.4, 0.5]]).loc[0].tolist() == [2, 0, 2, 0.5]
    high, low = decode(np.array([[1e30] * 4, [-1e30] * 4])).itertuples(index=False)
    assert high[:3] == (127, 2**63 - 1, 2**64 - 1)
    assert low[:3] == (-128, -(2**63), 0)


def test_an_index_may_be_given():
    frame = adult_in_pandas()
    encoding = TableEncoding.fit(frame)
    assert_frame_equal(encoding.decode(encoding.encode(frame), index=frame.index), frame)
    assert encoding.decode(encoding.encode(frame)).index.equals(pd.RangeIndex(4))


@pytest.mark.parametrize(
    "labels",
    [
        pd.RangeIndex(2),
        pd.Index([5, 3], name="kind"),
        pd.Index(["a", "b"], name="kind"),
        pd.Index(["a", "b"], dtype=object),
        pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", "y"]),
    ],
    ids=["range", "integers", "strings", "objects", "several"],
)
def test_labels_of_columns_come_back(labels):
    frame = pd.DataFrame([[1, True], [2, False]], columns=labels)
    assert_frame_equal(encode_store_decode(frame)[2], frame)


@pytest.mark.parametrize(("kind", "column"), PANDAS_COLUMNS.values(), ids=PANDAS_COLUMNS)
def test_only_missing_cells_are_filled_and_index_and_dtypes_are_kept(kind, column):
    frame = column.set_axis([4, 2, 9, 0]).to_frame("a")
    encoding = TableEncoding.fit(frame)
    filled = encoding.fill(frame, np.ones((4, 1)))
    expected = encoding.decode(np.ones((4, 1)), index=frame.index)
    assert_frame_equal(filled, frame.where(frame.notna(), expected))
    assert not filled.isna().any(axis=None)


def test_a_dtype_without_the_category_gets_it():
    frame = pd.DataFrame({"a": pd.Categorical(["x", "y"]), "n": [1, 2]})
    fewer = pd.DataFrame({"a": pd.Categorical(["x", None]), "n": [1.0, np.nan]})
    filled = TableEncoding.fit(frame).fill(fewer, np.array([[9, 9], [1, 2.5]]))
    assert filled["a"].tolist() == ["x", "y"]
    assert filled["a"].cat.categories.tolist() == ["x", "y"]
    assert filled["n"].tolist() == [1.0, 2.5]
    none = fewer.assign(a=[np.nan, np.nan])
    assert TableEncoding.fit(frame).fill(none, np.ones((2, 2)))["a"].dtype == frame["a"].dtype
