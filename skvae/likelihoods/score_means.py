"""Means, in the units of the data, of values whose normal scores have a normal distribution."""

from functools import cached_property

import numpy as np
import torch
from scipy.fft import dct, idct
from scipy.special import ndtri

# The tables are over scores in [-_REACH, _REACH]; the grid reaches as far again on either side,
# where a map is constant, so that the ends of the grid are far away for a noise near 1.
_REACH, _STEP = 8.0, 1 / 128
_GRID = np.arange(-2 * _REACH, 2 * _REACH + _STEP / 2, _STEP)
_INSIDE = slice(round(_REACH / _STEP), round(3 * _REACH / _STEP) + 1)
# Quantiles of a normal distribution by which one with its own scale in each row is replaced.
_N_QUANTILES = 32
_QUANTILES = ndtri((np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES)


class ScoreMeans:
    """Means of the values of scores that are normal around given means.

    The mean of one column is a smooth function of the mean of its score: that of the column's
    map, smoothed by the noise. It is read from a table.

    Parameters
    ----------
    maps : sequence of (ColumnMap or None)
        The value of a score of a column without a map is the score.
    """

    def __init__(self, maps):
        self.maps = maps
        self._scale, self._tables = None, None

    @cached_property
    def _lines(self):
        return np.stack([_GRID if one is None else one.line_at(_GRID) for one in self.maps])

    @cached_property
    def _frequencies(self):
        return dct(self._lines, axis=1)

    def with_common_scale(self, loc, scale):
        """Return the means for scores that have the same scale in all rows.

        Parameters
        ----------
        loc : Tensor of shape (..., n_features)
        scale : Tensor of shape (n_features,)

        Returns
        -------
        Tensor of shape (..., n_features)
        """
        # An exported program has the tables as they are.
        is_known = torch.compiler.is_compiling() or (
            self._scale is not None and torch.equal(scale, self._scale)
        )
        if not is_known:
            self._scale, self._tables = scale, self._smoothed(scale.double().cpu().numpy())
        return _read(self._tables, loc)

    def with_scales(self, loc, scale):
        """Return the means for scores with a scale of their own in each row, (..., n_features).

        They are those over 32 quantiles.
        """
        return sum(self.without_noise(loc + scale * q) for q in _QUANTILES) / _N_QUANTILES

    def without_noise(self, scores):
        """Return the values of scores (..., n_features)."""
        return _read(self._unsmoothed, scores)

    @cached_property
    def _unsmoothed(self):
        return self._smoothed(np.zeros(len(self.maps)))

    def _smoothed(self, scale):
        """Return the tables of the maps after a convolution with a normal density."""
        n = self._frequencies.shape[1]
        waves = np.pi * np.arange(n) / (n * _STEP)
        damping = np.exp(-0.5 * np.square(scale[:, None] * waves))
        tables = idct(self._frequencies * damping, axis=1)
        # Rounding errors must not turn a lowest value of 0 into a negative one.
        lowest, highest = self._lines.min(1, keepdims=True), self._lines.max(1, keepdims=True)
        return torch.from_numpy(np.clip(tables[:, _INSIDE], lowest, highest))


def _read(tables, loc):
    """Return the values of tables (n_features, n) at scores, by linear interpolation."""
    n_features, n = tables.shape
    place = ((loc + _REACH) / _STEP).clamp(0, n - 1)
    below = place.long().clamp(max=n - 2)
    flat = tables.to(loc).flatten()
    index = below + n * torch.arange(n_features, device=loc.device)
    return torch.lerp(flat[index], flat[index + 1], place - below)
