"""The columns of the tables of several ranks, as those of one table."""

from dataclasses import replace

from skvae.data.encoding import TableEncoding
from skvae.data.kinds import CATEGORY, NUMBER


def join_encodings(encodings):
    """Return the encoding of the tables of all ranks together.

    A category that one rank has is one of all. Numbers that are integers on one rank and
    floats on another, as those with missing values are in pandas, are floats.

    Parameters
    ----------
    encodings : list of (TableEncoding or None)

    Raises
    ------
    ValueError
        If the tables do not have the same columns.
    """
    first, *others = encodings
    for rank, other in enumerate(others, start=1):
        first = _join(first, other, rank)
    return first


def _join(first, other, rank):
    if first is None and other is None:
        return None
    kinds = [None if each is None else each.library for each in (first, other)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"Rank {rank} has another kind of table than rank 0: {kinds[1] or 'an array'} and "
            f"not {kinds[0] or 'an array'}. Pass the same on all ranks."
        )
    if first.names != other.names or len(first.columns) != len(other.columns):
        raise ValueError(
            f"Rank {rank} has other names of columns than rank 0: {other.names} and not "
            f"{first.names}. Pass the same columns on all ranks."
        )
    names = first.names or [f"feature {j}" for j in range(len(first.columns))]
    columns = [
        _join_columns(one, two, f"In {name!r} of X, rank {rank}")
        for name, one, two in zip(names, first.columns, other.columns, strict=True)
    ]
    return TableEncoding(first.library, columns, first.names, first.layout)


def _join_columns(one, two, where):
    """Return a column of two tables as that of both."""
    if one.kind == two.kind == NUMBER:
        # The dtype of both together is one of floats if either is.
        return max(one, two, key=lambda column: "float" in column.dtype.lower())
    if replace(one, levels=None, declared=None) != replace(two, levels=None, declared=None):
        raise ValueError(
            f"{where} has another kind of column than rank 0: {two.kind} ({two.dtype}) and not "
            f"{one.kind} ({one.dtype}). Convert it to the same dtype on all ranks."
        )
    return one if one.kind != CATEGORY else _join_categories(one, two, where)


def _join_categories(one, two, where):
    known = _join_levels(one, two, where)
    occurring = {*one.levels, *two.levels}
    levels = [level for level in known if level in occurring]
    return replace(one, levels=levels, declared=None if levels == known else known)


def _join_levels(one, two, where):
    """Return the categories of both dtypes: in order, if those of either are."""
    first, second = one.dtype_levels, two.dtype_levels
    if first == second:
        return first
    if one.ordered:
        raise ValueError(
            f"{where} has other ordered categories than rank 0: {second} and not {first}. Give "
            "it the same ordered dtype on all ranks."
        )
    both = [*first, *(level for level in second if level not in set(first))]
    try:
        in_order = all(each == sorted(each) for each in (first, second))
    except TypeError:
        # Of several types, which have no order.
        return both
    return sorted(both) if in_order else both
