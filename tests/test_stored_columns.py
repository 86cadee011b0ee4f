"""Columns as plain arrays, and what is refused of stored ones."""

import numpy as np
import pytest

from skvae.data.encoding import TableEncoding
from skvae.data.kinds import Column
from skvae.data.stored_columns import columns_from_arrays, columns_to_arrays, packed, unpacked

COLUMNS = [
    Column("number", "int64"),
    Column("category", "category", ["b", "a"], "str", ordered=True),
    Column("flag", "bool"),
    Column("category", "category", [(0.5, 1.0), (1.0, 2.0)], "interval[float64, right]"),
]
LISTS = [
    ["a", "b"],
    ["a", "ends with NUL\0"],
    [1, 2],
    [2**70, 1],
    [1.5, 0.1],
    [1, 1.5],
    ["a", 1],
    [True, False],
    [(0, 1), (1, 2)],
    None,
]


@pytest.mark.parametrize("values", LISTS, ids=repr)
def test_a_packed_list_is_exactly_the_list(values):
    found = unpacked(packed(values))
    assert found == values
    assert list(map(type, found or ())) == list(map(type, values or ()))


def test_many_strings_are_stored_as_one_array():
    assert packed([f"level {k}" for k in range(1000)]).shape == (1000,)


def test_columns_come_back():
    assert columns_from_arrays(columns_to_arrays(COLUMNS)) == COLUMNS


DAMAGE = {
    "other kinds": {"kinds": np.array(["number", "category", "flag", "date"])},
    "kinds of another length": {"kinds": np.array(["number"])},
    "no dtypes": {"dtypes": None},
    "ordered is no flag": {"ordered": np.array([0, 1, 0, 0])},
    "levels are lacking": {"levels": [["a", "b"]]},
    "levels are empty": {"levels": [["a", "b"], []]},
    "levels repeat": {"levels": [["a", "a"], ["c"]]},
    "the dtype lacks a level": {"declared": [["a", "c"], None]},
    "levels of a dtype are lacking": {"declared": [None]},
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_damaged_columns_are_refused(change):
    with pytest.raises(ValueError, match="need"):
        columns_from_arrays({**columns_to_arrays(COLUMNS), **change})


@pytest.mark.parametrize(
    "change",
    [{"library": "spam"}, {"layout": None}, {"names": None}, {"names": ["a"]}],
    ids=str,
)
def test_damaged_encodings_are_refused(change):
    encoding = TableEncoding("pandas", COLUMNS, list("abcd"))
    arrays = encoding.to_arrays()
    assert TableEncoding.from_arrays(arrays).columns == COLUMNS
    with pytest.raises(ValueError, match="an encoding needs"):
        TableEncoding.from_arrays({**arrays, **change})
