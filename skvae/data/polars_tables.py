"""Columns of a polars frame, read and written. Imported only for such frames."""

import json
from dataclasses import replace

import numpy as np
import polars as pl

from skvae.data.coding import column_to_fill
from skvae.data.kinds import (
    CATEGORY,
    FLAG,
    NUMBER,
    TEXT,
    Column,
    cast_numbers,
    codes_of,
    refuse,
)
from skvae.data.table_reader import TableReader

_KINDS = {pl.Boolean: FLAG, pl.String: TEXT, pl.Null: "empty"}
_CATEGORIES = ("Categorical", "Enum")


class PolarsTable(TableReader):
    """The columns of a polars frame.

    Parameters
    ----------
    X : DataFrame
    """

    library = "polars"
    text_remedy = "Convert it with cast(pl.Categorical)"

    def __init__(self, X):
        self.X = X
        self.names = list(X.columns)
        self.shape = X.shape

    def dtype(self, j):
        """Return the name of the dtype of column j."""
        return _name(self._series(j).dtype)

    def kind(self, j):
        """Return the kind of column j: one that can be modelled, or a key of REFUSED."""
        dtype = self._series(j).dtype
        if _name(dtype) in _CATEGORIES:
            return CATEGORY
        if (dtype.is_integer() or dtype.is_float()) and "128" not in str(dtype):
            return NUMBER
        if dtype.is_nested():
            return "nested"
        if dtype.is_temporal():
            return "duration" if dtype == pl.Duration else "date"
        return _KINDS.get(dtype.base_type(), "other")

    def column(self, j, kind):
        """Describe column j as one of a kind."""
        series = self._series(j)
        column = Column(kind, self.dtype(j), values_dtype=_own_categories(series.dtype))
        if kind == CATEGORY:
            column = replace(column, levels=self.values(j)[1])
        if _dtype_of(column) != series.dtype:
            refuse(self.place(j), "other", series.dtype, self.text_remedy)
        return column

    def is_missing(self, j):
        """Return where column j has no value, as an array of bool."""
        return self._cells(j).is_null().to_numpy()

    def numbers(self, j):
        """Return column j as floats, with NaN for missing values."""
        series = self._series(j)
        kind = pl.Float32 if series.dtype == pl.Float32 else pl.Float64
        return series.cast(kind).to_numpy()

    def values(self, j):
        """Return codes of column j, -1 for missing values, and the list of their values."""
        cells = self._cells(j)
        if cells.dtype == pl.Boolean or cells.dtype.is_numeric():
            # Dense ranks are the codes of the sorted values.
            codes, levels = cells.rank("dense") - 1, cells.drop_nulls().unique().sort()
        else:
            levels = _levels_of(cells)
            codes = cells.cast(pl.String).cast(pl.Enum(levels)).to_physical()
        return codes.cast(pl.Int64).fill_null(-1).to_numpy(), levels.to_list()

    def filled(self, new):
        """Return a copy of the frame with other values in some cells."""
        columns = []
        for j, (column, values) in new.items():
            series = self._series(j)
            cells = series_of(*column_to_fill(self, j, column, values), self.names[j])
            present = pl.Series(np.isnan(values))
            # As strings: older versions of polars cannot join two columns of categories.
            common = pl.String if _name(cells.dtype) in _CATEGORIES else cells.dtype
            joined = series.cast(common).zip_with(present, cells.cast(common))
            columns.append(joined.cast(cells.dtype))
        return self.X.with_columns(columns)

    def _series(self, j):
        return self.X.to_series(j)

    def _cells(self, j):
        """Return column j with null for NaN."""
        series = self._series(j)
        return series.fill_nan(None) if series.dtype.is_float() else series


def table_of(names, columns, layout, U, index=None):
    """Return a frame with the dtypes of `columns` from a matrix of numbers and codes."""
    if index is not None:
        raise ValueError("A polars frame has no index, but an index was given.")
    return pl.DataFrame(
        [series_of(column, U[:, j], names[j]) for j, column in enumerate(columns)]
    )


def series_of(column, values, name):
    """Return numbers or codes as a series with the dtype of a column."""
    dtype, missing = _dtype_of(column), pl.Series(np.isnan(values), dtype=pl.Boolean)
    if column.kind == CATEGORY:
        codes = pl.Series(codes_of(values, len(column.levels)))
        cells = pl.Series(column.levels).gather(codes.set(missing, None))
        return cells.cast(dtype).alias(name)
    if column.kind == FLAG:
        cells = pl.Series(name, values > 0.5)
    else:
        inner = np.dtype(column.dtype.lower())
        cells = pl.Series(name, cast_numbers(values, inner)).cast(dtype)
    return cells.set(missing, None)


def _dtype_of(column):
    if column.dtype == "Enum":
        return pl.Enum(column.dtype_levels)
    if column.values_dtype:
        name, namespace, physical = json.loads(column.values_dtype)
        return pl.Categorical(pl.Categories(name, namespace, getattr(pl, physical)))
    dtype = getattr(pl, column.dtype, None)
    if not (isinstance(dtype, type) and issubclass(dtype, pl.DataType)):
        raise ValueError(f"polars has no dtype {column.dtype!r}.")
    return dtype()


def _own_categories(dtype):
    """Return the names of a pl.Categorical's own categories, or "" if it has none."""
    categories = getattr(dtype, "categories", None)
    if isinstance(categories, (pl.Series, type(None))) or categories.is_global():
        return ""
    names = categories.name(), categories.namespace(), str(categories.physical())
    return json.dumps(names)


def _levels_of(cells):
    """Return the distinct strings of a series, sorted; all those of an Enum, in its order."""
    # Not the strings of a pl.Categorical: they are those of all frames of the process.
    if _name(cells.dtype) == "Enum":
        return cells.dtype.categories
    return cells.drop_nulls().unique().cast(pl.String).sort()


def _name(dtype):
    name = dtype.base_type().__name__
    return name if name in _CATEGORIES else str(dtype)
