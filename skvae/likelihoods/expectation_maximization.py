"""Linear-Gaussian models of rows with missing values, by expectation maximisation.

The model is that of :mod:`skvae.likelihoods.factor_analysis`, and its likelihood that of the
values that are there: for a row with the columns `o` it is ``N(x_o; mu_o, W_o W_o' + Psi_o)``.

References
----------
D. B. Rubin and D. T. Thayer (1982), EM algorithms for ML factor analysis, Psychometrika 47(1).
C. Liu, D. B. Rubin and Y. N. Wu (1998), Parameter expansion to accelerate EM: the PX-EM
algorithm, Biometrika 85(4).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from skvae.data.rows import as_float64, blocks, count_rows, evenly_spaced
from skvae.group import joined
from skvae.likelihoods.factor_analysis import MIN_NOISE_VARIANCE, LinearGaussian
from skvae.likelihoods.second_moments import DenseSecondMoment
from skvae.machine import one_thread

# A noise variance is estimated as if there were this many rows more, times the share of the
# column's values that are missing: with few values a factor can explain a column completely by
# chance. Their squared error is the geometric mean of the column's variance and its noise, and
# so small where many values show a small noise.
_PSEUDO_ROWS = 2.0
# Loadings are estimated as if there were rows more in which the column is at its mean: this
# number divided by that of its values squared, times the share that is missing and the share of
# the variance that is noise. A column with few values would else follow the factors by chance,
# and be filled worse than by its mean; one with hundreds is not affected.
_PSEUDO_ROWS_AT_MEAN = 80.0
_MAX_ITERATIONS = 500
# Elements of the statistics of a sample of rows: most iterations use the sample only.
_SAMPLE_ELEMENTS = 2**22
_FULL_PASSES = 3
# Elements of the statistics from which on more threads make the iteration faster.
_SHARED_ELEMENTS = 2**21


def linear_gaussian_of_observed(
    rows, latent_dim, *, shared=False, known=None, transform=None, pool=None, tol=1e-4
):
    """Return the linear-Gaussian model of rows with missing values.

    Many rows are sampled, evenly spaced, for all iterations but the last ones.

    Parameters
    ----------
    rows : Tensor or StreamedRows of shape (n, n_features)
        In model units, with NaN for missing values.
    latent_dim : int
        From ``n_features`` on the surplus dimensions are unused.
    shared : bool, default=False
        Whether all features have the same noise, as in probabilistic PCA.
    known : float, default=None
        A known noise variance.
    transform : callable, default=None
        Applied to the rows first.
    pool : callable, default=None
        Applied to the noise variances after each iteration, as some features have a common one.
    tol : float, default=1e-4
        Gain of an iteration, in nats per row, at which it is the last one.

    Returns
    -------
    LinearGaussian
        A feature without any value has no loadings, and the noise 1.
    """
    # NumPy's threads are still busy waiting when torch needs its own: together they take ten
    # times as long. Its own make products of small tables no faster, and those on a busy
    # machine wait for each other.
    small = count_rows(rows) * (rows.shape[1] + (latent_dim + 1) ** 2) < _SHARED_ELEMENTS
    with one_thread(numpy=small):
        model = _maximize_likelihood(rows, latent_dim, shared, known, transform, pool, tol)
    return model.to_linear_gaussian(latent_dim)


def _maximize_likelihood(rows, latent_dim, shared, known, transform, pool, tol):
    read = (
        _Table.of_rows if transform is None else lambda block: _Table.of_rows(transform(block))
    )
    n_rows, n_features = count_rows(rows), rows.shape[1]
    rank = max(1, min(latent_dim, n_features - (known is None)))
    n_sampled = max(2000, _SAMPLE_ELEMENTS // (n_features + (rank + 1) ** 2))
    sample = read(rows[evenly_spaced(len(rows), n_sampled)])
    (n_in_sample,) = joined().sum(sample.n_rows)
    model = _Model.start(sample, rank, shared, known, pool)
    previous = -math.inf
    for _ in range(_MAX_ITERATIONS):
        statistics = sum_statistics([sample.expect(model)])
        gain = statistics.log_likelihood - previous
        # With common noises it is not the likelihood that the iteration raises.
        if (gain if pool is None else abs(gain)) < tol * n_in_sample:
            break
        previous = statistics.log_likelihood
        model = model.maximize(statistics, shared, known, pool)
    if n_rows > n_sampled:
        for _ in range(_FULL_PASSES):
            parts = (read(block) for block in blocks(rows, most=n_sampled))
            statistics = sum_statistics(p.expect(model) for p in parts)
            model = model.maximize(statistics, shared, known, pool)
    return model


@dataclass
class _Statistics:
    """Sums over rows that the maximisation step needs; `code` is (z, 1).

    Attributes
    ----------
    log_likelihood : float
    counts : ndarray of shape (n_features,)
        Numbers of values; the sums of a feature are over the rows where it has one.
    squares : ndarray of shape (n_features,)
        Sums of squared values.
    products : ndarray of shape (n_features, rank + 1)
        Sums of value times code.
    codes : ndarray of shape (n_features, rank + 1, rank + 1)
        Sums of the second moments of the code.
    all_codes : ndarray of shape (rank + 1, rank + 1)
        The same over all rows.
    """

    log_likelihood: float
    counts: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    codes: np.ndarray
    all_codes: np.ndarray


def sum_statistics(parts):
    """Add the statistics of several tables, in a group those of all ranks."""
    totals = (sum(values) for values in zip(*map(_fields, parts), strict=True))
    return _Statistics(*joined().sum(*totals))


def _fields(statistics):
    return vars(statistics).values()


class _Table:
    """Rows with missing values, and their patterns.

    Rows with the same missing values share the covariance of their codes: with gaps in few
    columns there are few patterns. The rows are in the order of their patterns.
    """

    def __init__(self, values, observed, patterns, pattern_of_row):
        order = np.argsort(pattern_of_row, kind="stable")
        self.values, self.observed = values[order], observed[order]
        self.patterns = patterns
        self.n_rows = len(values)
        self.sizes = np.bincount(pattern_of_row, minlength=len(patterns))
        self.counts = observed.sum(axis=0)
        self.squares = np.square(values).sum(axis=0)

    @classmethod
    def of_rows(cls, rows):
        """Read a block of rows."""
        rows = as_float64(rows)
        observed = ~np.isnan(rows)
        packed, index = np.unique(np.packbits(observed, axis=1), axis=0, return_inverse=True)
        patterns = np.unpackbits(packed, axis=1, count=rows.shape[1]).astype(np.float64)
        return cls(np.where(observed, rows, 0.0), observed, patterns, index.ravel())

    def expect(self, model):
        """Return the statistics under the posterior of the codes (the expectation step)."""
        rank = model.loadings.shape[1]
        weighted = model.loadings / model.noise[:, None]
        outer = (weighted[:, :, None] * model.loadings[:, None, :]).reshape(len(weighted), -1)
        precision = np.eye(rank) + (self.patterns @ outer).reshape(-1, rank, rank)
        covariance, log_determinant = _inverses(precision)
        centred = np.where(self.observed, self.values - model.mean, 0.0)
        right = centred @ weighted
        codes = (self._by_row(covariance) @ right[:, :, None])[:, :, 0]
        log_noise = self.patterns @ (np.log(model.noise) + math.log(2 * math.pi))
        log_likelihood = -0.5 * (
            np.sum(np.square(centred) / model.noise)
            - np.sum(right * codes)
            + self.sizes @ (log_determinant + log_noise)
        )
        codes = np.column_stack([codes, np.ones(self.n_rows)])
        by_pattern = self._sum_by_pattern(codes[:, :, None] * codes[:, None, :])
        by_pattern[:, :rank, :rank] += self._times_size(covariance)
        shape = (len(weighted), rank + 1, rank + 1)
        return _Statistics(
            log_likelihood=float(log_likelihood),
            counts=self.counts,
            squares=self.squares,
            products=self.values.T @ codes,
            codes=(self.patterns.T @ by_pattern.reshape(len(self.patterns), -1)).reshape(shape),
            all_codes=by_pattern.sum(axis=0),
        )

    @property
    def _has_all_different(self):
        return self.n_rows == len(self.patterns)

    def _by_row(self, of_patterns):
        """Return for each row what its pattern has."""
        return of_patterns if self._has_all_different else of_patterns.repeat(self.sizes, 0)

    def _times_size(self, of_patterns):
        if self._has_all_different:
            return of_patterns
        return self.sizes[:, None, None] * of_patterns

    def _sum_by_pattern(self, of_rows):
        if self._has_all_different:
            return of_rows
        starts = np.cumsum(self.sizes) - self.sizes
        return np.add.reduceat(of_rows, starts, axis=0)


@dataclass(frozen=True)
class _Model:
    """A linear-Gaussian model: ``x = mean + loadings z + noise``."""

    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray

    @classmethod
    def start(cls, table, rank, shared, known, pool=None):
        """Return the leading directions of the second moments of pairs that are both there."""
        counts, total = joined().sum(table.observed.sum(axis=0), table.values.sum(axis=0))
        mean = total / np.maximum(counts, 1)
        centred = np.where(table.observed, table.values - mean, 0.0)
        there = table.observed.astype(np.float64)
        products, pairs = joined().sum(centred.T @ centred, there.T @ there)
        second = products / np.maximum(pairs, 1)
        variance = np.diag(second)
        # Roughly, as many eigenvalues may be nearly equal.
        values, vectors = DenseSecondMoment(second, tol=1e-2).leading(rank)
        # Not zero: a loading of zero has no gradient.
        lengths = np.sqrt(np.maximum(values, 1e-2 * max(values[0], 1e-12)))
        loadings = vectors * np.where(counts[:, None] > 0, lengths, 0.0)
        left = np.maximum(variance - np.square(loadings).sum(axis=1), 0.1 * variance)
        left = left if pool is None else pool(left)
        return cls(mean, loadings, _bounded(left, counts, shared, known))

    def maximize(self, statistics, shared, known, pool=None):
        """Return the model that is best for these statistics (the maximisation step)."""
        counts, rank = statistics.counts, self.loadings.shape[1]
        missing = 1 - counts / statistics.all_codes[-1, -1]
        variance = statistics.squares / np.maximum(counts, 1)
        # The variance around the mean of the values.
        variance = np.maximum(variance - np.square(_means(statistics)), 0)
        unexplained = np.minimum(self.noise / np.maximum(variance, 1e-12), 1)
        at_mean = _PSEUDO_ROWS_AT_MEAN * missing * unexplained / np.maximum(counts, 1) ** 2
        # Their codes have the covariance 1; the last element is that of the mean.
        diagonal = np.column_stack([np.tile(at_mean, (rank, 1)).T, counts == 0])
        codes = statistics.codes + diagonal[:, :, None] * np.eye(rank + 1)
        solved = np.linalg.solve(codes, statistics.products[:, :, None])[:, :, 0]
        # Zero but for rounding, and then the noise of a constant feature.
        errors = np.maximum(statistics.squares - (solved * statistics.products).sum(axis=1), 0)
        if not shared:
            pseudo = _PSEUDO_ROWS * missing
            expected = np.sqrt(variance * self.noise)
            noise = (errors + pseudo * expected) / np.maximum(counts + pseudo, 1e-9)
            noise = noise if pool is None else pool(noise)
        else:
            noise = np.full(len(errors), errors.sum() / max(counts.sum(), 1))
        noise = _bounded(noise, statistics.counts, False, known)
        loadings, mean = self._standardize_codes(solved, statistics.all_codes)
        return _Model(mean, loadings, noise)

    @staticmethod
    def _standardize_codes(solved, all_codes):
        """Return loadings and mean for codes with mean 0 and covariance 1 over all rows.

        This is the parameter expansion: the model is the same, and the iteration faster.
        """
        loadings, mean = solved[:, :-1], solved[:, -1]
        n_rows = all_codes[-1, -1]
        centre = all_codes[:-1, -1] / n_rows
        covariance = all_codes[:-1, :-1] / n_rows - np.outer(centre, centre)
        return loadings @ np.linalg.cholesky(covariance), mean + loadings @ centre

    def to_linear_gaussian(self, latent_dim):
        """Return the model with an exact posterior, and unused dimensions if there are any."""
        n_features, rank = self.loadings.shape
        loadings = np.zeros((n_features, latent_dim))
        loadings[:, :rank] = self.loadings
        return LinearGaussian.from_loadings(loadings, self.noise, self.mean)


def _means(statistics):
    """Return the mean of the values of each feature."""
    return statistics.products[:, -1] / np.maximum(statistics.counts, 1)


def _bounded(noise, counts, shared, known):
    if known is not None:
        return np.full(len(noise), known)
    if shared:
        noise = np.full(len(noise), noise[counts > 0].mean() if (counts > 0).any() else 1.0)
    return np.where(counts > 0, np.maximum(noise, MIN_NOISE_VARIANCE), 1.0)


def _inverses(precision):
    """Return the inverses, and the log-determinants."""
    factor = torch.linalg.cholesky(torch.from_numpy(precision))
    identity = torch.eye(precision.shape[-1], dtype=factor.dtype)
    inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
    log_determinant = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
    return (inverse.mT @ inverse).numpy(), log_determinant.numpy()
