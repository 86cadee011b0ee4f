"""Kinds of columns: numbers, flags and categories, and what is refused."""

import datetime
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real

import numpy as np

from skvae.data.columns import shortened

NUMBER, FLAG, CATEGORY, TEXT = "number", "flag", "category", "text"

# What a column has, and what to do, for kinds that no model takes as they are.
REFUSED = {
    CATEGORY: ("categories", "Add it to categorical_features, or convert it to numbers."),
    TEXT: ("strings", "{text_remedy}, or add it to categorical_features."),
    "date": (
        "dates or times",
        "Convert them to numbers, for example the year, the month, or days since a first day.",
    ),
    "duration": ("durations", "Convert them to numbers, for example of seconds."),
    "complex": ("complex numbers", "Make two columns of the real and the imaginary parts."),
    "nested": (
        "lists, structs or other nested values",
        "Make one column of each part, for example with explode or unnest.",
    ),
    "empty": ("no type and no values", "Drop it, or cast it to a type of numbers."),
    "other": (
        "values that are neither numbers, flags nor categories ({dtype})",
        "Convert it to a dtype of numbers, bool or category; a frame of sparse columns with "
        "X.sparse.to_coo().",
    ),
}

# Types of Python objects by kind; the first that fits counts.
_KINDS_OF_OBJECTS = {
    FLAG: (bool, np.bool_),
    "date": (datetime.date, datetime.time, np.datetime64),
    "duration": (datetime.timedelta, np.timedelta64),
    NUMBER: (Real, Decimal),
    TEXT: (str,),
    "complex": (complex, np.complexfloating),
    "nested": (list, tuple, dict, set, np.ndarray),
}


@dataclass(frozen=True)
class Column:
    """A column as it was in `fit`, in plain values that any tool can store.

    Parameters
    ----------
    kind : {"number", "flag", "category"}
    dtype : str
        Name of the dtype in the table's library.
    levels : list or None
        The categories that occurred, in order: str, int, float or bool, and (left, right)
        for an interval.
    values_dtype : str
        Name of the dtype of the categories of a pandas category dtype, or of the numbers
        in a column of Python objects, or of the categories of a polars Categorical.
    ordered : bool
        Whether a pandas category dtype is ordered.
    declared : list or None
        All categories of the dtype, if there are more than `levels`.
    """

    kind: str
    dtype: str
    levels: list | None = None
    values_dtype: str = ""
    ordered: bool = False
    declared: list | None = None

    @property
    def dtype_levels(self):
        """The categories of the dtype, also those that did not occur."""
        return self.levels if self.declared is None else self.declared


def refuse(place, kind, dtype="", text_remedy="", *, others=(), name="X"):
    """Raise ValueError for a column of a kind that is not accepted, and name others of it."""
    has, remedy = REFUSED[kind]
    raise ValueError(
        f"In {place} of {name}: it has {has.format(dtype=dtype)}. "
        + remedy.format(text_remedy=text_remedy)
        + (f" The same holds for {shortened(others)}." if others else "")
    )


def kind_of_objects(values):
    """Return the kind of an array of Python objects, without its missing values."""
    kinds = {_kind_of_type(type_) for type_ in set(map(type, values))}
    if not kinds:
        return NUMBER
    if len(kinds) == 1:
        return kinds.pop()
    if kinds == {FLAG, NUMBER}:
        return NUMBER
    # scikit-learn would read "1.5" as a number; categories are not to be taken for numbers.
    return TEXT if kinds <= {FLAG, NUMBER, TEXT} else "other"


def _kind_of_type(type_):
    return next(
        (kind for kind, types in _KINDS_OF_OBJECTS.items() if issubclass(type_, types)), "other"
    )


def plain_values(values, place):
    """Return values as a list of str, int, float and bool; raise ValueError if they are not."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    odd = {type(value) for value in plain} - {str, int, float, bool}
    if odd:
        raise ValueError(
            f"In {place} of X: its categories are of type {odd.pop().__name__}. Rename them "
            "to strings or numbers, for example with cat.rename_categories(str) in pandas."
        )
    return plain


def sorted_levels(values, place):
    """Return distinct values in order; raise ValueError if they have none."""
    try:
        return sorted(values)
    except TypeError:
        raise ValueError(
            f"In {place} of X: its categories are of several types, "
            f"{', '.join(sorted({type(v).__name__ for v in values}))}. Convert them to strings."
        ) from None


def is_float32(dtype):
    """Whether the name of a dtype is that of float32 in one of the libraries."""
    return dtype.lower() in {"float32", "float[pyarrow]"}


def cast_numbers(values, dtype):
    """Return floats in a NumPy dtype: rounded for integers, and within its range.

    NaN stays in floats and becomes 0 in integers.
    """
    if dtype.kind == "f":
        return np.clip(values, np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)
    limits = np.iinfo(dtype)
    rounded = np.nan_to_num(np.rint(values))
    # The largest integers of 64 bits are not floats: the next float is beyond the range.
    above = rounded >= float(limits.max)
    cast = np.where(above, 0, np.maximum(rounded, float(limits.min))).astype(dtype)
    cast[above] = limits.max
    return cast


def check_no_missing(missing, dtype, place):
    """Raise ValueError if there are missing values, for a dtype that has none."""
    if missing.any():
        raise ValueError(
            f"In {place} of X: the dtype {dtype} has no missing values, but "
            f"{np.count_nonzero(missing)} rows have one."
        )


def codes_of(values, n_levels):
    """Return floats as integer codes of `n_levels` categories; -1 for NaN."""
    codes = np.clip(np.nan_to_num(np.rint(values)), 0, n_levels - 1).astype(np.intp)
    codes[np.isnan(values)] = -1
    return codes


def codes_in_dtype(column, values):
    """Return codes of a column as integer codes of its dtype's categories; -1 for NaN."""
    place = {level: code for code, level in enumerate(column.dtype_levels)}
    places = np.array([*(place[level] for level in column.levels), -1])
    return places[codes_of(values, len(column.levels))]


def with_levels_of(column, own, codes):
    """Return a column with the categories that codes of another one need, and new codes.

    Parameters
    ----------
    column : Column
        To which the codes belong.
    own : Column
        It gets the categories that it lacks at the end.
    codes : ndarray of float
    """
    codes = codes_of(codes, len(column.levels))
    known = set(own.levels)
    needed = [column.levels[code] for code in np.unique(codes[codes >= 0])]
    levels = [*own.levels, *(level for level in needed if level not in known)]
    order = {level: code for code, level in enumerate(levels)}
    lookup = np.array([order.get(level, np.nan) for level in [*column.levels, None]])
    return replace(own, levels=levels), lookup[codes]
