"""Columns of tables of any kind, as numbers or as the labels of categories."""

from dataclasses import dataclass
from numbers import Real

import numpy as np

from skvae.data.missing import is_missing_value

_MAX_LABEL = 14


@dataclass(frozen=True)
class Column:
    """The values of one column.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Numbers with NaN for missing ones, or labels as str with None.
    order : list of str or None
        The labels of categories in their order; None for numbers.
    """

    values: np.ndarray
    order: list | None = None

    @property
    def missing(self):
        """Where there is no value, as an array of bool."""
        if self.order is None:
            return np.isnan(self.values)
        return np.equal(self.values, None).astype(bool)

    @property
    def known(self):
        """The values that are there; of numbers the finite ones."""
        return self.values[np.isfinite(self.values) if self.order is None else ~self.missing]

    def only(self, places):
        """Return the column with missing values at all other places."""
        other = np.nan if self.order is None else None
        return Column(np.where(places, self.values, other), self.order)


def is_mixed(table):
    """Whether a table has columns of categories or flags, or of objects that are no numbers."""
    if hasattr(table, "columns"):
        return any(_is_mixed_column(*_series(table, j)) for j in range(table.shape[1]))
    if getattr(table, "ndim", None) != 2 or table.dtype.kind not in "OUS":
        return False
    return any(_is_mixed_column(table[:, j], table.dtype) for j in range(table.shape[1]))


def read_column(table, j):
    """Return column `j` of an array or a frame."""
    if hasattr(table, "columns"):
        series, dtype = _series(table, j)
    else:
        series, dtype = table[:, j], table.dtype
    return column_of(series, dtype)


def column_of(series, dtype):
    """Return a series, or a 1-D array, as a Column."""
    if _is_numeric(dtype):
        options = {"dtype": float, "na_value": np.nan} if hasattr(series, "iloc") else {}
        values = series.to_numpy(**options) if hasattr(series, "to_numpy") else series
        return Column(np.asarray(values, dtype=float))
    cells = np.fromiter(series, dtype=object, count=len(series))
    missing = np.fromiter(map(is_missing_value, cells), dtype=bool, count=len(cells))
    if all(isinstance(cell, Real) and not _is_flag(cell) for cell in cells[~missing]):
        return Column(np.where(missing, np.nan, cells).astype(float))
    levels = _declared(dtype) or _sorted(set(cells[~missing]))
    labels = np.array([None] * len(cells), dtype=object)
    labels[~missing] = [str(cell) for cell in cells[~missing]]
    return Column(labels, [str(level) for level in levels])


def as_labels(column):
    """Return a column of numbers as one of categories."""
    if column.order is not None:
        return column
    labels = np.array([None if v != v else f"{v:g}" for v in column.values], dtype=object)
    return Column(labels, [f"{v:g}" for v in np.unique(column.known)])


def common_order(columns):
    """Return the labels that occur in columns of categories, in the order of the first."""
    occurring = {label for column in columns for label in column.known}
    order = dict.fromkeys(label for column in columns for label in column.order)
    return [label for label in order if label in occurring]


def shortened(label, most=_MAX_LABEL):
    """Return a label, cut if it is long."""
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _series(table, j):
    series = table.iloc[:, j] if hasattr(table, "iloc") else table[:, j]
    return series, series.dtype


def _is_mixed_column(series, dtype):
    return not _is_numeric(dtype) and column_of(series, dtype).order is not None


def _is_numeric(dtype):
    """Whether a dtype of NumPy, pandas or polars is one of numbers, and not of flags."""
    is_numeric = getattr(dtype, "is_numeric", None)
    if callable(is_numeric):
        return is_numeric()
    return getattr(dtype, "kind", "O") in "iuf"


def _declared(dtype):
    """Return the categories of a dtype in their order, or an empty list if it has none."""
    # Those of a pl.Categorical may be the strings of all frames of the process.
    has_own = type(dtype).__name__ in ("CategoricalDtype", "Enum")
    return list(dtype.categories) if has_own else []


def _is_flag(value):
    return isinstance(value, (bool, np.bool_))


def _sorted(values):
    """Return values in order, by their names if they are of several types."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)
