"""The columns of several tables as those of one."""

import numpy as np
import pandas as pd
import pytest

from skvae.data.encoding import TableEncoding
from skvae.data.joint_columns import join_encodings


def encodings(*frames, listed="from_dtype"):
    return [TableEncoding.fit(frame, listed) for frame in frames]


def kinds(*values, dtype="category"):
    return pd.DataFrame({"kind": pd.Series(list(values), dtype=dtype)})


def test_one_encoding_stays():
    (one,) = encodings(kinds("a", "b"))
    assert join_encodings([one]) is one
    assert join_encodings([None, None]) is None


@pytest.mark.parametrize("dtype", ["category", pd.CategoricalDtype(list("cabx"))])
def test_categories_are_those_of_all_rows_in_one_table(dtype):
    parts = [kinds("a", "c", dtype=dtype), kinds("b", "b", dtype=dtype)]
    whole = kinds("a", "c", "b", "b", dtype=dtype)
    joint, (expected,) = join_encodings(encodings(*parts)), encodings(whole)
    assert joint.columns == expected.columns


def test_listed_strings_are_sorted_together():
    parts = [kinds("z", "m", dtype=object), kinds("k", "z", dtype=object)]
    joint = join_encodings(encodings(*parts, listed=["kind"]))
    assert joint.columns[0].levels == ["k", "m", "z"]


def test_integers_and_floats_are_floats():
    parts = [pd.DataFrame({"n": [1, 2]}), pd.DataFrame({"n": [1.0, np.nan]})]
    for pair in (parts, parts[::-1]):
        assert join_encodings(encodings(*pair)).columns[0].dtype == "float64"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (pd.DataFrame({"kind": [1.0, 2.0]}), "rank 1 has another kind of column"),
        (kinds("a").rename(columns={"kind": "job"}), "Rank 1 has other names of columns"),
        (kinds("a").assign(more=1), "Rank 1 has other names of columns"),
        (kinds("a", dtype=pd.CategoricalDtype(["a"], ordered=True)), "another kind of column"),
    ],
)
def test_other_columns_are_refused_by_name(other, message):
    with pytest.raises(ValueError, match=message):
        join_encodings(encodings(kinds("a", "b"), other))


def test_an_array_beside_a_frame_is_refused():
    (frame,) = encodings(kinds("a", "b"))
    with pytest.raises(ValueError, match="an array and not pandas"):
        join_encodings([frame, None])


def test_other_ordered_categories_are_refused():
    first, second = (
        kinds("a", dtype=pd.CategoricalDtype(list(each), ordered=True)) for each in ("ab", "ba")
    )
    with pytest.raises(ValueError, match="other ordered categories"):
        join_encodings(encodings(first, second))
