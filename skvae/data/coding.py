"""Single columns of a table: what they are in `fit`, and their numbers or codes."""

from dataclasses import replace

import numpy as np

from skvae.data.kinds import CATEGORY, FLAG, NUMBER, REFUSED, TEXT, refuse, with_levels_of

_WORDS = {NUMBER: "numbers", FLAG: "flags"}


def fit_column(table, j, is_listed, keep_declared):
    """Return column j of a table as a :class:`~skvae.data.kinds.Column`.

    `is_listed` says of each column of the table whether the user calls it one of categories.
    With `keep_declared` the categories are all those of the dtype, not only those that occur.

    Raises
    ------
    ValueError
        If it cannot be used.
    """
    kind, is_category = table.kind(j), is_listed[j]
    if not _is_usable(kind, is_category):
        # At once, so that the user need not try again for each of them.
        others = [
            table.place(other)
            for other in range(j + 1, table.shape[1])
            if table.kind(other) == kind and not _is_usable(kind, is_listed[other])
        ]
        refuse(table.place(j), kind, table.dtype(j), table.text_remedy, others=others)
    column = table.column(j, CATEGORY if is_category else kind)
    if is_category and not column.levels:
        raise ValueError(f"In {table.place(j)} of X: it has no categories. Drop it.")
    return column if keep_declared or not is_category else _only_occurring(table, j, column)


def _is_usable(kind, is_category):
    return kind in ((NUMBER, FLAG, CATEGORY, TEXT) if is_category else (NUMBER, FLAG))


def _only_occurring(table, j, column):
    """Return a column of categories with the levels that occur, unless none does."""
    codes, values = table.values(j)
    occurring = {values[code] for code in np.unique(codes[codes >= 0])}
    levels = [level for level in column.levels if level in occurring]
    if len(levels) in (0, len(column.levels)):
        return column
    return replace(column, levels=levels, declared=column.levels)


def encode_numbers(table, j, column):
    """Return column j of a table as floats, or as 0 and 1, with NaN for missing values.

    Raises
    ------
    ValueError
        If it is of another kind than in `fit`, or has infinities.
    """
    kind = table.kind(j)
    if kind not in (NUMBER, FLAG):
        _check_all_missing(table, j, column)
        return np.nan
    values = table.numbers(j)
    n_infinite = np.count_nonzero(np.isinf(values))
    if n_infinite:
        raise ValueError(f"In {table.place(j)} of X: {n_infinite} of its values are infinite.")
    if column.kind == FLAG and not np.isin(values[~np.isnan(values)], (0, 1)).all():
        _refuse_change(table, j, column)
    return values


def encode_categories(table, j, column):
    """Return column j of a table as codes with NaN for missing values, and unseen categories.

    Raises
    ------
    ValueError
        If it is of another kind than in `fit`.
    """
    if table.kind(j) not in (CATEGORY, TEXT, NUMBER, FLAG):
        _check_all_missing(table, j, column)
        return np.nan, []
    codes, values = table.values(j)
    order = {level: code for code, level in enumerate(column.levels)}
    lookup = np.array([order.get(value, np.nan) for value in [*values, None]])
    occurring = [values[code] for code in np.unique(codes[codes >= 0])]
    unseen = [value for value in occurring if value not in order]
    if unseen and not _are_text(occurring) & _are_text(column.levels):
        _refuse_change(table, j, column)
    return lookup[codes], unseen


def column_to_fill(table, j, column, values):
    """Return a column in the dtype of a table's own, and values for some of its cells.

    Parameters
    ----------
    table : ArrayTable, PandasTable or PolarsTable
    j : int
    column : Column
        As it was in `fit`.
    values : ndarray of shape (n,)
        Numbers or codes of `column`; NaN for cells that stay as they are.

    Returns
    -------
    column : Column
    values : ndarray of shape (n,)
        Numbers or codes of that column, and NaN for the same cells.
    """
    kind = table.kind(j)
    if kind == "empty":
        return column, values
    if column.kind != CATEGORY:
        if column.kind == FLAG:
            values = np.where(np.isnan(values), values, values > 0.5)
        return table.column(j, kind), values
    own = table.column(j, CATEGORY)
    return with_levels_of(column, own, values) if own.levels else (column, values)


def _are_text(values):
    """Return whether values are strings, for each that occurs: {True, False} if they differ."""
    return {isinstance(value, str) for value in values}


def _check_all_missing(table, j, column):
    if not table.is_missing(j).all():
        _refuse_change(table, j, column)


def _refuse_change(table, j, column):
    kind = table.kind(j)
    has = _WORDS[kind] if kind in _WORDS else REFUSED[kind][0].format(dtype="other types")
    had = _WORDS.get(column.kind) or f"categories such as {column.levels[0]!r}"
    raise ValueError(
        f"In {table.place(j)} of X: it has {has} ({table.dtype(j)}), but in fit it had {had} "
        f"({column.dtype}). Convert it to what it was in fit."
    )
