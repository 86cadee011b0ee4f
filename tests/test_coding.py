"""Columns that are of another kind than in `fit`."""

import numpy as np
import pandas as pd
import pytest

from skvae.data.encoding import TableEncoding

FRAME = pd.DataFrame(
    {"n": [1.0, 2.0], "c": pd.Categorical(["a", "b"]), "f": [True, False]},
)
DATES = pd.to_datetime(["2020-01-01"] * 2)

ACCEPTED = {
    "integers for floats": ("n", [1, 2], [1, 2]),
    "flags for numbers": ("n", [True, False], [1, 0]),
    "no numbers": ("n", [None, None], [np.nan, np.nan]),
    "no dates for numbers": ("n", pd.to_datetime([None, None]), [np.nan, np.nan]),
    "strings for categories": ("c", ["b", "a"], [1, 0]),
    "objects for categories": ("c", pd.array(["b", None], dtype=object), [1, np.nan]),
    "no categories": ("c", [np.nan, np.nan], [np.nan, np.nan]),
    "numbers for flags": ("f", [0.0, np.nan], [0, np.nan]),
    "objects for flags": ("f", pd.array([True, None], dtype=object), [1, np.nan]),
}
REFUSED = {
    "strings for numbers": ("n", ["a", "b"], r"strings \(.*in fit it had numbers \(float64\)"),
    "categories for numbers": ("n", pd.Categorical(["a", "b"]), "categories"),
    "dates for numbers": ("n", DATES, "dates or times"),
    "numbers for categories": ("c", [1, 2], r"numbers \(int64\).* categories such as 'a'"),
    "dates for categories": ("c", DATES, "dates or times"),
    "other numbers for flags": ("f", [0, 2], r"numbers \(int64\), but in fit it had flags"),
    "infinity": ("n", [np.inf, 1], "1 of its values are infinite"),
}


@pytest.mark.parametrize(("name", "values", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_means_the_same_is_accepted(name, values, expected):
    U = TableEncoding.fit(FRAME).encode(FRAME.assign(**{name: values}))
    np.testing.assert_array_equal(U[:, FRAME.columns.get_loc(name)], expected)


@pytest.mark.parametrize(("name", "values", "message"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_by_name(name, values, message):
    with pytest.raises(ValueError, match=f"In column '{name}' of X: .*{message}"):
        TableEncoding.fit(FRAME).encode(FRAME.assign(**{name: values}))


def test_all_columns_that_are_refused_for_one_reason_are_named():
    texts = pd.DataFrame({"a": ["x"], "n": [1.0], "b": ["y"], "c": ["z"], "d": DATES[:1]})
    with pytest.raises(
        ValueError, match=r"column 'a' .*The same holds for column 'b', column 'c'\."
    ):
        TableEncoding.fit(texts)
    with pytest.raises(ValueError, match=r"column 'a' .*The same holds for column 'c'\."):
        TableEncoding.fit(texts, ["b"])
    with pytest.raises(ValueError, match=r"column 'd' .*a first day\.$"):
        TableEncoding.fit(texts, ["a", "b", "c"])
    many = pd.DataFrame({f"c{j}": ["x"] for j in range(30)})
    with pytest.raises(ValueError, match=r"column 'c0' .*, column 'c10' and 19 more\.$"):
        TableEncoding.fit(many)


def test_strings_of_digits_are_not_the_numbers():
    frame = pd.DataFrame({"a": [1, 2]})
    with pytest.raises(ValueError, match="categories such as 1"):
        TableEncoding.fit(frame, ["a"]).encode(frame.astype(str))
