"""Errors about the caller's data say which argument, and which column, they are about."""

import re
from contextlib import contextmanager

import numpy as np


@contextmanager
def naming(data, name):
    """Validate `data` in the body; errors then name the argument and the column.

    scikit-learn says "could not convert string to float: 'a'" and not where: with a
    hundred columns, that is what one needs to know.

    Parameters
    ----------
    data : object
        What the caller passed.
    name : str
        The argument's name.

    Raises
    ------
    ValueError, TypeError
        What the body raises, and ValueError if values of `data` are masked: NumPy would
        read what lies under the mask.
    """
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise ValueError(
            f"{name} is a masked array, and {np.ma.count_masked(data)} of its values are "
            "masked. Fill them, for example with SimpleImputer on X.filled(np.nan)."
        )
    try:
        # An infinity is told in the error, and not by NumPy's warnings before it.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    # torch raises RuntimeError where a tensor cannot be read as an array.
    except (ValueError, TypeError, RuntimeError) as error:
        if not isinstance(error, RuntimeError) and re.search(rf"\b{name}\b", str(error)):
            raise
        column = _odd_column(data)
        where = name if column is None else f"{column} of {name}"
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"In {where}: {error}") from error


def called(column, feature_names):
    """Return a column's name, or its number where it has none."""
    return f"feature {column}" if feature_names is None else repr(feature_names[column])


def _odd_column(data):
    """Return the first column that does not hold real numbers, or None."""
    for label, column in _columns(data):
        try:
            values = np.asarray(column)
            # Dates, durations and complex numbers: NumPy would make floats of them.
            if values.dtype.kind in "mMc":
                return label
            values.astype(np.float64)
        except (ValueError, TypeError):
            return label
    return None


def _columns(data):
    """Yield label and values of each column of a table, where it has such."""
    if hasattr(data, "columns"):
        for place, name in enumerate(data.columns):
            at = data.iloc if hasattr(data, "iloc") else data
            yield f"column {name!r}", at[:, place]
    elif isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype.kind in "OUS":
        for place, column in enumerate(data.T):
            yield f"feature {place}", column
