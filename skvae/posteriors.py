"""q(z|x): from the encoder's raw output to a distribution over latent codes."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.distributions import (
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
    register_kl,
)

from skvae.components import Component

# A row far outside the training data must not overflow: exp(-15) to exp(5) is wider
# than any posterior under a standard normal prior.
_LOG_SCALE_RANGE = (-15.0, 5.0)


class Posterior(Component):
    """A family of approximate posteriors; builds the encoder's head."""

    kind = "posterior"

    def head(self, latent_dim: int) -> nn.Module:
        """Return the module that turns raw encoder output into a distribution."""
        raise NotImplementedError


class Diagonal(Posterior):
    """Gaussian posterior with one standard deviation per latent dimension.

    Examples
    --------
    >>> from skvae.posteriors import Diagonal
    >>> Diagonal().head(latent_dim=2).n_raw
    4
    """

    def head(self, latent_dim):
        """Return a :class:`DiagonalHead`."""
        return DiagonalHead(latent_dim)


class DiagonalHead(nn.Module):
    """Raw output (mean, log-scale) to ``Normal(mean, exp(log-scale))``."""

    def __init__(self, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.n_raw = 2 * latent_dim

    def forward(self, raw):
        """Return q(z|x) with batch shape (n,) and event shape (latent_dim,)."""
        mean, log_scale = raw.split(self.latent_dim, dim=-1)
        scale = log_scale.clamp(*_LOG_SCALE_RANGE).exp()
        return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)

    @staticmethod
    def reparameterize(q, eps):
        """Map standard normal draws (..., n, latent_dim) to draws from `q`."""
        return q.mean + q.stddev * eps

    @staticmethod
    def log_prob(q, eps):
        """Return log q at the draws that `eps` is mapped to, without inverting the map."""
        return standard_normal_log_prob(eps) - q.stddev.log().sum(-1)

    @staticmethod
    def prior(q):
        """Return p(z) = N(0, I) on the device and in the dtype of `q`."""
        return _standard_normal(q.event_shape[0], q.mean.dtype, q.mean.device)

    @staticmethod
    def spread(q):
        """Return the standard deviations, (n, latent_dim)."""
        return q.stddev

    def affine_start(self, solution):
        """Return weight and bias of the raw output of a closed-form posterior."""
        return _affine_start(self, solution)


class StandardNormal(Normal):
    """N(0, 1), to which the divergence of a normal is simpler than to any other."""


@register_kl(Normal, StandardNormal)
def _kl_to_standard_normal(q, prior):
    """Kingma & Welling 2014, appendix B; torch's rule for two normals has twice the steps."""
    return 0.5 * (q.loc.square() + q.scale.square() - 1) - q.scale.log()


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _standard_normal(width, dtype, device):
    """Return N(0, I) over `width` dimensions."""
    zeros = torch.zeros(width, dtype=dtype, device=device)
    normal = StandardNormal(zeros, torch.ones_like(zeros), validate_args=False)
    return Independent(normal, 1, validate_args=False)


class Full(Posterior):
    """Gaussian posterior with a full covariance, by its Cholesky factor.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> VAETransformer(posterior="full")
    VAETransformer(posterior='full')
    """

    def head(self, latent_dim):
        """Return a :class:`FullHead`."""
        return FullHead(latent_dim)


class FullHead(nn.Module):
    """Raw output (mean, log-diagonal, rest of the factor's rows) to a normal."""

    def __init__(self, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.n_raw = 2 * latent_dim + latent_dim * (latent_dim - 1) // 2

    def forward(self, raw):
        """Return q(z|x) with batch shape (n,) and event shape (latent_dim,)."""
        k = self.latent_dim
        mean, log_scale, rest = raw.split((k, k, self.n_raw - 2 * k), dim=-1)
        factor = torch.diag_embed(log_scale.clamp(*_LOG_SCALE_RANGE).exp())
        row, column = torch.tril_indices(k, k, offset=-1, device=raw.device)
        below = torch.zeros_like(factor)
        below[..., row, column] = rest
        return MultivariateNormal(mean, scale_tril=factor + below, validate_args=False)

    @staticmethod
    def prior(q):
        """Return p(z) = N(0, I) on the device and in the dtype of `q`."""
        unit = torch.eye(q.event_shape[0], dtype=q.mean.dtype, device=q.mean.device)
        return MultivariateNormal(
            torch.zeros_like(unit[0]), scale_tril=unit, validate_args=False
        )

    @staticmethod
    def reparameterize(q, eps):
        """Map standard normal draws (..., n, latent_dim) to draws from `q`."""
        return q.mean + (q.scale_tril @ eps.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    def log_prob(q, eps):
        """Return log q at the draws that `eps` is mapped to, without inverting the map."""
        # The factor of a row far outside the training data may be close to singular.
        log_scale = q.scale_tril.diagonal(dim1=-2, dim2=-1).log()
        return standard_normal_log_prob(eps) - log_scale.sum(-1)

    @staticmethod
    def spread(q):
        """Return the Cholesky factors, (n, latent_dim, latent_dim)."""
        return q.scale_tril

    def affine_start(self, solution):
        """Return weight and bias of the raw output of a closed-form posterior."""
        return _affine_start(self, solution)


def _affine_start(head, solution):
    """Return weight and bias; what follows mean and log-scale starts at zero."""
    k, dtype = head.latent_dim, torch.float32
    weight = torch.zeros(head.n_raw, solution.projection.shape[1], dtype=dtype)
    bias = torch.zeros(head.n_raw, dtype=dtype)
    weight[:k] = torch.as_tensor(solution.projection)
    bias[k : 2 * k] = torch.as_tensor(solution.posterior_scale).log()
    return weight, bias


class Point(NamedTuple):
    """A code without uncertainty."""

    mean: torch.Tensor


class PointHead(nn.Module):
    """Raw output is the code itself."""

    def __init__(self, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.n_raw = latent_dim

    def forward(self, raw):
        """Return the code."""
        return Point(raw)

    @staticmethod
    def reparameterize(q, eps):
        """Return the code, whatever the draws."""
        return q.mean[None]

    def affine_start(self, solution):
        """Return the weighted least-squares projection of a closed-form model."""
        precision = 1 / solution.posterior_scale**2 - 1
        # The posterior mean without its shrinkage towards the prior.
        unshrunk = np.where(precision > 1e-9, (1 + precision) / np.maximum(precision, 1e-9), 0)
        weight = torch.as_tensor(unshrunk[:, None] * solution.projection, dtype=torch.float32)
        # A code that the closed form leaves out reads some feature, so that it can learn.
        for spare in np.flatnonzero(unshrunk == 0):
            weight[spare, spare % weight.shape[1]] = 1.0
        return weight, torch.zeros(self.n_raw, dtype=torch.float32)


def standard_normal_log_prob(z):
    """Log-density of N(0, I) at `z`, summed over the last axis."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))


def marginal_kl(q):
    """KL of each latent dimension's marginal from N(0, 1), shape (n, latent_dim)."""
    prior = _standard_normal(q.event_shape[0], q.mean.dtype, q.mean.device).base_dist
    return kl_divergence(Normal(q.mean, q.stddev, validate_args=False), prior)


POSTERIORS: dict[str, type[Posterior]] = {"diagonal": Diagonal, "full": Full}
