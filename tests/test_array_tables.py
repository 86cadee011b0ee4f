"""Columns of arrays, to numbers and codes and back."""

import numpy as np
import pandas as pd
import pytest
from table_cases import encode_store_decode

from skvae.data.encoding import TableEncoding

CODES = np.array([[1.5, 3, 7], [np.nan, 1, np.nan], [2, 3, 8]])
OBJECTS = np.array([["a", 1.5, None], ["b", 2, "u"]], dtype=object)


@pytest.mark.parametrize("listed", [[1, 2], [False, True, True], (2, 1)])
def test_codes_of_any_values_come_back(listed):
    encoding, U, back = encode_store_decode(CODES, categorical_features=listed)
    assert encoding.kinds == ["number", "category", "category"]
    assert encoding.levels == [None, [1.0, 3.0], [7.0, 8.0]]
    np.testing.assert_array_equal(U, [[1.5, 1, 0], [np.nan, 0, np.nan], [2, 1, 1]])
    np.testing.assert_array_equal(back, CODES)
    assert back.dtype == CODES.dtype


def test_negative_codes_are_categories_as_in_gradient_boosting():
    encoding, _, back = encode_store_decode(-CODES, categorical_features=[1])
    assert encoding.levels[1] == [-3.0, -1.0]
    np.testing.assert_array_equal(back, -CODES)


def test_float32_stays_float32():
    _, U, back = encode_store_decode(np.float32(CODES), categorical_features=[1])
    assert U.dtype == back.dtype == np.float32


def test_strings_among_numbers_come_back_as_objects():
    _, U, back = encode_store_decode(OBJECTS, categorical_features=[0, 2])
    np.testing.assert_array_equal(U, [[0, 1.5, np.nan], [1, 2, 0]])
    assert back.tolist()[1] == ["b", 2, "u"]
    assert back[0, 0] == "a"
    assert np.isnan(back[0, 2])


def test_lists_are_read_like_arrays_of_objects():
    _, U, _ = encode_store_decode([["b", 1], ["a", 2]], categorical_features=[0])
    np.testing.assert_array_equal(U, [[1, 1], [0, 2]])


@pytest.mark.parametrize("X", [[["b"], ["a"]], [[5], [3]], [[True], [False]]], ids=str)
def test_an_array_of_categories_only_has_the_dtype_of_fit(X):
    X = np.array(X)
    encoding, _, back = encode_store_decode(X, categorical_features=[0])
    assert back.dtype == X.dtype
    np.testing.assert_array_equal(back, X)
    with pytest.raises(ValueError, match=r"In feature 0 of X: the dtype .* has no missing"):
        encoding.decode([[np.nan]])


def test_masked_cells_are_missing():
    X = np.ma.masked_equal(CODES, 7)
    encoding = TableEncoding.fit(X, [2])
    assert encoding.levels[2] == [8.0]
    np.testing.assert_array_equal(encoding.encode(X)[:, 2], [np.nan, np.nan, 0])


@pytest.mark.parametrize("missing", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT], ids=repr)
def test_every_missing_object_is_missing(missing):
    X = np.array([["a", 1.5], [missing, missing]], dtype=object)
    U = TableEncoding.fit(X, [0]).encode(X)
    np.testing.assert_array_equal(U, [[0, 1.5], [np.nan, np.nan]])


def test_only_missing_cells_are_filled():
    values = np.array([[9, 9, 9], [5, 9, 1], [9, 9, 9.0]])
    filled = TableEncoding.fit(CODES, [1, 2]).fill(CODES, values)
    np.testing.assert_array_equal(filled, [[1.5, 3, 7], [5, 1, 8], [2, 3, 8]])
    filled = TableEncoding.fit(OBJECTS, [0, 2]).fill(OBJECTS, np.zeros((2, 3)))
    assert filled.tolist() == [["a", 1.5, "u"], ["b", 2, "u"]]
    without = np.full((2, 3), np.nan)
    filled = TableEncoding.fit(OBJECTS, [0, 2]).fill(without, np.zeros((2, 3)))
    assert filled.tolist() == [["a", 0, "u"]] * 2


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("text", "has strings"),
        (np.datetime64("2020"), "dates"),
        (1j, "complex"),
        (b"a", "neither"),
    ],
)
def test_other_columns_are_refused_by_number(column, message):
    X = np.array([[1, column]], dtype=object)
    with pytest.raises(ValueError, match=f"In feature 1 of X: .*{message}"):
        TableEncoding.fit(X, [0])


def test_categories_that_have_no_order_are_refused():
    with pytest.raises(ValueError, match=r"feature 0 of X: .*several types, int, str\."):
        TableEncoding.fit(np.array([["a"], [1]], dtype=object), [0])


def test_an_array_has_no_index():
    with pytest.raises(ValueError, match="no index"):
        TableEncoding.fit(CODES, [1]).decode(CODES, index=[3, 4, 5])
