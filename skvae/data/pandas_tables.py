"""Columns of a pandas frame, read and written. Imported only for such frames."""

from contextlib import suppress

import numpy as np
import pandas as pd

from skvae.data.coding import column_to_fill
from skvae.data.kinds import (
    CATEGORY,
    FLAG,
    NUMBER,
    TEXT,
    Column,
    cast_numbers,
    check_no_missing,
    codes_in_dtype,
    codes_of,
    kind_of_objects,
    plain_values,
    refuse,
    sorted_levels,
)
from skvae.data.table_reader import TableReader

_KINDS = {
    **dict.fromkeys("iuf", NUMBER),
    "b": FLAG,
    "M": "date",
    "m": "duration",
    "c": "complex",
    "U": TEXT,
}


class PandasTable(TableReader):
    """The columns of a pandas frame.

    Parameters
    ----------
    X : DataFrame
    """

    library = "pandas"
    text_remedy = "Convert it with astype('category')"

    def __init__(self, X):
        self.X = X
        self.names = _labels(X.columns)
        self.shape = X.shape

    def dtype(self, j):
        """Return the name of the dtype of column j."""
        return str(self._series(j).dtype)

    def kind(self, j):
        """Return the kind of column j: one that can be modelled, or a key of REFUSED."""
        dtype = self._series(j).dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return CATEGORY
        if isinstance(dtype, pd.StringDtype):
            return TEXT
        if isinstance(dtype, pd.PeriodDtype):
            return "date"
        if _is_objects(dtype):
            return kind_of_objects(self._series(j).dropna().to_numpy())
        return _KINDS.get(dtype.kind, "other")

    def column(self, j, kind):
        """Describe column j as one of a kind."""
        series = self._series(j)
        dtype = self._stored_dtype(j, series.dtype)
        if kind != CATEGORY:
            return Column(kind, dtype, values_dtype=_dtype_of_objects(series))
        if dtype != "category":
            return Column(kind, dtype, sorted_levels(self.values(j)[1], self.place(j)))
        levels = _plain_categories(series.cat.categories, self.place(j))
        values_dtype = self._stored_dtype(j, series.cat.categories.dtype)
        return Column(kind, dtype, levels, values_dtype, bool(series.cat.ordered))

    def is_missing(self, j):
        """Return where column j has no value, as an array of bool."""
        return self._series(j).isna().to_numpy()

    def numbers(self, j):
        """Return column j as floats, with NaN for missing values."""
        series = self._series(j)
        if isinstance(series.dtype, np.dtype) and series.dtype.kind != "O":
            return series.to_numpy()
        missing = self.is_missing(j)
        values = np.full(len(series), np.nan)
        values[~missing] = series[~missing].to_numpy(dtype=np.float64)
        return values

    def values(self, j):
        """Return codes of column j, -1 for missing values, and the list of their values."""
        series = self._series(j)
        if isinstance(series.dtype, pd.CategoricalDtype):
            codes = series.cat.codes.to_numpy()
            return codes, _plain_categories(series.cat.categories, self.place(j))
        codes, values = pd.factorize(series)
        return codes, plain_values(pd.Index(values).tolist(), self.place(j))

    def layout(self):
        """Return what else a frame of this kind is made from."""
        labels = self.X.columns
        return {"labels_dtype": str(labels.dtype), "labels_names": list(labels.names)}

    def filled(self, new):
        """Return a copy of the frame with other values in some cells."""
        filled = self.X.copy()
        for j, (column, values) in new.items():
            series, place = self._series(j), self.place(j)
            cells = series_of(*column_to_fill(self, j, column, values), place, series.index)
            filled.isetitem(j, series.astype(cells.dtype).where(np.isnan(values), cells))
        return filled

    def _series(self, j):
        return self.X.iloc[:, j]

    def _stored_dtype(self, j, dtype):
        """Return a name from which pandas makes a dtype again; refuse a dtype that has none."""
        if isinstance(dtype, pd.CategoricalDtype):
            return "category"
        for name in (str(dtype), f"string[{getattr(dtype, 'storage', None)}]"):
            with suppress(TypeError, NotImplementedError):
                if pd.api.types.pandas_dtype(name) == dtype:
                    return name
        return refuse(self.place(j), "other", dtype, self.text_remedy)


def table_of(names, columns, layout, U, index=None):
    """Return a frame with the dtypes of `columns` from a matrix of numbers and codes."""
    if any(isinstance(name, tuple) for name in names):
        labels = pd.MultiIndex.from_tuples(names, names=layout["labels_names"])
    else:
        labels = pd.Index(names, dtype=layout["labels_dtype"], name=layout["labels_names"][0])
    index = pd.RangeIndex(len(U)) if index is None else index
    data = {
        j: series_of(column, U[:, j], f"column {names[j]!r}", index)
        for j, column in enumerate(columns)
    }
    return pd.DataFrame(data, index=index).set_axis(labels, axis=1)


def series_of(column, values, place, index):
    """Return numbers or codes as a series with the dtype of a column."""
    dtype, missing = _dtype_of(column), np.isnan(values)
    if column.kind == CATEGORY:
        if isinstance(dtype, pd.CategoricalDtype):
            codes = codes_in_dtype(column, values)
            return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype), index=index)
        codes = codes_of(values, len(column.levels))
        cells = pd.array(np.array([*column.levels, None], dtype=object)[codes], dtype=object)
        cells = pd.Series(cells, index=index)
        cells[missing] = column.levels[0]
        cells = cells.astype(dtype)
    elif column.kind == FLAG:
        cells = pd.Series(values > 0.5, index=index).astype(dtype)
    else:
        inner = np.dtype(column.values_dtype or _numpy_dtype(dtype))
        cells = pd.Series(cast_numbers(values, inner), index=index).astype(dtype)
    if isinstance(dtype, np.dtype) and dtype.kind in "biu":
        check_no_missing(missing, column.dtype, place)
    # Without a value of its own, mask would turn None into NaN.
    return cells.mask(missing, None) if _is_objects(dtype) else cells.mask(missing)


def _labels(index):
    if isinstance(index, pd.MultiIndex):
        return index.tolist()
    return plain_values(index.tolist(), "the column labels")


def _plain_categories(categories, place):
    if isinstance(categories, pd.IntervalIndex):
        left, right = (plain_values(end, place) for end in (categories.left, categories.right))
        return list(zip(left, right, strict=True))
    return plain_values(categories.tolist(), place)


def _dtype_of(column):
    if column.dtype != "category":
        return pd.api.types.pandas_dtype(column.dtype)
    if column.values_dtype.startswith("interval"):
        closed = pd.api.types.pandas_dtype(column.values_dtype).closed
        left, right = zip(*column.dtype_levels, strict=True)
        categories = pd.IntervalIndex.from_arrays(
            left, right, closed=closed, dtype=column.values_dtype
        )
    else:
        categories = pd.Index(column.dtype_levels, dtype=column.values_dtype)
    return pd.CategoricalDtype(categories, ordered=column.ordered)


def _is_objects(dtype):
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _numpy_dtype(dtype):
    """Return the dtype of the numbers in a NumPy, nullable, Arrow or sparse dtype."""
    return getattr(dtype, "subtype", getattr(dtype, "numpy_dtype", dtype))


def _dtype_of_objects(series):
    if not _is_objects(series.dtype):
        return ""
    values = series.dropna()
    whole = len(values) and all(isinstance(v, (int, np.integer)) for v in values)
    return "int64" if whole else "float64"
