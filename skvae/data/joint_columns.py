"""The columns of the tables of several ranks, as those of one table."""

from dataclasses import replace

from skvae.data.encoding import TableEncoding
from skvae.data.kinds import CATEGORY, NUMBER


def join_encodings(encodings, owner="rank"):
    """Return the encoding of the tables of all ranks, or of all chunks, together.

    A category that one of them has is one of all. Numbers that are integers in one and
    floats in another, as those with missing values are in pandas, are floats.

    Parameters
    ----------
    encodings : list of (TableEncoding or None)
    owner : {"rank", "chunk"}, default="rank"
        What has the tables, for errors.

    Raises
    ------
    ValueError
        If the tables do not have the same columns.
    """
    first, *others = encodings
    for number, other in enumerate(others, start=1):
        first = _join(first, other, owner, number)
    return first


def _join(first, other, owner, number):
    if first is None and other is None:
        return None
    kinds = [None if each is None else each.library for each in (first, other)]
    if kinds[0] != kinds[1]:
        raise ValueError(
            f"{owner.title()} {number} has another kind of table than {owner} 0: "
            f"{kinds[1] or 'an array'} and not {kinds[0] or 'an array'}. Pass the same in all."
        )
    if first.names != other.names or len(first.columns) != len(other.columns):
        raise ValueError(
            f"{owner.title()} {number} has other names of columns than {owner} 0: "
            f"{other.names} and not {first.names}. Pass the same columns in all."
        )
    names = first.names or [f"feature {j}" for j in range(len(first.columns))]
    columns = [
        _join_columns(one, two, f"In {name!r} of X, {owner} {number}")
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
            f"{where} has another kind of column than the first: {two.kind} ({two.dtype}) "
            f"and not {one.kind} ({one.dtype}). Convert it to the same dtype in all."
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
            f"{where} has other ordered categories than the first: {second} and not {first}. "
            "Give it the same ordered dtype in all."
        )
    both = [*first, *(level for level in second if level not in set(first))]
    try:
        in_order = all(each == sorted(each) for each in (first, second))
    except TypeError:
        # Of several types, which have no order.
        return both
    return sorted(both) if in_order else both
