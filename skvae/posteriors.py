"""q(z|x): from the encoder's raw output to a distribution over latent codes."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, register_kl
from torch.nn.functional import hardtanh

from skvae.components import Component
from skvae.densities import standard_normal_kl

__all__ = ["POSTERIORS", "Diagonal", "Full", "Posterior", "PosteriorHead"]

# Avoids overflow for rows far outside the training data: exp(-15) to exp(5) is wider than
# any posterior under a standard normal prior.
_LOG_SCALE_RANGE = (-15.0, 5.0)


class PosteriorHead(nn.Module):
    """Base of the heads: raw encoder output to a posterior over `latent_dim` dimensions.

    `n_raw` raw outputs are needed per row: means, log-scales and other parameters.

    Examples
    --------
    >>> import torch
    >>> from skvae.posteriors import Diagonal
    >>> head = Diagonal().head(latent_dim=2)
    >>> q = head(torch.zeros(5, head.n_raw))
    >>> q.mean.shape, float(q.stddev[0, 0])
    (torch.Size([5, 2]), 1.0)
    """

    def __init__(self, latent_dim):
        super().__init__()
        self.latent_dim = latent_dim
        self.n_raw = 2 * latent_dim

    @staticmethod
    def prior(q):
        """Return p(z) = N(0, I) on the device and in the dtype of `q`."""
        return _standard_normal(q.event_shape[0], q.mean.dtype, q.mean.device)

    @staticmethod
    def reparameterize(q, eps):
        """Map standard normal draws (..., n, latent_dim) to draws from `q`."""
        if isinstance(q, WidenedNormal):
            return q.mean + q.scale * _correlated(q.factor, eps)
        if isinstance(q, MultivariateNormal):
            return q.mean + (q.scale_tril @ eps.unsqueeze(-1)).squeeze(-1)
        return q.mean + q.base_dist.scale * eps

    @staticmethod
    def log_prob(q, eps):
        """Return log q at the draws that `eps` is mapped to, without inverting the map."""
        if isinstance(q, MultivariateNormal):
            # The factor of a row far outside the training data may be close to singular.
            return standard_normal_log_prob(eps) - _log_diagonal(q).sum(-1)
        return standard_normal_log_prob(eps) - q.base_dist.scale.log().sum(-1)

    def spread(self, q):
        """Return the scale of `q` as `latent_posterior` gives it."""
        raise NotImplementedError

    @staticmethod
    def widen(q, factor, is_empty):
        """Return the posterior of rows with missing values, a normal with full covariance.

        Parameters
        ----------
        q : Distribution
            The posterior if the rows were complete.
        factor : Tensor of shape (..., n, latent_dim, latent_dim)
            Lower triangular; the scale of `q` is multiplied by it. The identity for rows
            without any value.
        is_empty : Tensor of shape (..., n)
            Rows without any value: their posterior is the prior.
        """
        is_empty = is_empty.unsqueeze(-1)
        mean = torch.where(is_empty, 0.0, q.mean)
        if not isinstance(q, MultivariateNormal):
            return WidenedNormal(mean, torch.where(is_empty, 1.0, q.base_dist.scale), factor)
        scale = torch.where(is_empty.unsqueeze(-1), factor, q.scale_tril @ factor)
        return MultivariateNormal(mean, scale_tril=scale, validate_args=False)

    def closed_form_output(self, solution):
        """Return weight and bias of the raw output of a closed-form posterior."""
        k, dtype = self.latent_dim, torch.float32
        # Other parameters than mean and log-scale start at zero.
        weight = torch.zeros(self.n_raw, solution.projection.shape[1], dtype=dtype)
        bias = torch.zeros(self.n_raw, dtype=dtype)
        weight[:k] = torch.as_tensor(solution.projection)
        bias[:k] = torch.as_tensor(-solution.projection @ solution.mean)
        bias[k : 2 * k] = torch.as_tensor(solution.posterior_scale).log()
        return weight, bias


class DiagonalHead(PosteriorHead):
    """Raw output (mean, log-scale) to ``Normal(mean, exp(log-scale))``."""

    def forward(self, raw):
        """Return q(z|x) with batch shape (n,) and event shape (latent_dim,)."""
        mean, log_scale = raw.split(self.latent_dim, dim=-1)
        scale = _scales(log_scale)
        return Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)

    def spread(self, q):
        """Return the standard deviations, (n, latent_dim)."""
        return q.stddev if isinstance(q, MultivariateNormal) else q.base_dist.scale


class FullHead(PosteriorHead):
    """Raw output (mean, log-diagonal, rest of the factor's rows) to a normal."""

    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.n_raw += latent_dim * (latent_dim - 1) // 2

    def forward(self, raw):
        """Return q(z|x) with batch shape (n,) and event shape (latent_dim,)."""
        k = self.latent_dim
        mean, log_scale, rest = raw.split((k, k, self.n_raw - 2 * k), dim=-1)
        factor = torch.diag_embed(_scales(log_scale))
        row, column = torch.tril_indices(k, k, offset=-1, device=raw.device)
        factor[..., row, column] = rest
        return MultivariateNormal(mean, scale_tril=factor, validate_args=False)

    def spread(self, q):
        """Return the Cholesky factors, (n, latent_dim, latent_dim)."""
        return q.scale_tril


def _scales(log_scale):
    # hardtanh, as the gradient of clamp takes five operations.
    return hardtanh(log_scale, *_LOG_SCALE_RANGE).exp()


class Point(NamedTuple):
    """A code without uncertainty."""

    mean: torch.Tensor


class PointHead(PosteriorHead):
    """Raw output is the code itself."""

    def __init__(self, latent_dim):
        super().__init__(latent_dim)
        self.n_raw = latent_dim

    def forward(self, raw):
        """Return the code."""
        return Point(raw)

    @staticmethod
    def reparameterize(q, eps):
        """Return the code; the draws are not used."""
        return q.mean[None]

    def closed_form_output(self, solution):
        """Return the weighted least-squares projection of a closed-form model."""
        precision = 1 / solution.posterior_scale**2 - 1
        # The posterior mean without its shrinkage towards the prior.
        unshrunk = np.where(precision > 1e-9, (1 + precision) / np.maximum(precision, 1e-9), 0)
        weight = torch.as_tensor(unshrunk[:, None] * solution.projection, dtype=torch.float32)
        # A dimension that the closed form does not use starts at some feature: at zero it
        # would have no gradient.
        for spare in np.flatnonzero(unshrunk == 0):
            weight[spare, spare % weight.shape[1]] = 1.0
        mean = torch.as_tensor(solution.mean, dtype=torch.float32)
        return weight, torch.zeros(self.n_raw, dtype=torch.float32) - weight @ mean


class WidenedNormal(MultivariateNormal):
    """Normal whose Cholesky factor is a diagonal matrix times a given factor.

    Parameters
    ----------
    mean, scale : Tensor of shape (..., k)
        The scale is the diagonal.
    factor : Tensor of shape (..., k, k)
        Lower triangular. It needs no gradients: then nothing of its shape does.
    """

    def __init__(self, mean, scale, factor):
        self.scale, self.factor = scale, factor
        super().__init__(mean, scale_tril=scale.unsqueeze(-1) * factor, validate_args=False)


class StandardNormal(Independent):
    """N(0, I), as a type for which the KL divergence of a normal is registered."""


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _standard_normal(width, dtype, device):
    """Return N(0, I) over `width` dimensions."""
    zeros = torch.zeros(width, dtype=dtype, device=device)
    normal = Normal(zeros, torch.ones_like(zeros), validate_args=False)
    return StandardNormal(normal, 1, validate_args=False)


@register_kl(Independent, StandardNormal)
def _kl_of_diagonal(q, prior):
    return standard_normal_kl(q.base_dist.loc, q.base_dist.scale).sum(-1)


@register_kl(MultivariateNormal, StandardNormal)
def _kl_of_full(q, prior):
    squares = q.scale_tril.square().sum(-1) + q.mean.square() - 1
    return (0.5 * squares - _log_diagonal(q)).sum(-1)


@register_kl(WidenedNormal, StandardNormal)
def _kl_of_widened(q, prior):
    length = q.factor.square().sum(-1).sqrt()
    # The determinant of the factor is the product of its diagonal, and not of its lengths.
    excess = (length / q.factor.diagonal(dim1=-2, dim2=-1)).log()
    return (standard_normal_kl(q.mean, q.scale * length) + excess).sum(-1)


def _correlated(factor, eps):
    """Return the products of each row's factor (..., n, k, k) with its draws."""
    if factor.ndim == 3 and eps.ndim == 3 and eps.shape[1] == 1:
        # All rows have the same draws: a product of matrices for each.
        same = eps.movedim(1, 0).expand(len(factor), -1, -1)
        return torch.bmm(same, factor.mT).movedim(1, 0)
    return (factor @ eps.unsqueeze(-1)).squeeze(-1)


def _log_diagonal(q):
    if isinstance(q, WidenedNormal):
        return q.scale.log() + q.factor.diagonal(dim1=-2, dim2=-1).log()
    return q.scale_tril.diagonal(dim1=-2, dim2=-1).log()


def marginal_kl(q):
    """KL of each latent dimension's marginal from N(0, 1), shape (n, latent_dim)."""
    return standard_normal_kl(q.mean, q.stddev)


def standard_normal_log_prob(z):
    """Log-density of N(0, I) at `z`, summed over the last axis."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))


class Posterior(Component):
    """A family of approximate posteriors; builds the encoder's head.

    A subclass sets `head_class`.

    Examples
    --------
    >>> from skvae.posteriors import Full, Posterior
    >>> issubclass(Full, Posterior), Full.head_class.__name__
    (True, 'FullHead')
    """

    kind = "posterior"

    head_class: type[PosteriorHead]

    def head(self, latent_dim: int) -> PosteriorHead:
        """Return the module that turns raw encoder output into a distribution."""
        return self.head_class(latent_dim)


class Diagonal(Posterior):
    """Gaussian posterior with one standard deviation per latent dimension.

    Examples
    --------
    >>> from skvae.posteriors import Diagonal
    >>> Diagonal().head(latent_dim=2).n_raw
    4
    """

    head_class = DiagonalHead


class Full(Posterior):
    """Gaussian posterior with a full covariance, parametrised by its Cholesky factor.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> VAETransformer(posterior="full")
    VAETransformer(posterior='full')
    """

    head_class = FullHead


POSTERIORS: dict[str, type[Posterior]] = {"diagonal": Diagonal, "full": Full}
