"""Bounds on log p(x): pure functions of a model, rows and standard normal draws."""

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


def elbo(model, x, eps):
    """Evidence lower bound with the KL in closed form (Kingma & Welling 2014, eq. 7).

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (n, n_features)
    eps : Tensor of shape (n_samples, n, latent_dim)
        Standard normal draws.

    Returns
    -------
    Bound
    """
    q = model.encoder(x)
    z = model.encoder.head.reparameterize(q, eps)
    reconstruction = model.decoder(z).log_prob(x).mean(0)
    kl = kl_divergence(q, model.prior(q))
    return Bound(reconstruction - kl, reconstruction, kl)


def importance_weighted(model, x, eps, n_samples):
    """Importance-weighted bound on log p(x) (Burda et al. 2016, eq. 8).

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (n, n_features)
    eps : Tensor of shape (n_draws, 1 or n, latent_dim)
        Standard normal draws; `n_draws` a multiple of `n_samples`, over whose groups
        the bound is averaged.
    n_samples : int
        Importance samples per bound; 1 gives the evidence lower bound.

    Returns
    -------
    Tensor of shape (n,)
        In nats.
    """
    q = model.encoder(x)
    z = model.encoder.head.reparameterize(q, eps)
    log_weight = model.decoder(z).log_prob(x) + standard_normal_log_prob(z) - q.log_prob(z)
    groups = log_weight.reshape(-1, n_samples, len(x))
    return (groups.logsumexp(1) - math.log(n_samples)).mean(0)


OBJECTIVES = {"elbo": elbo}
