"""Columns of an array, read and written."""

import numpy as np

from skvae.data.kinds import (
    CATEGORY,
    FLAG,
    NUMBER,
    TEXT,
    Column,
    check_no_missing,
    codes_of,
    kind_of_objects,
    plain_values,
    sorted_levels,
)
from skvae.data.missing import is_missing_value, masked_as_nan
from skvae.data.table_reader import TableReader

_KINDS = {
    **dict.fromkeys("biuf", NUMBER),
    "U": TEXT,
    "M": "date",
    "m": "duration",
    "c": "complex",
}


class ArrayTable(TableReader):
    """The columns of a 2-D array.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_columns)
    """

    library = "numpy"
    names = None
    text_remedy = "Convert it to codes"

    def __init__(self, X):
        self._given = X
        X = masked_as_nan(X)
        if not isinstance(X, np.ndarray):
            kind = np.asarray(X).dtype.kind
            # A list of numbers and strings: NumPy would make strings of the numbers.
            X = np.asarray(X, dtype=object if kind in "US" else None)
        self.X = X
        self.shape = X.shape

    def dtype(self, j):
        """Return the name of the dtype."""
        return str(self.X.dtype)

    def kind(self, j):
        """Return the kind of column j: one that can be modelled, or a key of REFUSED."""
        if self.X.dtype != object:
            return _KINDS.get(self.X.dtype.kind, "other")
        kind = kind_of_objects(self.X[~self.is_missing(j), j])
        return NUMBER if kind == FLAG else kind

    def column(self, j, kind):
        """Describe column j as one of a kind."""
        levels = None
        if kind == CATEGORY:
            levels = sorted_levels(self.values(j)[1], self.place(j))
        return Column(kind, self.dtype(j), levels)

    def is_missing(self, j):
        """Return where column j has no value, as an array of bool."""
        cells = self.X[:, j]
        if cells.dtype.kind == "f":
            return np.isnan(cells)
        if cells.dtype != object:
            return np.zeros(len(cells), dtype=bool)
        return np.fromiter(map(is_missing_value, cells), dtype=bool, count=len(cells))

    def numbers(self, j):
        """Return column j as floats, with NaN for missing values."""
        if self.X.dtype != object:
            return self.X[:, j]
        missing = self.is_missing(j)
        values = np.full(len(missing), np.nan)
        values[~missing] = self.X[~missing, j].astype(np.float64)
        return values

    def values(self, j):
        """Return codes of column j, -1 for missing values, and the list of their values."""
        missing = self.is_missing(j)
        cells = self.X[~missing, j].tolist()
        order = {value: code for code, value in enumerate(dict.fromkeys(cells))}
        codes = np.full(len(missing), -1)
        codes[~missing] = [order[value] for value in cells]
        return codes, plain_values(order, self.place(j))

    def filled(self, new):
        """Return a copy of the array with other values in some cells."""
        given = self._given if isinstance(self._given, np.ndarray) else self.X
        filled = np.array(given, subok=True)
        for j, (column, values) in new.items():
            places = ~np.isnan(values)
            cells = _cells_of(column, values[places])
            if cells.dtype == object and any(isinstance(cell, str) for cell in cells):
                filled = filled.astype(object)
            filled[places, j] = cells
        return filled


def table_of(names, columns, layout, U, index=None):
    """Return an array from a matrix of numbers and codes.

    It is of floats, as everywhere in scikit-learn; of Python objects if there are categories
    of strings; and of the dtype of `fit` if all columns are categories.
    """
    if index is not None:
        raise ValueError("An array has no index, but an index was given.")
    levels = [level for column in columns for level in column.levels or ()]
    all_categories = all(column.kind == CATEGORY for column in columns)
    has_text = any(isinstance(level, str) for level in levels)
    out = np.array(U, dtype=object if has_text or all_categories else None)
    for j, column in enumerate(columns):
        out[:, j] = _cells_of(column, U[:, j])
    if not all_categories or np.dtype(columns[0].dtype) == object:
        return out
    dtype = np.dtype(columns[0].dtype)
    if dtype.kind != "f":
        for j, missing in enumerate(np.isnan(U).T):
            check_no_missing(missing, dtype, f"feature {j}")
    return out.astype(dtype)


def _cells_of(column, values):
    """Return numbers as they are, flags of their probabilities, and the categories of codes."""
    if column.kind == FLAG:
        return values > 0.5
    if column.kind != CATEGORY:
        return values
    codes = codes_of(values, len(column.levels))
    return np.array([*column.levels, np.nan], dtype=object)[codes]
