"""The plainly written peers of the imputation benchmark."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class EMGaussian(TransformerMixin, BaseEstimator):
    """A normal distribution with full covariance, by expectation maximisation."""

    def __init__(self, max_iter=300, tol=1e-4):
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X, y=None):
        self.mean_, self.covariance_ = np.nanmean(X, axis=0), np.diag(np.nanvar(X, axis=0))
        for _ in range(self.max_iter):
            filled, spread = self._expect(X)
            self.mean_ = filled.mean(axis=0)
            centred = filled - self.mean_
            before = self.covariance_
            self.covariance_ = (centred.T @ centred + spread) / len(X)
            if np.abs(self.covariance_ - before).max() < self.tol:
                break
        return self

    def _expect(self, X):
        """Return the rows with conditional means, and the sum of conditional covariances."""
        filled, spread = X.copy(), np.zeros((X.shape[1],) * 2)
        for i, m in enumerate(np.isnan(X)):
            o, S = ~m, self.covariance_
            gain = np.zeros((m.sum(), o.sum()))
            if o.any() and m.any():
                gain = np.linalg.lstsq(S[np.ix_(o, o)], S[np.ix_(o, m)], rcond=None)[0].T
            filled[i, m] = self.mean_[m] + gain @ (X[i, o] - self.mean_[o])
            spread[np.ix_(m, m)] += S[np.ix_(m, m)] - gain @ S[np.ix_(o, m)]
        return filled, spread

    def transform(self, X):
        return self._expect(X)[0]

    def conditional_variance(self, X):
        """Return the variance of each missing value given the others of its row."""
        variances, S = np.zeros(X.shape), self.covariance_
        for i, m in enumerate(np.isnan(X)):
            left = S[np.ix_(m, m)]
            if not m.all():
                gain = np.linalg.lstsq(S[np.ix_(~m, ~m)], S[np.ix_(~m, m)], rcond=None)[0].T
                left = left - gain @ S[np.ix_(~m, m)]
            variances[i, m] = np.maximum(np.diag(left), 0)
        return variances


class EMFactorAnalysis(TransformerMixin, BaseEstimator):
    """Factor analysis by expectation maximisation (Rubin & Thayer 1982)."""

    def __init__(self, n_components, max_iter=500, tol=1e-5):
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X, y=None):
        k, there = self.n_components, (~np.isnan(X)).astype(float)
        self.mean_ = np.nanmean(X, axis=0)
        zeros, counts = np.nan_to_num(X), there.sum(axis=0)
        centred = np.nan_to_num(X - self.mean_)
        values, vectors = np.linalg.eigh(centred.T @ centred / (there.T @ there + 1e-9))
        lengths = np.sqrt(np.maximum(values[: -k - 1 : -1], 1e-2))
        self.loadings_ = vectors[:, : -k - 1 : -1] * lengths
        self.noise_ = np.maximum(np.nanvar(X, axis=0) - (self.loadings_**2).sum(axis=1), 0.1)
        previous = -np.inf
        for _ in range(self.max_iter):
            codes, covariances = self._expect(X)
            score = self.score_samples(X).mean()
            if score - previous < self.tol:
                break
            previous = score
            codes = np.column_stack([codes, np.ones(len(X))])
            second = codes[:, :, None] * codes[:, None, :]
            second[:, :k, :k] += covariances
            moments = np.tensordot(there.T, second, 1)
            products = zeros.T @ codes
            solved = np.linalg.solve(moments, products[:, :, None])[:, :, 0]
            self.loadings_, self.mean_ = solved[:, :k], solved[:, k]
            errors = (zeros**2).sum(axis=0) - (solved * products).sum(axis=1)
            self.noise_ = np.maximum(errors / counts, 1e-6)
        return self

    def _expect(self, X):
        """Return means and covariances of the codes."""
        there = (~np.isnan(X)).astype(float)
        weighted = self.loadings_ / self.noise_[:, None]
        outer = weighted[:, :, None] * self.loadings_[:, None, :]
        precision = np.eye(self.n_components) + np.tensordot(there, outer, 1)
        covariances = np.linalg.inv(precision)
        right = np.nan_to_num(X - self.mean_) @ weighted
        return np.einsum("nij,nj->ni", covariances, right), covariances

    def transform(self, X):
        codes, _ = self._expect(X)
        return np.where(np.isnan(X), self.mean_ + codes @ self.loadings_.T, X)

    def conditional_variance(self, X):
        """Return the variance of each value given those of its row that are there."""
        _, covariances = self._expect(X)
        of_means = np.einsum("pi,nij,pj->np", self.loadings_, covariances, self.loadings_)
        return of_means + self.noise_

    def score_samples(self, X):
        """Return the log-density of the values of each row."""
        there = (~np.isnan(X)).astype(float)
        codes, covariances = self._expect(X)
        centred = np.nan_to_num(X - self.mean_)
        squares = (centred**2 / self.noise_).sum(axis=1)
        explained = (centred @ (self.loadings_ / self.noise_[:, None]) * codes).sum(axis=1)
        logs = there @ np.log(2 * np.pi * self.noise_) - np.linalg.slogdet(covariances)[1]
        return -0.5 * (squares - explained + logs)
