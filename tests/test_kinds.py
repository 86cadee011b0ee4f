"""Kinds of Python objects, and casts."""

import datetime
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from skvae.data.kinds import Column, cast_numbers, codes_of, kind_of_objects, with_levels_of

OBJECTS = [
    ([1, 2.5, np.int8(3), Decimal("1.5"), Fraction(1, 3)], "number"),
    ([True, np.False_], "flag"),
    ([True, 2], "number"),
    (["a", "b"], "text"),
    (["a", 1], "text"),
    ([1, 1j], "other"),
    ([np.complex64(1)], "complex"),
    ([datetime.date(2020, 1, 1), np.datetime64("2020")], "date"),
    ([np.timedelta64(1)], "duration"),
    ([[1], (2,)], "nested"),
    ([], "number"),
]


@pytest.mark.parametrize(("values", "kind"), OBJECTS, ids=str)
def test_the_kind_of_objects(values, kind):
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    assert kind_of_objects(cells) == kind


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_integers_are_rounded_and_in_range(dtype):
    limits = np.iinfo(dtype)
    values = np.array([0.6, np.nan, -1e300, 1e300, float(limits.max)])
    found = cast_numbers(values, np.dtype(dtype)).tolist()
    assert found == [1, 0, limits.min, limits.max, limits.max]


def test_floats_are_in_range_and_nan_stays():
    found = cast_numbers(np.array([1e300, -1e300, np.nan, 0.5]), np.dtype("float32"))
    limit = np.finfo(np.float32).max
    np.testing.assert_array_equal(found, [limit, -limit, np.nan, 0.5])
    assert found.dtype == np.float32


def test_codes_are_rounded_and_in_range():
    assert codes_of(np.array([-2, 0.4, 1.6, 9, np.nan]), 3).tolist() == [0, 0, 2, 2, -1]


def test_only_categories_that_are_needed_are_added():
    fitted = Column("category", "category", ["a", "b", "c"])
    own = Column("category", "category", ["c", "z"], ordered=True)
    column, codes = with_levels_of(fitted, own, np.array([0, 2, np.nan]))
    assert column == Column("category", "category", ["c", "z", "a"], ordered=True)
    np.testing.assert_array_equal(codes, [2, 0, np.nan])
