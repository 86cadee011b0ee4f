"""The library of a table."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skvae.data.tables import library_of_frame, open_table

TABLES = {
    "pandas": pd.DataFrame({"a": [1]}),
    "polars": pl.DataFrame({"a": [1]}),
    None: np.ones((1, 1)),
}


@pytest.mark.parametrize(("library", "X"), TABLES.items())
def test_the_library_is_found(library, X):
    assert library_of_frame(X) == library
    table = open_table(X)
    assert table.library == (library or "numpy")
    assert table.shape == (1, 1)
    assert table.place(0) == ("column 'a'" if library else "feature 0")


def test_frames_of_a_subclass_are_frames():
    class Frame(pd.DataFrame):
        pass

    assert library_of_frame(Frame({"a": [1]})) == "pandas"


def test_single_columns_are_no_frames():
    assert library_of_frame(pd.Series([1])) is None
    assert library_of_frame(pl.Series([1])) is None
