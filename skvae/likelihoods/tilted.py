"""Normal distributions of scores in which some bins of scores are more probable than others."""

import math
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import nn
from torch.distributions import Distribution, Normal

from skvae.data.column_map import FAR

# Bins of scores that are not tied end at multiples of this probability.
_FINEST = 1 / 1024
# In place of 0, the probability of a bin that is very far away.
_LEAST_MASS = 1e-300
# From the highest power on.
_ERFC = (
    *(0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807),
    *(-0.18628806, 0.09678418, 0.37409196, 1.00002368, -1.26551223),
)


class Bins(nn.Module):
    """Bins of the scores of each column, which do not divide the interval of a tied value.

    Parameters
    ----------
    maps : sequence of (ColumnMap or None)
    n_bins : int
        Most bins of a column.

    Attributes
    ----------
    edges : Tensor of shape (n_features, n_bins + 1), dtype float64
        Scores, ascending. Of columns with fewer bins the last ones are empty.
    """

    def __init__(self, maps, n_bins):
        super().__init__()
        edges = np.full((len(maps), n_bins + 1), FAR)
        for row, one in zip(edges, maps, strict=True):
            own = [-FAR] if one is None else _edges(one, n_bins)
            row[: len(own)] = own
        self.register_buffer("edges", torch.from_numpy(edges), persistent=False)

    @property
    def is_empty(self):
        """Bins without scores, (n_features, n_bins)."""
        return self.edges[:, 1:] == self.edges[:, :-1]

    def index(self, scores):
        """Return the bin of each score, (..., n_features)."""
        flat = scores.reshape(-1, scores.shape[-1]).mT.double().contiguous()
        index = torch.searchsorted(self.edges[:, 1:-1].contiguous(), flat, right=True)
        return index.mT.reshape(scores.shape)


def _upper_tail(x):
    """Return the probability that a standard normal variable is above x, for x >= 0.

    In programs for export by a formula with a relative error below 1.2e-7 (Press et al. 1992,
    Numerical Recipes in C, section 6.2): ONNX Runtime has no error function in float64.
    """
    z = x / math.sqrt(2)
    if not torch.compiler.is_compiling():
        return 0.5 * torch.special.erfc(z)
    t = 1 / (1 + 0.5 * z)
    series = torch.zeros_like(t)
    for coefficient in _ERFC:
        series = series * t + coefficient
    return 0.5 * t * torch.exp(series - z.square())


def _edges(one, n_bins):
    """Return the edges of the bins of one column but for the last.

    The bin of the largest probability that can be cut is cut in halves, until there are
    enough.
    """
    cuts = np.concatenate([ndtri(np.arange(_FINEST, 1, _FINEST)), one.lower, one.upper])
    cuts = cuts[np.abs(cuts) < FAR]
    after = np.searchsorted(one.upper, cuts, side="right")
    is_tied = np.append(one.lower, np.inf)[after] < cuts
    cuts = np.unique(cuts[~is_tied])
    ranks, edges = ndtr(cuts), [-FAR, FAR]
    while len(edges) <= n_bins:
        halves = [_halving(cuts, ranks, *ends) for ends in pairwise(edges)]
        _, cut = max(halves, key=lambda half: half[0])
        if cut is None:
            break
        edges = sorted([*edges, cut])
    return edges[:-1]


def _halving(cuts, ranks, low, high):
    """Return the probability of a bin, and the cut nearest to its middle; 0 without any."""
    inside = (low < cuts) & (cuts < high)
    if not inside.any():
        return 0.0, None
    below, above = ndtr([low, high])
    nearest = np.abs(ranks[inside] - (below + above) / 2).argmin()
    return above - below, cuts[inside][nearest]


class TiltedNormal(Normal):
    """Normal whose density in each bin is multiplied by a factor of its own.

    Parameters
    ----------
    normal : Normal
        Of scores, with shape (..., n_features); it may have probabilities of tied ones.
    bins : Bins
    tilts : Tensor of shape (..., n_features, n_bins)
        Logarithms of the factors, up to a constant.
    """

    def __init__(self, normal, bins, tilts):
        self._normal, self._bins, self._tilts = normal, bins, tilts
        self.loc, self.scale = normal.loc, normal.scale
        Distribution.__init__(self, normal.loc.shape, validate_args=False)

    @cached_property
    def _ends(self):
        """Edges relative to location and scale, (..., n_features, n_bins + 1), in float64."""
        loc, scale = (part.double().unsqueeze(-1) for part in (self.loc, self.scale))
        return (self._bins.edges.to(loc.device) - loc) / scale

    @cached_property
    def _masses(self):
        """Probabilities of the bins without the factors."""
        ends = self._ends
        # Of the tail on the side of each edge: small probabilities keep their digits.
        tails = _upper_tail(ends.abs())
        low, high = tails[..., :-1], tails[..., 1:]
        is_above, is_below = ends[..., :-1] >= 0, ends[..., 1:] <= 0
        return torch.where(
            is_above, low - high, torch.where(is_below, high - low, 1 - low - high)
        )

    @property
    def _positive_masses(self):
        # Numbers in an exported program are rounded to float32.
        compiling = torch.compiler.is_compiling()
        return self._masses.clamp(min=1e-37 if compiling else _LEAST_MASS)

    @cached_property
    def _weights(self):
        """Log-probabilities of the bins, not normalised."""
        weights = self._positive_masses.log() + self._tilts
        return weights.masked_fill(self._bins.is_empty, -torch.inf)

    def log_prob(self, value):
        """Log-density of a score, or log-probability of a tied value, per feature."""
        index = self._bins.index(value).unsqueeze(-1)
        shape = torch.broadcast_shapes(index.shape[:-1], self._tilts.shape[:-1])
        tilt = self._tilts.expand(*shape, -1).gather(-1, index.expand(*shape, 1)).squeeze(-1)
        return self._normal.log_prob(value) + tilt - self._weights.logsumexp(-1).to(tilt)

    @property
    def probabilities(self):
        """Probabilities of the bins, (..., n_features, n_bins)."""
        return self._weights.softmax(-1)

    @cached_property
    def bin_means(self):
        """Mean score inside of each bin, (..., n_features, n_bins)."""
        densities = torch.exp(-0.5 * self._ends.square()) / math.sqrt(2 * math.pi)
        ratio = -densities.diff(dim=-1) / self._positive_masses
        lower, upper = self._ends[..., :-1], self._ends[..., 1:]
        inside = torch.minimum(torch.maximum(ratio, lower), upper)
        return self.loc.unsqueeze(-1) + self.scale.unsqueeze(-1) * inside

    @property
    def mean(self):
        """Mean score of each feature."""
        return (self.probabilities * self.bin_means).sum(-1).to(self.loc)

    @property
    def variance(self):
        """Variance of each feature: between the bins, and a normal's inside of them."""
        centred = self.bin_means - self.mean.unsqueeze(-1)
        return (self.probabilities * centred.square()).sum(-1).to(self.loc)

    def draw(self, rng):
        """Draw scores with NumPy's generator: a bin, and a score inside."""
        weights = self._weights.cpu().numpy()
        index = (weights + rng.gumbel(size=weights.shape)).argmax(-1)[..., None]
        ends = self._ends.cpu().numpy()
        lower, upper = (
            np.take_along_axis(ends, side, -1)[..., 0] for side in (index, index + 1)
        )
        # In the lower half, where probabilities keep their digits.
        flips = lower + upper > 0
        low, high = np.where(flips, -upper, lower), np.where(flips, -lower, upper)
        uniform = rng.random_sample(low.shape)
        inside = ndtri(ndtr(low) + uniform * (ndtr(high) - ndtr(low)))
        inside = np.clip(inside, low, high)
        loc, scale = self.loc.cpu().numpy(), self.scale.cpu().numpy()
        return (loc + scale * np.where(flips, -inside, inside)).astype(loc.dtype)
