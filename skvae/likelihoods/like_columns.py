"""Whether the columns of a table are one quantity many times: for noise="auto"."""

import numpy as np

from skvae.data.rows import blocks

# The rule for noise="auto", as the documentation of Gaussian has it.
_SHARE_AT_ENDS = 0.2
_MIN_STEPS = 8
_MANY_COLUMNS = 100
_LIKE_RANGES = 2.5


def has_like_columns(X):
    """Whether the columns are one quantity many times, as the pixels of an image are.

    The rule is in the notes of :class:`Gaussian`. It takes one pass over the rows.

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
    lowest, second, highest = (np.full(X.shape[1], end) for end in (np.inf, np.inf, -np.inf))
    n_low, n_high, n_values = 0, 0, 0
    for block in blocks(X):
        low, high = np.fmin.reduce(block, axis=0), np.fmax.reduce(block, axis=0)
        # None was counted before of a value that is lower or higher than all.
        n_low, n_high = np.where(low < lowest, 0, n_low), np.where(high > highest, 0, n_high)
        above = np.where(block > low, block, np.inf).min(axis=0)
        candidates = np.stack([lowest, second, low, above])
        lowest, highest = np.fmin(lowest, low), np.fmax(highest, high)
        second = np.where(candidates > lowest, candidates, np.inf).min(axis=0)
        n_low = n_low + np.count_nonzero(block == lowest, axis=0)
        n_high = n_high + np.count_nonzero(block == highest, axis=0)
        n_values = n_values + np.count_nonzero(~np.isnan(block), axis=0)
    return lowest, second, highest, (n_low + n_high) / np.maximum(n_values, 1)
