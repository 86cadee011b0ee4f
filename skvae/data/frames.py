"""Tables of the caller's kind: NumPy, SciPy, pandas or polars."""

import numpy as np
from scipy import sparse

from skvae.data.kinds import NUMBER, Column
from skvae.data.tables import library_of_frame, open_table


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
    if library_of_frame(X) is not None:
        number = Column(NUMBER, "float64")
        values = np.where(missing, values, np.nan)
        new = {j: (number, values[:, j]) for j in np.flatnonzero(missing.any(axis=0))}
        return open_table(X).filled(new)
    if sparse.issparse(X):
        return _fill_sparse(X, missing, values)
    # In a list there may be None, which would make it an array of objects.
    filled = np.array(X, subok=True, dtype=None if hasattr(X, "dtype") else values.dtype)
    filled[missing] = _held_by(filled.dtype, values[missing])
    return filled


def missing_cells(X):
    """Return where a frame or an array has no value, as an array of bool."""
    table = open_table(X)
    return np.column_stack([table.is_missing(j) for j in range(table.shape[1])])


def append_columns(X, names, values):
    """Return a frame, or an array, with further columns at its right."""
    library = library_of_frame(X)
    if library is None:
        return np.hstack([X, values])
    columns = dict(zip(names, values.T, strict=True))
    return X.assign(**columns) if library == "pandas" else X.hstack(type(X)(columns))


def _held_by(dtype, values):
    """Return values as a dtype can hold them: masked arrays may have integers or booleans."""
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        return np.rint(values).clip(ends.min, ends.max)
    return values


def _fill_sparse(X, missing, values):
    filled = X.tocsr(copy=True)
    filled.sum_duplicates()
    rows = np.repeat(np.arange(X.shape[0]), np.diff(filled.indptr))
    places = np.isnan(filled.data)
    filled.data[places] = values[rows[places], filled.indices[places]]
    return filled.asformat(X.format)
