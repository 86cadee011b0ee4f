"""The fitted model as a density: score, bound, posterior, sample."""

from functools import lru_cache
from numbers import Integral

import numpy as np
import torch
from scipy.stats import qmc
from sklearn.utils.validation import check_is_fitted

from skvae.components import random_generator
from skvae.model.objectives import Bound, elbo, iwae

_N_DRAWS = 128


class DensityMixin:
    """What a fitted variational autoencoder tells of p(x) and p(z|x)."""

    def score_samples(self, X, n_samples=_N_DRAWS):
        """Importance-weighted bound on the log-likelihood of each row.

        The draws are one fixed set of quasi-random normal numbers, the same for every
        row: the result is deterministic and does not depend on the order or the batching of
        rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        n_samples : int, default=128
            Importance samples per row. The bound rises with them towards log p(x); with
            1 it is the ELBO, up to the error of the draws.

        Returns
        -------
        ndarray of shape (n_samples,)
            Nats per row, in the units of the data: comparable with the
            ``score_samples`` of PCA, FactorAnalysis and GaussianMixture.

        References
        ----------
        Y. Burda, R. Grosse and R. Salakhutdinov (2016), Importance weighted
        autoencoders, eq. (8).
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        X = self._validate(X, reset=False)
        # Fewer samples per bound leave room for the mean of several bounds.
        n_draws = n_samples * max(1, _N_DRAWS // n_samples)
        eps = _normal_draws(n_draws, self._n_features_out)

        def bound(x):
            module = self._fitted(x.dtype)
            draws = eps.to(x)[:, None]
            return iwae(module, self._enter(x), draws, n_samples).value

        scores = self._by_blocks(bound, X, n_draws=n_draws)
        return scores + np.asarray(self._units.log_jacobian, scores.dtype)

    def score(self, X, y=None):
        """Mean log-likelihood of the rows of X: the mean of `score_samples`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        float
            Nats per row; higher is better.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    def elbo(self, X):
        """Evidence lower bound of each row and its two parts.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        Bound
            A named tuple of arrays of shape (n_samples,): ``value``, ``reconstruction``
            and ``kl``, in nats, with ``value = reconstruction - kl``.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        eps = _normal_draws(_N_DRAWS, self._n_features_out)

        def bound(x):
            draws = eps.to(x)[:, None]
            return torch.stack(elbo(self._fitted(x.dtype), self._enter(x), draws), dim=1)

        parts = self._by_blocks(bound, X, n_draws=_N_DRAWS)
        shift = np.asarray(self._units.log_jacobian, parts.dtype)
        return Bound(parts[:, 0] + shift, parts[:, 1] + shift, parts[:, 2])

    def latent_posterior(self, X):
        """Return the whole posterior q(z|x) of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        mean : ndarray of shape (n_samples, latent_dim)
            What `transform` returns.
        scale : ndarray of shape (n_samples, latent_dim) or (n_samples, latent_dim, latent_dim)
            Standard deviations; with ``posterior="full"`` the Cholesky factors of the
            covariances.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)

        def spread(x):
            encoder = self._fitted(x.dtype).encoder
            return encoder.head.spread(encoder(self._enter(x)))

        return self._by_blocks(self._encode, X), self._by_blocks(spread, X)

    def sample(self, n_samples=1, *, mean=False, random_state=None):
        """Draw new rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Rows to draw.
        mean : bool, default=False
            Return the means of p(x|z) at codes drawn from the prior, without the
            likelihood's own noise: what is usually shown as pictures.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws; None draws anew on each call.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the units of the data.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        rng = random_generator(random_state)
        codes = rng.standard_normal((n_samples, self._n_features_out))

        def draw(z):
            decoder = self._fitted(z.dtype).decoder
            p = decoder(z)
            return p.mean if mean else torch.from_numpy(decoder.head.draw(p, rng))

        return self._units.to_data(self._by_blocks(draw, codes))


@lru_cache(maxsize=8)
def _normal_draws(n_draws, latent_dim):
    """Scrambled Sobol points mapped to normal draws; the same on every call."""
    # Sobol sequences are balanced at powers of two, and scipy warns elsewhere.
    engine = qmc.MultivariateNormalQMC(np.zeros(latent_dim), rng=np.random.default_rng(0))
    draws = engine.random(1 << (n_draws - 1).bit_length())[:n_draws]
    return torch.from_numpy(draws)
