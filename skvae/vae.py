"""The variational autoencoder as a scikit-learn transformer."""

from functools import lru_cache
from numbers import Integral

import numpy as np
import torch
from scipy.stats import qmc
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skvae.base import LatentTransformer
from skvae.likelihoods import LIKELIHOODS
from skvae.model import build_vae, start_affine
from skvae.networks import NETWORKS
from skvae.objectives import OBJECTIVES, Bound, elbo, importance_weighted
from skvae.posteriors import POSTERIORS, marginal_kl

_N_DRAWS = 128


class VAETransformer(LatentTransformer):
    """PLACEHOLDER."""

    _registries = {"network": NETWORKS, "likelihood": LIKELIHOODS, "posterior": POSTERIORS}

    _parameter_constraints = {
        **LatentTransformer._parameter_constraints,
        "posterior": [str, object],
        "objective": [StrOptions(set(OBJECTIVES))],
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"factor_analysis", "random"})],
    }

    def __init__(
        self,
        latent_dim=2,
        *,
        network="mlp",
        likelihood="gaussian",
        posterior="diagonal",
        objective="elbo",
        n_samples=1,
        init="factor_analysis",
        batch_size="auto",
        max_iter="auto",
        learning_rate_init=3e-3,
        weight_decay=0.01,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=25,
        tol=1e-4,
        warm_start=False,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.latent_dim = latent_dim
        self.network = network
        self.likelihood = likelihood
        self.posterior = posterior
        self.objective = objective
        self.n_samples = n_samples
        self.init = init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def score_samples(self, X, n_samples=_N_DRAWS):
        """Importance-weighted bound on the log-likelihood of each row.

        The draws are one fixed set of quasi-random normal numbers, the same for every
        row: the result is deterministic and does not depend on the order or the batching of
        rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_samples : int, default=128
            Importance samples per row. The bound rises with them towards log p(x); with
            1 it is the ELBO.

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
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        X = self._validate(X, reset=False)
        # Fewer samples per bound leave room for the mean of several bounds.
        n_draws = n_samples * max(1, _N_DRAWS // n_samples)
        eps = _normal_draws(n_draws, self._n_features_out)

        def bound(x):
            module = self._fitted(x.dtype)
            draws = eps.to(x)[:, None]
            return importance_weighted(module, self._enter(x), draws, n_samples)

        scores = self._by_blocks(bound, X, width=n_draws * self.n_features_in_)
        return scores + np.asarray(self._units.log_jacobian, scores.dtype)

    def score(self, X, y=None):
        """Mean log-likelihood of the rows of X: the mean of `score_samples`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
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
        X : array-like of shape (n_samples, n_features)

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

        parts = self._by_blocks(bound, X, width=_N_DRAWS * self.n_features_in_)
        shift = np.asarray(self._units.log_jacobian, parts.dtype)
        return Bound(parts[:, 0] + shift, parts[:, 1] + shift, parts[:, 2])

    def latent_posterior(self, X):
        """Return the whole posterior q(z|x) of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        mean : ndarray of shape (n_samples, latent_dim)
            What `transform` returns.
        scale : ndarray of shape (n_samples, latent_dim)
            Standard deviations.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)

        def parameters(x):
            q = self._fitted(x.dtype).encoder(self._enter(x))
            return torch.stack([q.mean, q.stddev], dim=1)

        both = self._by_blocks(parameters, X)
        return both[:, 0], both[:, 1]

    def sample(self, n_samples=1, *, mean=False, random_state=None):
        """Draw new rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
        mean : bool, default=False
            Return the means of p(x|z) at codes drawn from the prior, without the
            likelihood's own noise: what is usually shown as pictures.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the units of the data.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        rng = random_state
        if not isinstance(rng, np.random.RandomState):
            rng = np.random.RandomState(rng)
        codes = rng.standard_normal((n_samples, self._n_features_out))

        def draw(z):
            decoder = self._fitted(z.dtype).decoder
            p = decoder(z)
            return p.mean if mean else torch.from_numpy(decoder.head.draw(p, rng))

        return self._units.leave(self._by_blocks(draw, codes))

    # -- fitting ---------------------------------------------------------------------

    def _objective(self):
        return OBJECTIVES[self.objective]

    def _start(self, components, units):
        latent_dim, closed_form = self.latent_dim, self.init == "factor_analysis"
        network, likelihood, posterior = (
            components[name] for name in ("network", "likelihood", "posterior")
        )

        def start(rows, seed):
            generator = torch.Generator().manual_seed(seed)
            vae = build_vae(network, likelihood, posterior, rows, units, latent_dim, generator)
            if closed_form:
                start_affine(vae, likelihood.linear_start(rows, latent_dim, units))
            return vae.to(rows.device)

        return start

    def _store_more(self, recipe, outcome):
        """Mean KL per latent dimension over the training rows."""
        encoder, totals = outcome.module.encoder, 0.0
        with torch.inference_mode():
            for rows in recipe.rows.split(8192):
                q = encoder(rows)
                totals = totals + marginal_kl(q).sum(0, dtype=torch.float64)
        self.latent_kl_ = (totals / len(recipe.rows)).cpu().numpy()


@lru_cache(maxsize=8)
def _normal_draws(n_draws, latent_dim):
    """Scrambled Sobol points mapped to normal draws; the same on every call."""
    # Sobol sequences are balanced at powers of two, and scipy warns elsewhere.
    engine = qmc.MultivariateNormalQMC(np.zeros(latent_dim), rng=np.random.default_rng(0))
    draws = engine.random(1 << (n_draws - 1).bit_length())[:n_draws]
    return torch.from_numpy(draws)
