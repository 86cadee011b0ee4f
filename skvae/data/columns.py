"""Errors about data that name the argument and the column."""

import re
import warnings
from contextlib import contextmanager, suppress
from numbers import Integral

import numpy as np


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
    if hasattr(data, "collect"):
        raise ValueError(
            f"{name} is a lazy frame, which has no values yet: pass {name}.collect()."
        )
    try:
        # NumPy would warn about an infinity before the error is raised.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    # torch raises RuntimeError if a tensor cannot be converted to an array.
    except (ValueError, TypeError, RuntimeError) as error:
        if not isinstance(error, RuntimeError) and re.search(rf"\b{name}\b", str(error)):
            where = _not_finite_columns(data) if "contains" in str(error) else None
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


def _first_bad_column(data):
    """Return the first column with values that are not real numbers, or None if unknown."""
    # Errors in reading another library's table must not replace the original error.
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        is_frame = hasattr(data, "columns")
        is_array = isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype.kind in "OUS"
        cells = getattr(data, "iloc", data)
        for i in range(data.shape[1] if is_frame or is_array else 0):
            if not _is_real(cells[:, i]):
                return f"column {data.columns[i]!r}" if is_frame else f"feature {i}"
    return None


def _not_finite_columns(data):
    """Return a sentence on which columns have NaN or infinity, or None if unknown."""
    with suppress(Exception), warnings.catch_warnings(action="ignore"):
        names = getattr(data, "columns", None)
        values = np.asarray(data, dtype=np.float64)
        counts = np.count_nonzero(~np.isfinite(values), axis=0)
        listed = [
            f"{'feature ' + str(j) if names is None else repr(names[j])} ({counts[j]})"
            for j in np.flatnonzero(counts)
        ]
        if listed:
            more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
            return f"Cells that are not finite, by column: {', '.join(listed[:10])}{more}."
    return None


def _is_real(column):
    try:
        values = np.asarray(column)
        values.astype(np.float64)
    except (ValueError, TypeError):
        return False
    # Dates, durations and complex numbers: NumPy would convert them to floats.
    return values.dtype.kind not in "mMc"
