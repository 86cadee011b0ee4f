"""Whether the columns of a table are one quantity many times: for noise="auto"."""

from functools import reduce

import numpy as np

from skvae.data.rows import blocks
from skvae.group import joined

# The rule for noise="auto", as the documentation of Gaussian has it.
_SHARE_AT_ENDS = 0.2
_MIN_STEPS = 8
_MANY_COLUMNS = 100
_LIKE_RANGES = 2.5


def has_like_columns(X):
    """Whether the columns are one quantity many times, as the pixels of an image are.

    The rule is in the notes of :class:`Gaussian`. It takes one pass over the rows, in a group
    over those of all ranks.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    """
    lowest, second, highest, share = _ends(X)
    varies = highest > lowest
    if not varies.any():
        return False
    lowest, second, highest = lowest[varies], second[varies], highest[varies]
    tied = share[varies] >= _SHARE_AT_ENDS
    # A range beyond float64 is like no other; the units refuse it by its column.
    with np.errstate(over="ignore", invalid="ignore"):
        spread = highest - lowest
        ratio = spread / np.median(spread)
        steps = np.rint(spread / (second - lowest))
    n_same = _most_equal(np.stack([lowest, highest])[:, tied])
    # Any two columns of flags, or of few small counts, have as many steps by chance.
    n_steps = _most_equal(steps[None, tied & (steps >= _MIN_STEPS)])
    if 2 * max(n_same, n_steps) >= len(lowest):
        return True
    n_like = np.count_nonzero((ratio <= _LIKE_RANGES) & (ratio >= 1 / _LIKE_RANGES))
    return bool(len(lowest) >= _MANY_COLUMNS and 2 * n_like >= len(lowest))


def _most_equal(columns):
    """Return how many times the most frequent column is there."""
    _, counts = np.unique(columns, axis=1, return_counts=True)
    return counts.max(initial=0)


def _ends(X):
    """Return each column's lowest, second lowest and highest value.

    And the share of its values that are the lowest or the highest.
    """
    ends = joined().fold(_merge, reduce(_merge, map(_ends_of_block, blocks(X))))
    lowest, second, highest, n_low, n_high, n_values = ends
    return lowest, second, highest, (n_low + n_high) / np.maximum(n_values, 1)


def _ends_of_block(block):
    """Return the ends of the columns of a block, and three numbers of values of each.

    They are how many are equal to the lowest, how many to the highest, and how many there are.
    """
    low, high = np.fmin.reduce(block, axis=0), np.fmax.reduce(block, axis=0)
    above = np.where(block > low, block, np.inf).min(axis=0)
    counts = (np.count_nonzero(each, axis=0) for each in (block == low, block == high))
    return low, above, high, *counts, np.count_nonzero(~np.isnan(block), axis=0)


def _merge(one, other):
    """Return the ends of the columns of two blocks together."""
    lowest, highest = np.fmin(one[0], other[0]), np.fmax(one[2], other[2])
    candidates = np.stack([*one[:2], *other[:2]])
    second = np.where(candidates > lowest, candidates, np.inf).min(axis=0)
    # None was counted of a value that is lower or higher than all in its own block.
    n_low, n_high = (
        sum(np.where(part[at] == end, part[n_at], 0) for part in (one, other))
        for at, n_at, end in ((0, 3, lowest), (2, 4, highest))
    )
    return lowest, second, highest, n_low, n_high, one[5] + other[5]
