"""Whether the columns of a table are one quantity many times: for noise="auto"."""

import numpy as np

from skvae.data.rows import blocks

# The rule for noise="auto", as the documentation of Gaussian has it.
_SHARE_AT_ENDS = 0.2
_MANY_COLUMNS = 100
_LIKE_RANGES = 2.5


def has_like_columns(X):
    """Whether the columns are one quantity many times, as the pixels of an image are.

    The rule is in the notes of :class:`~skvae.likelihoods.Gaussian`. It takes one pass over
    the rows.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    """
    lowest, highest, share = _ends(X)
    varies = highest > lowest
    if not varies.any():
        return False
    lowest, highest, share = lowest[varies], highest[varies], share[varies]
    tied = share >= _SHARE_AT_ENDS
    _, n_same = np.unique(np.stack([lowest, highest])[:, tied], axis=1, return_counts=True)
    if 2 * n_same.max(initial=0) >= len(lowest):
        return True
    # A range beyond float64 is like no other; the units refuse it by its column.
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = (highest - lowest) / np.median(highest - lowest)
    n_like = np.count_nonzero((ratio <= _LIKE_RANGES) & (ratio >= 1 / _LIKE_RANGES))
    return bool(len(lowest) >= _MANY_COLUMNS and 2 * n_like >= len(lowest))


def _ends(X):
    """Return each column's lowest and highest value, and the share of its values there."""
    lowest, highest, n_low, n_high = np.inf, -np.inf, 0, 0
    n_values = 0
    for block in blocks(X):
        low, high = np.fmin.reduce(block, axis=0), np.fmax.reduce(block, axis=0)
        # None was counted before of a value that is lower or higher than all.
        n_low, n_high = np.where(low < lowest, 0, n_low), np.where(high > highest, 0, n_high)
        lowest, highest = np.fmin(lowest, low), np.fmax(highest, high)
        n_low = n_low + np.count_nonzero(block == lowest, axis=0)
        n_high = n_high + np.count_nonzero(block == highest, axis=0)
        n_values = n_values + np.count_nonzero(block == block, axis=0)
    return lowest, highest, (n_low + n_high) / np.maximum(n_values, 1)
