"""Columns as plain values and arrays, which tools such as skops can store."""

import numpy as np

from skvae.data.kinds import CATEGORY, FLAG, NUMBER, Column


def columns_to_arrays(columns):
    """Return columns as a dictionary of arrays of one entry per column, and their levels."""
    return {
        "kinds": np.array([column.kind for column in columns]),
        "dtypes": np.array([column.dtype for column in columns]),
        "values_dtypes": np.array([column.values_dtype for column in columns]),
        "ordered": np.array([column.ordered for column in columns]),
        "levels": [packed(column.levels) for column in columns if column.kind == CATEGORY],
        "declared": [packed(column.declared) for column in columns if column.kind == CATEGORY],
    }


def columns_from_arrays(arrays):
    """Return the columns that `columns_to_arrays` describes.

    Raises
    ------
    ValueError
        If the arrays do not describe columns.
    """
    names = ("kinds", "dtypes", "values_dtypes", "ordered")
    parts = [np.array(arrays.get(name)) for name in names]
    kinds = parts[0]
    if not (
        [part.dtype.kind for part in parts] == ["U", "U", "U", "b"]
        and kinds.ndim == 1
        and {part.shape for part in parts} == {kinds.shape}
        and set(kinds.tolist()) <= {NUMBER, FLAG, CATEGORY}
    ):
        raise ValueError(
            "Columns need 1-D arrays of one length: kinds, dtypes and values_dtypes of "
            "strings, and ordered of bool."
        )
    remaining = iter(_levels(arrays, np.count_nonzero(kinds == CATEGORY)))
    columns = []
    for kind, dtype, inner, ordered in zip(*(part.tolist() for part in parts), strict=True):
        levels, declared = next(remaining) if kind == CATEGORY else (None, None)
        columns.append(Column(kind, dtype, levels, inner, ordered, declared))
    return columns


def _levels(arrays, n_columns):
    """Return the levels, and those of the dtype or None, of each column of categories."""
    levels = [unpacked(each) for each in arrays.get("levels", ())]
    # States of older versions have none.
    declared = [unpacked(each) for each in arrays.get("declared", [None] * len(levels))]
    listed = [*levels, *(each for each in declared if each is not None)]
    if not (
        len(levels) == len(declared) == n_columns
        and all(each and len(set(each)) == len(each) for each in listed)
        and all(d is None or set(o) <= set(d) for o, d in zip(levels, declared, strict=True))
    ):
        raise ValueError("Each column of categories needs a list of different levels.")
    return list(zip(levels, declared, strict=True))


def packed(values):
    """Return a list as an array if that keeps it exactly: a long list is slow to store."""
    types = set(map(type, values or ()))
    if len(types) == 1 and types <= {str, int, float, bool}:
        array = np.array(values)
        if array.dtype.kind in "Uifb" and array.tolist() == values:
            return array
    return values


def unpacked(values):
    """Return the list, or None, that `packed` had."""
    return values.tolist() if isinstance(values, np.ndarray) else values
