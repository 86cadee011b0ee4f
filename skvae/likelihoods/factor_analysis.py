"""Closed-form linear-Gaussian models: the start of the training.

Both are the model ``x = W z + noise`` with ``z ~ N(0, I)``, in centred units. Their
posterior is diagonal once `W` is rotated so that ``W' Psi^-1 W`` is diagonal.

References
----------
M. E. Tipping and C. M. Bishop (1999), Probabilistic principal component analysis,
J. R. Statist. Soc. B 61(3), eqs. (7) and (8).
D. Barber (2012), Bayesian Reasoning and Machine Learning, algorithm 21.1.
J. Lucas, G. Tucker, R. Grosse and M. Norouzi (2019), Don't blame the ELBO! A linear VAE
perspective on posterior collapse, NeurIPS.
"""

from dataclasses import dataclass

import numpy as np

# The smallest noise variance of a feature that varies, in model units: in a Heywood case
# (a factor explains one feature completely) it would be zero, and the likelihood's gradient
# infinite.
MIN_NOISE_VARIANCE = 1e-6


@dataclass(frozen=True)
class LinearGaussian:
    """A linear-Gaussian latent variable model with its exact posterior.

    Attributes
    ----------
    loadings : ndarray of shape (n_features, latent_dim)
        ``W``, rotated so that the posterior is diagonal.
    noise_variance : ndarray of shape (n_features,)
        The diagonal of ``Psi``.
    projection : ndarray of shape (latent_dim, n_features)
        The posterior mean is ``projection @ x``.
    posterior_scale : ndarray of shape (latent_dim,)
        The posterior standard deviation, the same for every complete row.
    mean : ndarray of shape (n_features,)
        Mean of the rows; the posterior mean is then ``projection @ (x - mean)``.
    """

    loadings: np.ndarray
    noise_variance: np.ndarray
    projection: np.ndarray
    posterior_scale: np.ndarray
    mean: np.ndarray

    def of_features(self, part):
        """Return the model of some of the features, with the codes of all."""
        return LinearGaussian(
            self.loadings[part],
            self.noise_variance[part],
            self.projection[:, part],
            self.posterior_scale,
            self.mean[part],
        )

    @classmethod
    def from_loadings(cls, loadings, noise_variance, mean=None):
        """Bound the noise from below, rotate the loadings, and compute the posterior."""
        noise_variance = np.maximum(noise_variance, MIN_NOISE_VARIANCE)
        weighted = loadings / noise_variance[:, None]
        precision, rotation = np.linalg.eigh(loadings.T @ weighted)
        precision = np.maximum(precision[::-1], 0.0)
        loadings = loadings @ rotation[:, ::-1]
        # Eigenvectors are defined up to their sign: fix it, for reproducible results.
        largest = np.abs(loadings).argmax(axis=0)
        signs = np.sign(loadings[largest, np.arange(loadings.shape[1])])
        loadings = loadings * np.where(signs == 0, 1.0, signs)
        projection = (loadings / noise_variance[:, None]).T / (1 + precision)[:, None]
        mean = np.zeros(len(loadings)) if mean is None else mean
        return cls(loadings, noise_variance, projection, 1 / np.sqrt(1 + precision), mean)


def factor_analysis(covariance, latent_dim, n_samples, pool=None, tol=None, max_iter=1000):
    """Maximum-likelihood factor analysis of a covariance.

    The iteration and its stopping rule are those of
    :class:`sklearn.decomposition.FactorAnalysis`, carried out on the covariance: its
    cost does not grow with the number of rows.

    Parameters
    ----------
    covariance : DenseSecondMoment or LowRankSecondMoment
        Of centred rows, normalised by their number.
    latent_dim : int
    n_samples : int
        Number of rows of the covariance; scikit-learn's tolerance is on their summed
        log-likelihood.
    pool : callable, default=None
        Applied to the noise variances after each iteration, as some features have a common one.
    tol : float, default=None
        Change of an iteration, in nats per row, at which it is the last one; by default 0.01
        nats over all rows, as scikit-learn, but no finer than 1e-6 nats a row.
    max_iter : int, default=1000

    Returns
    -------
    LinearGaussian
    """
    variance = covariance.diagonal()
    varies = variance > 0
    # A constant feature does not contribute: the logarithm of this noise is zero.
    noise = np.ones(len(variance))
    # One factor fewer than features already reproduces any covariance; scikit-learn's
    # likelihood counts a surplus eigenvalue below 1 wrongly, and stops too early.
    rank = max(1, min(latent_dim, np.count_nonzero(varies) - 1))
    loadings = np.zeros((len(variance), latent_dim))
    previous = -np.inf
    tol = max(0.01 / n_samples, 1e-6) if tol is None else tol
    for _ in range(max_iter):
        root = np.sqrt(noise) + 1e-12
        values, vectors = covariance.leading(rank, root)
        values = np.maximum(values, 1e-12)
        lengths = np.sqrt(np.maximum(values - 1, 0))
        loadings[:, :rank] = vectors * lengths * np.where(varies, root, 0.0)[:, None]
        unexplained = (variance / root**2).sum() - values.sum()
        log_likelihood = -(np.log(values).sum() + unexplained + np.log(noise).sum()) / 2
        gain = log_likelihood - previous
        # With common noises it is not the likelihood that the iteration raises.
        if (gain if pool is None else abs(gain)) < tol:
            break
        previous = log_likelihood
        left = np.maximum(variance - np.square(loadings).sum(axis=1), 1e-12)
        left = left if pool is None else pool(left)
        noise = np.where(varies, left, 1.0)
    return LinearGaussian.from_loadings(loadings, np.where(varies, noise, 0.0))


def probabilistic_pca(covariance, latent_dim, noise_variance=None, n_samples=np.inf):
    """Probabilistic PCA of a covariance (Tipping & Bishop 1999, eqs. 7 and 8).

    Parameters
    ----------
    covariance : DenseSecondMoment or LowRankSecondMoment
    latent_dim : int
        From ``n_features`` on the surplus dimensions are unused: one fewer than
        ``n_features`` already reproduces any covariance.
    noise_variance : float, default=None
        A known noise variance; by default its maximum-likelihood value.
    n_samples : int, default=inf
        Number of rows of the covariance, which is then normalised by one less, as in
        :class:`sklearn.decomposition.PCA`.

    Returns
    -------
    LinearGaussian
    """
    # With a single row, n_samples - 1 would be zero.
    correction = 1 / max(1 - 1 / n_samples, 1 / n_samples)
    variance = correction * covariance.diagonal()
    n_features = len(variance)
    rank = min(latent_dim, n_features if noise_variance is not None else n_features - 1)
    loadings = np.zeros((n_features, latent_dim))
    values, vectors = np.zeros(0), np.zeros((n_features, 0))
    if rank > 0:
        values, vectors = covariance.leading(rank)
        values = correction * values
    if noise_variance is None:
        left = (variance.sum() - values.sum()) / (n_features - rank)
        noise_variance = max(left, MIN_NOISE_VARIANCE)
    loadings[:, :rank] = vectors * np.sqrt(np.maximum(values - noise_variance, 0))
    return LinearGaussian.from_loadings(loadings, np.full(n_features, noise_variance))
