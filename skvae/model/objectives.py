"""Bounds on log p(x): pure functions of a model, rows and standard normal draws.

An objective is ``(model, x, eps, n_samples=1, beta=1.0) -> Bound``. `eps` holds standard
normal draws of shape (n_draws, n, latent_dim), or (n_draws, 1, latent_dim) for the same
draws in every row; `n_draws` is a multiple of `n_samples`. `beta` weights the KL
divergence in the bound's value, not in its parts.
"""

import math
from typing import NamedTuple

import torch
from torch.distributions import kl_divergence

from skvae.posteriors import standard_normal_log_prob


class Bound(NamedTuple):
    """A lower bound on log p(x) and its two parts, each of shape (n,), in nats.

    Attributes
    ----------
    value : Tensor or ndarray
        ``reconstruction - kl``.
    reconstruction : Tensor or ndarray
        Mean of log p(x|z) under the posterior.
    kl : Tensor or ndarray
        Divergence of the posterior from the prior.
    """

    value: torch.Tensor
    reconstruction: torch.Tensor
    kl: torch.Tensor


def elbo(model, x, eps, n_samples=1, beta=1.0):
    """Evidence lower bound with the KL in closed form (Kingma & Welling 2014, eq. 7)."""
    q = model.encode(x)
    if len(eps) == 1:
        # A draw needs no axis of its own: in a small step that is felt.
        z = model.encoder.head.reparameterize(q, eps[0])
        reconstruction = model.decoder(z).log_prob(x)
    else:
        z = model.encoder.head.reparameterize(q, eps)
        reconstruction = model.decoder(z).log_prob(x).mean(0)
    kl = kl_divergence(q, model.prior(q))
    return Bound(torch.sub(reconstruction, kl, alpha=beta), reconstruction, kl)


def monte_carlo(model, x, eps, n_samples=1, beta=1.0):
    """Evidence lower bound with the KL by the draws too (Kingma & Welling 2014, eq. 6)."""
    reconstruction, kl = _draw_terms(model, x, eps)
    reconstruction, kl = reconstruction.mean(0), kl.mean(0)
    return Bound(reconstruction - beta * kl, reconstruction, kl)


def iwae(model, x, eps, n_samples=1, beta=1.0):
    """Importance-weighted bound on log p(x) (Burda et al. 2016, eq. 8).

    The mean over groups of `n_samples` draws. Its `kl` is what the bound lacks of the mean
    reconstruction, over `beta`: with one sample per group the divergence, with more less.
    """
    reconstruction, kl = _draw_terms(model, x, eps)
    log_weight = reconstruction - beta * kl
    groups = log_weight.reshape(-1, n_samples, len(x))
    value = (groups.logsumexp(1) - math.log(n_samples)).mean(0)
    reconstruction = reconstruction.mean(0)
    return Bound(value, reconstruction, (reconstruction - value) / (beta or 1.0))


def reconstruction(model, x, eps, n_samples=1, beta=1.0):
    """Log-likelihood of rows given their codes; there is no posterior and no KL."""
    log_prob = model.decoder(model.encode(x).mean).log_prob(x)
    return Bound(log_prob, log_prob, torch.zeros_like(log_prob))


def _draw_terms(model, x, eps):
    """Return log p(x|z) and log q(z|x) - log p(z) for each draw, both (n_draws, n)."""
    q = model.encode(x)
    head = model.encoder.head
    z = head.reparameterize(q, eps)
    return model.decoder(z).log_prob(x), head.log_prob(q, eps) - standard_normal_log_prob(z)


OBJECTIVES = {"elbo": elbo, "monte_carlo": monte_carlo, "iwae": iwae}
