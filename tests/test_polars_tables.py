"""Columns of polars frames, to numbers and codes and back."""

import datetime

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.ensemble import HistGradientBoostingRegressor
from table_cases import (
    GAPS,
    POLARS_COLUMNS,
    STRINGS,
    adult_in_polars,
    encode_store_decode,
)

from skvae.data.encoding import TableEncoding


@pytest.mark.parametrize(("kind", "column"), POLARS_COLUMNS.values(), ids=POLARS_COLUMNS)
def test_a_column_comes_back_as_it_was(kind, column):
    frame = column.to_frame("a")
    encoding, U, back = encode_store_decode(frame)
    assert encoding.kinds == [kind]
    np.testing.assert_array_equal(np.isnan(U[:, 0]), column.is_null())
    assert_frame_equal(back, frame)


def test_a_frame_of_all_of_them_comes_back_as_it_was():
    frame = pl.DataFrame({name: column for name, (_, column) in POLARS_COLUMNS.items()})
    encoding, _, back = encode_store_decode(frame)
    assert encoding.kinds == [kind for kind, _ in POLARS_COLUMNS.values()]
    assert_frame_equal(back, frame)


@pytest.mark.skipif(not hasattr(pl, "Categories"), reason="needs polars with pl.Categories")
def test_categories_of_their_own_come_back():
    frame = pl.DataFrame({"a": pl.Series(STRINGS, dtype=pl.Categorical(pl.Categories("own")))})
    back = encode_store_decode(frame)[2]
    assert_frame_equal(back, frame)
    assert back.schema["a"] != pl.Categorical()


def test_codes_follow_the_order_of_an_enum_and_are_sorted_in_a_categorical():
    frame = pl.DataFrame({name: POLARS_COLUMNS[name][1] for name in ("Enum", "Categorical")})
    encoding = TableEncoding.fit(frame)
    np.testing.assert_array_equal(
        encoding.encode(frame), [[0, 1], [np.nan, np.nan], [1, 0], [0, 1]]
    )
    assert encoding.levels == [["x", "b"], ["b", "x"]]
    declared = TableEncoding.fit(frame, keep_declared=True)
    assert declared.levels == [["x", "unused", "b"], ["b", "x"]]


def test_strings_of_other_frames_are_no_categories_of_this_one():
    pl.Series(["from another frame"], dtype=pl.Categorical)
    assert TableEncoding.fit(pl.DataFrame(POLARS_COLUMNS["Categorical"][1])).n_levels == [2]


@pytest.mark.parametrize("dtype", [pl.String, pl.Int8, pl.UInt64, pl.Float32, pl.Boolean])
def test_a_listed_column_of_any_dtype_is_one_of_sorted_categories(dtype):
    values = STRINGS if dtype == pl.String else GAPS
    values = [True, None, False, True] if dtype == pl.Boolean else values
    frame = pl.DataFrame({"n": [0.5, 1, 2, 3], "a": pl.Series(values, dtype=dtype)})
    for listed in (["a"], [1], [False, True]):
        encoding, _, back = encode_store_decode(frame, categorical_features=listed)
        assert encoding.kinds == ["number", "category"]
        assert encoding.levels[1] == frame["a"].drop_nulls().unique().sort().to_list()
        assert_frame_equal(back, frame)


def test_what_is_a_category_is_as_in_gradient_boosting():
    frame = pl.DataFrame({name: column for name, (_, column) in POLARS_COLUMNS.items()})
    boosting = HistGradientBoostingRegressor(max_iter=1).fit(frame, np.arange(4))
    is_category = [kind == "category" for kind in TableEncoding.fit(frame).kinds]
    np.testing.assert_array_equal(is_category, boosting.is_categorical_)
    strings = pl.DataFrame({"a": ["x", "y"]})
    for fit in (TableEncoding.fit, lambda X: boosting.fit(X, [0, 1])):
        with pytest.raises(ValueError, match="string"):
            fit(strings)


REFUSED = {
    "strings": (pl.Series(["a"]), r"strings.*cast\(pl.Categorical\).*categorical_features"),
    "dates": (
        pl.Series([datetime.date(2020, 1, 1)]),
        "dates or times.*the year",
    ),
    "datetimes": (pl.Series([datetime.datetime(2020, 1, 1)]), "dates or times"),
    "times": (pl.Series([datetime.time(1)]), "dates or times"),
    "durations": (pl.Series([datetime.timedelta(1)]), "durations.*seconds"),
    "lists": (pl.Series([[1]]), "nested values.*explode or unnest"),
    "structs": (pl.Series([{"a": 1}]), "nested"),
    "arrays": (pl.Series([[1, 2]], dtype=pl.Array(pl.Int8, 2)), "nested"),
    "nulls": (pl.Series([None]), "no type and no values"),
    "bytes": (pl.Series([b"a"]), "neither numbers.*Binary"),
    "objects": (pl.Series([object()], dtype=pl.Object), "neither numbers.*Object"),
    "no categories": (pl.Series([None], dtype=pl.Categorical), "no categories"),
}


@pytest.mark.parametrize(("column", "message"), REFUSED.values(), ids=REFUSED)
def test_other_columns_are_refused_by_name_with_what_to_do(column, message):
    frame = pl.DataFrame({"fine": [1], "odd": column})
    with pytest.raises(ValueError, match=f"In column 'odd' of X: .*{message}"):
        TableEncoding.fit(frame)


def test_numbers_are_rounded_and_kept_in_the_range_of_integers():
    frame = pl.DataFrame({"a": [0], "b": [0]}, schema={"a": pl.Int8, "b": pl.UInt64})
    decode = TableEncoding.fit(frame).decode
    found = decode(np.array([[1.6, 2.4], [1e30, 1e30], [-1e30, -1e30], [np.nan, np.nan]]))
    assert found.rows() == [(2, 2), (127, 2**64 - 1), (-128, 0), (None, None)]


@pytest.mark.parametrize(("kind", "column"), POLARS_COLUMNS.values(), ids=POLARS_COLUMNS)
def test_only_missing_cells_are_filled_and_dtypes_are_kept(kind, column):
    frame = column.to_frame("a")
    encoding = TableEncoding.fit(frame)
    filled = encoding.fill(frame, np.ones((4, 1)))
    present = pl.Series(column.is_not_null())
    expected = encoding.decode(np.ones((4, 1)))["a"]
    assert filled["a"].dtype == column.dtype
    assert filled["a"].filter(present).to_list() == column.drop_nulls().to_list()
    assert filled["a"].filter(~present).to_list() == expected.filter(~present).to_list()
    assert filled["a"].null_count() == 0


def test_a_dtype_without_the_category_gets_it():
    fitted = TableEncoding.fit(adult_in_polars())
    frame = adult_in_polars().with_columns(
        workclass=pl.Series([None, "Private"] * 2, dtype=pl.Enum(["Private"]))
    )
    found = fitted.fill(frame, np.ones((4, 5)))["workclass"]
    assert found.to_list() == ["State-gov", "Private"] * 2
    assert found.dtype == pl.Enum(["Private", "State-gov"])
    untyped = frame.with_columns(workclass=pl.Series([None] * 4))
    assert fitted.fill(untyped, np.ones((4, 5)))["workclass"].to_list() == ["State-gov"] * 4


def test_nan_and_null_are_both_missing():
    frame = pl.DataFrame({"a": [1.0, None, float("nan")]})
    encoding = TableEncoding.fit(frame)
    np.testing.assert_array_equal(encoding.encode(frame)[:, 0], [1, np.nan, np.nan])
    assert encoding.fill(frame, np.full((3, 1), 5.0))["a"].to_list() == [1, 5, 5]
    assert encoding.decode(encoding.encode(frame))["a"].to_list() == [1, None, None]


def test_a_frame_has_no_index():
    encoding = TableEncoding.fit(adult_in_polars())
    with pytest.raises(ValueError, match="no index"):
        encoding.decode(np.ones((1, 5)), index=[3])


def test_a_stored_dtype_that_is_none_is_refused():
    arrays = TableEncoding.fit(pl.DataFrame({"a": [1]})).to_arrays()
    encoding = TableEncoding.from_arrays({**arrays, "dtypes": np.array(["read_csv"])})
    with pytest.raises(ValueError, match="polars has no dtype 'read_csv'"):
        encoding.decode(np.ones((1, 1)))
