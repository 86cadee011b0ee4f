"""The monotone map between one column and normal scores."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from skvae.data.unit_modules import pieces_to_scores

# In place of infinity: the end of the interval of a lowest or highest value that is tied.
FAR = 1e6
# Most values that are all tied ones, and the largest share of values that occur once.
_MOST_TIED, _MOST_SINGLE = 1000, 0.1
# Elsewhere a value is a tied one from these numbers of occurrences on.
_TIED_SHARE, _TIED_ROWS = 0.01, 10
# Between tied values: the pieces are these times the cube root of the number of values, as
# the best number of bins of a histogram grows; each has at least this many values.
_PIECES, _MOST_PIECES, _PIECE_ROWS = 4, 400, 10
# A float32 and a float64 of the same number differ by less, relative to it.
_SAME = 1e-7


@dataclass(frozen=True)
class ColumnMap:
    """A monotone line through the points (value, score), which are sorted.

    A tied value is a vertical step: an interval of scores. Between two neighbouring tied
    values the line is horizontal, and has no scores. Beyond the ends it continues, unless
    the value there is tied.

    A density of the scores is one of the values. It is with respect to counting measure at
    tied values and to Lebesgue measure elsewhere. The mass of a tied value is that of its
    interval, less the share `unseen`. That share has a density over the values that are nearer
    to it than to another and have no scores: uniform up to the middle, or with a heavy tail.

    Parameters
    ----------
    values, scores : ndarray of shape (n_points,), dtype float64
    unseen : float
        Probability that a new value is none of the tied ones next to it.
    spread : float
        Standard deviation of the column; 1 if it is constant.
    whole : bool
        Whether all values are whole numbers.
    """

    values: np.ndarray
    scores: np.ndarray
    unseen: float
    spread: float
    whole: bool

    @classmethod
    def of_values(cls, column):
        """Return the map of a column to its normal scores.

        Parameters
        ----------
        column : ndarray of shape (n,), dtype float64
            At least one value, and none missing.
        """
        distinct, counts = np.unique(column, return_counts=True)
        n, n_single = len(column), np.count_nonzero(counts == 1)
        # The squares of a tiny column may be zero.
        spread = max(column.std(), np.finfo(float).tiny) if len(distinct) > 1 else 1.0
        all_tied = len(distinct) <= _MOST_TIED and n_single <= _MOST_SINGLE * n
        if all_tied or len(distinct) == 1:
            tied = np.full(len(distinct), True)
        else:
            tied, n_single = counts >= max(_TIED_ROWS, _TIED_SHARE * n), 0
        values, scores = _points(distinct, np.cumsum(counts), tied)
        # Good and Turing's estimate of the probability of new values.
        unseen = (n_single + 1) / (n + 2)
        return cls(values, scores, unseen, spread, bool((distinct == np.rint(distinct)).all()))

    @property
    def is_valid(self):
        """Whether the points are those of a monotone line, and the numbers in range."""
        right, up = np.diff(self.values), np.diff(self.scores)
        increases = (right >= 0) & (up >= 0) & ((right > 0) | (up > 0))
        finite = np.isfinite([*self.values, *self.scores, self.unseen, self.spread])
        in_range = 0 < self.unseen < 1 and self.spread > 0
        return bool(increases.all() and finite.all() and in_range)

    @cached_property
    def _steps(self):
        """Indices of the lower points of tied values."""
        return np.flatnonzero(np.diff(self.values) == 0)

    @property
    def tied(self):
        """The tied values."""
        return self.values[self._steps]

    @property
    def lower(self):
        """The lower end of each tied value's scores."""
        return self.scores[self._steps]

    @property
    def upper(self):
        """The upper end of each tied value's scores."""
        return self.scores[self._steps + 1]

    @property
    def offset(self):
        """A value near all others, if these are far from zero; else 0."""
        low, high = self.values[[0, -1]]
        return low if min(abs(low), abs(high)) > high - low else 0.0

    def pieces(self):
        """Return the straight pieces of the map from values less `offset`."""
        return pieces_to_scores(self)

    @cached_property
    def tied_scores(self):
        """The score of each tied value: the mean of a normal variable in its interval."""
        mean, _ = _truncated_moments(self.lower, self.upper)
        return mean

    @cached_property
    def variance_inside(self):
        """Mean variance of a normal variable inside the intervals; 0 outside of them."""
        _, variance = _truncated_moments(self.lower, self.upper)
        return float((ndtr(self.upper) - ndtr(self.lower)) @ variance)

    @cached_property
    def _slopes(self):
        """Slope of the line below the first point, between points, and above the last.

        It is 0 where there are no scores, and NaN at a tied value.
        """
        rise, run = np.diff(self.scores), np.diff(self.values)
        inner = np.divide(rise, run, out=np.full(len(run), np.nan), where=run > 0)
        # A tail that is steeper than the column's own spread has the latter: a new value
        # somewhat beyond the ends must not be as far away as one of another column.
        ends = np.minimum(inner[[0, -1]], 1 / self.spread)
        ends = np.where(np.isnan(inner[[0, -1]]), 0.0, ends)
        return np.concatenate([ends[:1], inner, ends[1:]])

    def to_scores(self, x):
        """Return the scores of values; NaN stays NaN."""
        u = np.interp(x, self.values, self.scores)
        u += (np.minimum(x - self.values[0], 0)) * self._slopes[0]
        u += (np.maximum(x - self.values[-1], 0)) * self._slopes[-1]
        if len(self.tied):
            nearest = self._nearest(x)
            snaps = self._is_tied(x, nearest) | (self._slope_at(x) == 0)
            u = np.where(snaps, self.tied_scores[nearest], u)
        return np.where(np.isnan(x), np.nan, u)

    def to_values(self, u):
        """Return the values of scores, within the range of the training values."""
        return self.rounded(self.line_at(u))

    def line_at(self, u):
        """Return the values of scores, also of whole numbers not rounded."""
        return np.interp(u, self.scores, self.values)

    def rounded(self, x):
        """Return numbers such as those of the column: whole ones, if all are."""
        return np.rint(x) if self.whole else x

    def log_jacobian(self, x):
        """Return the log of the density's factor at each value; 0 at NaN."""
        slope = self._slope_at(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            out = np.log(slope)
        if len(self.tied):
            nearest = self._nearest(x)
            log_seen, log_unseen = self._log_shares(x, nearest)
            out = np.where(slope == 0, log_unseen, out)
            out = np.where(self._is_tied(x, nearest), log_seen, out)
        return np.where(np.isnan(x), 0.0, out)

    def _log_shares(self, x, nearest):
        """Return the log-share of the mass of the nearest tied value for it and for x."""
        # Distance to the middle of the empty values on either side: 0 if there are none.
        slopes, steps = self._slopes, self._steps
        middles = np.diff(self.tied) / 2
        empty = np.stack([slopes[steps], slopes[steps + 2]]) == 0
        reach = np.stack([np.append(np.inf, middles), np.append(middles, np.inf)])
        share = self.unseen / np.maximum(empty.sum(axis=0), 1)
        log_seen = np.where(empty.any(axis=0), np.log1p(-self.unseen), 0.0)
        above = (x > self.tied[nearest]).astype(int)
        reach = reach[above, nearest]
        distance = np.abs(x - self.tied[nearest])
        tail = -2 * np.log1p(distance / self.spread) - np.log(self.spread)
        log_density = np.where(np.isinf(reach), tail, -np.log(reach))
        return log_seen[nearest], np.log(share)[nearest] + log_density

    def _slope_at(self, x):
        return self._slopes[np.searchsorted(self.values, x, side="right")]

    def _nearest(self, x):
        """Return the index of the tied value that is nearest."""
        tied = self.tied
        return np.searchsorted(tied[:-1] + np.diff(tied) / 2, x)

    def _is_tied(self, x, nearest):
        return np.abs(x - self.tied[nearest]) <= _SAME * np.abs(self.tied[nearest])


def _points(distinct, cumulative, tied):
    """Return values and scores of the points of a line.

    Parameters
    ----------
    distinct : ndarray of shape (n_distinct,)
        The sorted values.
    cumulative : ndarray of shape (n_distinct,)
        How many of the column's values are at most these.
    tied : ndarray of shape (n_distinct,), dtype bool
    """
    n, parts = cumulative[-1], []
    ends = np.append(np.flatnonzero(tied), len(distinct))
    start = 0
    for end in ends:
        if end > start:
            parts.append(_between(distinct[start:end], cumulative, start, end, tied))
        if end < len(distinct):
            below = cumulative[end - 1] if end > 0 else 0
            ranks = np.array([below, cumulative[end]]) / n
            parts.append((np.full(2, distinct[end]), np.clip(ndtri(ranks), -FAR, FAR)))
        start = end + 1
    return tuple(np.concatenate(both) for both in zip(*parts, strict=True))


def _between(stretch, cumulative, start, end, tied):
    """Return the points of values that are not tied, `distinct[start:end]`.

    A tied value on either side is the end of the line; the other end is half a row outside.
    """
    n = cumulative[-1]
    below = cumulative[start - 1] if start > 0 else 0
    ranks = cumulative[start : end - 1]
    ranks = ranks[_chosen(ranks, below, cumulative[end - 1], n)]
    at = np.searchsorted(cumulative[start:end], ranks)
    values = stretch[at] + (stretch[at + 1] - stretch[at]) / 2
    scores = ndtri(ranks / n)
    low, high = ndtri(0.5 / n), ndtri(1 - 0.5 / n)
    if start == 0:
        values, scores = np.append(stretch[0], values), np.append(low, scores)
    if end == len(tied):
        values, scores = np.append(values, stretch[-1]), np.append(scores, high)
    # Neighbouring floats have no number between them.
    increases = np.diff(values, prepend=-np.inf) > 0
    return values[increases], scores[increases]


def _chosen(ranks, below, last, n):
    """Return the indices of the ranks at which pieces end: evenly spaced scores."""
    if len(ranks) == 0:
        return np.zeros(0, dtype=int)
    half = max(1, min(_MOST_PIECES, round(_PIECES * n ** (1 / 3))) // 2)
    grid = ndtri(1 - 0.5 / n) * np.arange(1 - half, half) / half
    goals = n * ndtr(grid)
    after = np.searchsorted(ranks, goals).clip(1, max(1, len(ranks) - 1))
    before = after - 1
    after = np.minimum(after, len(ranks) - 1)
    nearer = np.abs(ranks[before] - goals) <= np.abs(ranks[after] - goals)
    chosen, previous = [], below
    for index in np.unique(np.where(nearer, before, after)):
        if previous + _PIECE_ROWS <= ranks[index] <= last - _PIECE_ROWS:
            chosen.append(index)
            previous = ranks[index]
    return np.array(chosen, dtype=int)


def _truncated_moments(lower, upper):
    """Return mean and variance of a standard normal variable in each interval."""
    mass = ndtr(upper) - ndtr(lower)
    at_lower, at_upper = (np.exp(-np.square(end) / 2) for end in (lower, upper))
    root = np.sqrt(2 * np.pi)
    mean = np.clip((at_lower - at_upper) / root / mass, lower, upper)
    # Narrow intervals lose their digits in the differences.
    mean = np.where(upper - lower < 1e-4, (lower + upper) / 2, mean)
    variance = 1 + (lower * at_lower - upper * at_upper) / root / mass - mean**2
    return mean, np.clip(variance, 0, np.square(upper - lower) / 4)
