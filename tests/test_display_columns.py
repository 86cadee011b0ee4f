"""Columns of every kind of table, read as numbers or as labels."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skvae.data.frames import missing_cells
from skvae.display.columns import (
    as_labels,
    column_of,
    common_order,
    is_mixed,
    read_column,
    shortened,
)

NUMBERS = {
    "float": pd.Series([1.0, np.nan, 3.0]),
    "nullable": pd.Series([1, None, 3], dtype="Int64"),
    "objects": pd.Series([1, None, 3], dtype=object),
    "polars": pl.Series([1, None, 3]),
    "polars floats": pl.Series([1.0, float("nan"), 3.0]),
}
LABELS = {
    "category": (pd.Series(pd.Categorical(["b", None, "a"])), ["a", "b"]),
    "ordered": (pd.Series(pd.Categorical(["b", None, "a"], ["c", "b", "a"])), ["c", "b", "a"]),
    "strings": (pd.Series(["b", None, "a"]), ["a", "b"]),
    "objects": (pd.Series(["b", np.nan, "a"], dtype=object), ["a", "b"]),
    "polars": (pl.Series(["b", None, "a"], dtype=pl.Categorical), ["a", "b"]),
    "enum": (pl.Series(["b", None, "a"], dtype=pl.Enum(["c", "b", "a"])), ["c", "b", "a"]),
}
FLAGS = {
    "nullable": pd.Series([True, None, False], dtype="boolean"),
    "objects": pd.Series([True, None, False], dtype=object),
    "polars": pl.Series([True, None, False]),
}


def frame_of(series):
    return (
        pd.DataFrame({"a": series}) if hasattr(series, "iloc") else pl.DataFrame({"a": series})
    )


@pytest.mark.parametrize("series", NUMBERS.values(), ids=NUMBERS)
def test_numbers_have_nan_where_they_are_missing(series):
    column = read_column(frame_of(series), 0)
    assert column.order is None
    np.testing.assert_array_equal(column.values, [1, np.nan, 3])
    np.testing.assert_array_equal(column.known, [1, 3])
    np.testing.assert_array_equal(missing_cells(frame_of(series))[:, 0], [False, True, False])
    assert not is_mixed(frame_of(series))


@pytest.mark.parametrize(("series", "order"), LABELS.values(), ids=LABELS)
def test_labels_are_in_the_order_of_the_dtype(series, order):
    column = read_column(frame_of(series), 0)
    assert column.order == order
    assert column.values.tolist() == ["b", None, "a"]
    assert column.known.tolist() == ["b", "a"]
    assert column.only([True, True, False]).values.tolist() == ["b", None, None]
    assert is_mixed(frame_of(series))


@pytest.mark.parametrize("series", FLAGS.values(), ids=FLAGS)
def test_flags_are_labels(series):
    column = read_column(frame_of(series), 0)
    assert column.order == ["False", "True"]
    assert column.values.tolist() == ["True", None, "False"]
    assert is_mixed(frame_of(series))


def test_arrays_are_mixed_if_they_have_strings():
    assert not is_mixed(np.ones((2, 2)))
    assert not is_mixed([[1, 2]])
    assert not is_mixed(np.array([[1, None]], dtype=object))
    X = np.array([[1, "a"], [None, "b"]], dtype=object)
    assert is_mixed(X)
    np.testing.assert_array_equal(read_column(X, 0).values, [1, np.nan])
    assert read_column(X, 1).order == ["a", "b"]


def test_labels_of_several_columns_and_numbers_among_them():
    first = column_of(pd.Series(["b", "a"]), pd.Series(["b", "a"]).dtype)
    second = as_labels(column_of(np.array([2.0, 1.5, np.nan]), np.dtype(float)))
    assert second.values.tolist() == ["2", "1.5", None]
    assert common_order([first, second]) == ["a", "b", "1.5", "2"]
    assert as_labels(first) is first
    ordered = LABELS["ordered"][0]
    assert common_order([column_of(ordered, ordered.dtype)]) == [
        "b",
        "a",
    ]


def test_long_labels_are_cut():
    assert shortened("a" * 14) == "a" * 14
    assert shortened("a" * 15) == "a" * 13 + "…"
