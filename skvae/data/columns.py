"""Errors about data that name the argument and the column."""

import re
import warnings
from contextlib import contextmanager, suppress
from numbers import Integral

import numpy as np
from scipy import sparse

# What scikit-learn's errors say that an array contains, and what finds it.
_NOT_FINITE = {"NaN": np.isnan, "infinity": np.isinf}


@contextmanager
def errors_name_columns(data, name):
    """Name the argument and the column in errors that the body raises about `data`.

    scikit-learn's "could not convert string to float: 'a'" does not name the column.

    Parameters
    ----------
    data : object
        The argument.
    name : str
        The argument's name.

    Raises
    ------
    ValueError, TypeError
        The error of the body, and ValueError if values of `data` are masked: NumPy would
        use the values under the mask.
    """
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise ValueError(
            f"{name} is a masked array, and {np.ma.count_masked(data)} of its values are "
            "masked. Fill them, for example with SimpleImputer on X.filled(np.nan)."
        )
    try:
        # NumPy would warn about an infinity before the error is raised.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    # torch raises RuntimeError if a tensor cannot be converted to an array.
    except (ValueError, TypeError, RuntimeError) as error:
        if not isinstance(error, RuntimeError) and re.search(rf"\b{name}\b", str(error)):
            word = next((w for w in _NOT_FINITE if f"contains {w}" in str(error)), None)
            where = None if word is None else _counts_by_column(data, word)
            if where is None:
                raise
            raise ValueError(f"{error}\n{where}") from error
        column = _first_bad_column(data)
        where = name if column is None else f"{column} of {name}"
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"In {where}: {error}") from error


def column_name(column, feature_names):
    """Return the name of a column, or its number if columns have no names.

    Numbers in place of names are those of the columns in a wider table.
    """
    name = column if feature_names is None else feature_names[column]
    return f"feature {name}" if isinstance(name, Integral) else repr(name)


def shortened(items, most=10):
    """Return the first of a list of strings, and how many more there are, as a string."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return f"{', '.join(items[:most])}{more}"


def column_labels(data):
    """Return the labels of a frame's columns, or None if it has none."""
    # pyarrow has the columns themselves under the other name.
    return getattr(data, "column_names", getattr(data, "columns", None))


def _first_bad_column(data):
    """Return the first column with values that are not real numbers, or None if unknown."""
    # Errors in reading another library's table must not replace the original error.
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        for place, values in _columns(data):
            if not _is_real(values):
                return place
    return None


def _counts_by_column(data, word):
    """Return a sentence on how many cells of which columns are not finite, or None.

    `word` is a key of `_NOT_FINITE`.
    """
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        is_bad = _NOT_FINITE[word]
        counts = [(j, is_bad(_floats(values)).sum()) for j, values in _columns(data)]
        listed = [f"{j.removeprefix('column ')} ({count})" for j, count in counts if count]
        if listed:
            return f"Cells with {word} by column: {shortened(listed)}."
    return None


def _columns(data):
    """Iterate over the columns of a frame, an array, a list or a sparse matrix.

    As how errors name each, and its values; of a sparse matrix only those that are stored.
    """
    names = column_labels(data)
    if names is not None:
        for j, name in enumerate(names):
            values = data.iloc[:, j] if hasattr(data, "iloc") else data[name]
            yield f"column {name!r}", values
    elif sparse.issparse(data):
        columns = data.tocsc()
        for j in range(data.shape[1]):
            yield f"feature {j}", columns.data[columns.indptr[j] : columns.indptr[j + 1]]
    else:
        cells = data if isinstance(data, np.ndarray) else np.array(data, dtype=object)
        if cells.ndim == 2:
            for j in range(cells.shape[1]):
                yield f"feature {j}", cells[:, j]


def _floats(values):
    """Return a column as floats, with NaN for what is missing; strings may be numbers."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError):
        # pandas.NA and the like.
        cells = np.asarray(values, dtype=object)
        return np.array([_float(cell) for cell in cells])


def _float(cell):
    try:
        return float(cell)
    except (ValueError, TypeError):
        return np.nan


def _is_real(column):
    try:
        values = np.asarray(column)
        values.astype(np.float64)
    except (ValueError, TypeError):
        return False
    # Dates, durations and complex numbers: NumPy would convert them to floats.
    return values.dtype.kind not in "mMc"
