"""Means and variances of the features of rows in model units.

In a group they are those of the rows of all ranks.
"""

import torch

from skvae.data.rows import blocks
from skvae.group import joined


def feature_means(rows):
    """Return the mean of each feature of rows in model units, in float64 on the CPU."""
    return _mean_over_rows(block.double() for block in blocks(rows))


def feature_moments(rows):
    """Return the mean and the variance of each feature, in float64 on the CPU."""
    mean = feature_means(rows)
    centre = mean.to(rows.device)
    return mean, _mean_over_rows((block - centre).square() for block in blocks(rows))


def smoothed_mean(rows):
    """Return the mean per feature with half a pseudo-count on either side of [0, 1].

    It is in float64 on the CPU, and inside (0, 1) for rows in [0, 1].
    """
    # In blocks: a float64 sum of float32 rows would convert them first, which is slow.
    total = counts = 0
    for block in blocks(rows, most=4096):
        block, n_values = _observed_part(block)
        total, counts = total + block.sum(0).double(), counts + n_values
    total, counts = _joined_sums(total, counts)
    return ((total + 0.5) / (counts + 1)).cpu()


def _mean_over_rows(tensors):
    """Return the mean of each feature over its values in several blocks; 0 without values."""
    total = counts = 0
    for block in tensors:
        block, n_values = _observed_part(block)
        total, counts = total + block.sum(0), counts + n_values
    total, counts = _joined_sums(total, counts)
    return (total / counts.clamp(min=1)).cpu()


def _observed_part(block):
    """Return a tensor with 0 for missing values, and the number of values of each feature."""
    # The sum is NaN if one of the values is, and much faster than to test each.
    if not block.sum().isnan():
        return block, len(block)
    missing = block.isnan()
    return block.masked_fill(missing, 0.0), len(block) - missing.sum(0)


def _joined_sums(total, counts):
    """Return sums and numbers of values per feature over the rows of all ranks, as tensors."""
    return joined().sum(total, torch.as_tensor(counts, device=total.device).expand_as(total))
