"""Tables of the caller's kind: NumPy, SciPy, pandas or polars."""

import numpy as np
from scipy import sparse


def fill_missing(X, missing, values):
    """Return a copy of a table with its missing values filled; kind and dtypes are kept.

    Parameters
    ----------
    X : ndarray, sparse matrix, pandas or polars frame of shape (n, n_columns)
        As the caller passed it.
    missing : ndarray of shape (n, n_columns), dtype bool
    values : ndarray of the same shape
        Only those at missing places are used. For columns of integers and booleans they are
        rounded.
    """
    if hasattr(X, "iloc"):
        return _fill_pandas(X, missing, values)
    if hasattr(X, "with_columns"):
        return _fill_polars(X, missing, values)
    if sparse.issparse(X):
        return _fill_sparse(X, missing, values)
    # In a list there may be None, which would make it an array of objects.
    filled = np.array(X, subok=True, dtype=None if hasattr(X, "dtype") else values.dtype)
    filled[missing] = values[missing]
    return filled


def _fill_pandas(X, missing, values):
    filled = X.copy()
    for j in np.flatnonzero(missing.any(axis=0)):
        column = X.iloc[:, j]
        new = _rounded(values[:, j], column.dtype.kind)
        # As objects: assigning floats to a column of another dtype is an error.
        cells = column.astype(object)
        cells[missing[:, j]] = new[missing[:, j]]
        filled.isetitem(j, cells.astype(column.dtype))
    return filled


def _fill_polars(X, missing, values):
    filled = []
    for j, column in enumerate(X.iter_columns()):
        if missing[:, j].any():
            kind = "f" if column.dtype.is_float() else "i" if column.dtype.is_integer() else "b"
            new = type(column)(column.name, _rounded(values[:, j], kind)).cast(column.dtype)
            column = column.zip_with(type(column)(~missing[:, j]), new)
        filled.append(column)
    return X.with_columns(filled)


def _fill_sparse(X, missing, values):
    filled = X.tocsr(copy=True)
    filled.sum_duplicates()
    rows = np.repeat(np.arange(X.shape[0]), np.diff(filled.indptr))
    places = np.isnan(filled.data)
    filled.data[places] = values[rows[places], filled.indices[places]]
    return filled.asformat(X.format)


def _rounded(values, kind):
    """Return values as a column of booleans (kind "b") or integers can hold them."""
    if kind == "b":
        return values > 0.5
    return np.rint(values) if kind in "iu" else values
