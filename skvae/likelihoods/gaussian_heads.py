"""The Gaussian likelihood's heads: a noise of their own, or one from the decoder."""

import math

import numpy as np
import torch
from torch import nn
from torch.distributions import Independent, Normal

from skvae.data.rows import feature_moments
from skvae.likelihoods.base import LikelihoodHead
from skvae.likelihoods.factor_analysis import MIN_NOISE_VARIANCE

# FactorAnalysis's own floor on the noise variance of a constant feature.
_SPIKE_SCALE = 1e-6
_SLAB_WEIGHT = 1e-6


class GaussianHead(LikelihoodHead):
    """Raw output is the mean in model units; the noise is the head's own.

    Parameters
    ----------
    n_features : int
    scale : Tensor of shape (n_features,) or (1,)
        Standard deviation of the noise at the start, in model units.
    learned : bool
        Whether the noise is learned or stays at `scale`.
    constant : Tensor of shape (n_features,), dtype bool
        Features that do not vary in the training data; their mean is fixed at 0.
    link : Module
        Maps raw output to the mean.
    start_bias : Tensor of shape (n_features,)
    """

    def __init__(self, n_features, scale, learned, constant, link, start_bias):
        super().__init__()
        self.n_raw = n_features
        self.n_features = n_features
        self.has_noise = learned
        self.has_constant = bool(constant.any())
        self.register_buffer("constant", constant, persistent=True)
        self.link = link
        self.register_buffer("start_bias", start_bias, persistent=False)
        if learned:
            self.log_scale = nn.Parameter(scale.log())
        else:
            self.register_buffer("log_scale", scale.log())

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
        raw = self.link(raw)
        if self.has_constant:
            raw = raw.masked_fill(self.constant, 0.0)
            normal = SpikedNormal(raw, self._scale(), self.constant)
        else:
            normal = Normal(raw, self._scale().expand_as(raw), validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def _scale(self):
        if not self.has_noise:
            return self.log_scale.exp().expand(self.n_features)
        # A sum, not a clamp: at a clamp the gradient vanishes and the noise stays there.
        variance = torch.exp(2 * self.log_scale) + MIN_NOISE_VARIANCE
        return variance.sqrt().expand(self.n_features)

    def draw(self, p, rng):
        """Draw from the normal of each feature."""
        mean, scale = p.base_dist.loc.cpu().numpy(), p.base_dist.scale.cpu().numpy()
        if self.has_constant:
            slab = self.constant.cpu().numpy() & (rng.random_sample(mean.shape) < _SLAB_WEIGHT)
            scale = np.where(slab, 1.0, scale)
        return (mean + scale * rng.standard_normal(mean.shape)).astype(mean.dtype)

    def affine_start(self, solution):
        """Take over the noise of the closed form; its loadings are the decoder."""
        self.set_noise(torch.as_tensor(solution.noise_variance))
        return torch.as_tensor(solution.loadings), torch.zeros(self.n_raw, dtype=torch.float32)

    @torch.no_grad()
    def set_noise(self, variance):
        """Set a learned noise to these variances per feature, in model units."""
        if not self.has_noise:
            return
        if len(self.log_scale) == 1:
            variance = variance.mean(0, keepdim=True)
        free = (variance - MIN_NOISE_VARIANCE).clamp(min=MIN_NOISE_VARIANCE * 1e-6)
        self.log_scale.copy_(0.5 * free.log())

    def shrink(self, variance, share):
        """Draw log-variances (..., n_features) by a share towards their mean."""
        if len(self.log_scale) == 1:
            return variance
        log = variance.clamp(min=MIN_NOISE_VARIANCE).log()
        varies = ~self.constant
        mean = log[..., varies].mean(-1, keepdim=True) if varies.any() else log
        return torch.exp(log + share * (mean - log))

    def noise_variance(self):
        """Return the noise variance per feature in model units."""
        variance = self._scale().detach().double().square()
        return torch.where(self.constant, _SPIKE_SCALE**2, variance).cpu().numpy()

    def moments(self, p, x):
        """Return the squared residuals (..., n_features) that a noise is set from."""
        return (x - p.mean).square()

    def expected_log_prob(self, moments, variance):
        """Mean log-density of rows with these mean squared residuals.

        `variance` is the noise per feature in model units.
        """
        if len(self.log_scale) == 1:
            variance = variance.mean(-1, keepdim=True).expand_as(variance)
        variance = variance.clamp(min=MIN_NOISE_VARIANCE)
        variance = variance.masked_fill(self.constant, _SPIKE_SCALE**2)
        return -0.5 * (moments / variance + variance.log() + math.log(2 * math.pi)).sum(-1)


class HeteroscedasticHead(LikelihoodHead):
    """Raw output is the mean's and then the log-scale of each feature, in model units."""

    # Where a scale is small by chance the gradients are huge: start close to the data's own.
    start_gain = 0.1

    def __init__(self, start_mean, link, rows):
        super().__init__()
        self.n_features = len(start_mean)
        self.n_raw = 2 * self.n_features
        self.link = link
        _, variance = feature_moments(rows)
        log_scale = variance.sqrt().float().clamp(min=MIN_NOISE_VARIANCE**0.5).log()
        start_bias = torch.cat([start_mean, log_scale])
        self.register_buffer("start_bias", start_bias, persistent=False)

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
        mean, log_scale = raw.split(self.n_features, dim=-1)
        # The floor of the learned noise, and no overflow far from the training data.
        variance = torch.exp(2 * log_scale.clamp(max=10.0)) + MIN_NOISE_VARIANCE
        normal = Normal(self.link(mean), variance.sqrt(), validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def draw(self, p, rng):
        """Draw from the normal of each feature."""
        mean, scale = p.base_dist.loc.cpu().numpy(), p.base_dist.scale.cpu().numpy()
        return (mean + scale * rng.standard_normal(mean.shape)).astype(mean.dtype)

    def affine_start(self, solution):
        """Return the loadings, and a constant log-scale."""
        loadings = torch.as_tensor(solution.loadings, dtype=torch.float32)
        log_scale = torch.as_tensor(solution.noise_variance, dtype=torch.float32).log() / 2
        weight = torch.cat([loadings, torch.zeros_like(loadings)])
        return weight, torch.cat([torch.zeros_like(log_scale), log_scale])


class SpikedNormal(Normal):
    """Normal whose marked features are a narrow spike with a little wide slab.

    Their density is ``(1 - w) N(x; mean, 1e-6) + w N(x; mean, 1)`` with w = 1e-6.
    """

    def __init__(self, loc, scale, spiked):
        self.spiked = spiked
        scale = torch.where(spiked, _SPIKE_SCALE, scale).expand_as(loc)
        super().__init__(loc, scale, validate_args=False)

    @property
    def variance(self):
        """Variance of each feature."""
        return torch.where(self.spiked, self.scale.square() + _SLAB_WEIGHT, self.scale.square())

    def log_prob(self, value):
        """Log-density per feature."""
        log_prob = super().log_prob(value)
        residual = (value - self.loc)[..., self.spiked]
        # A constant column does not tell its scale; StandardScaler takes 1 too.
        slab = -0.5 * residual.square() - 0.5 * math.log(2 * math.pi) + math.log(_SLAB_WEIGHT)
        mixed = log_prob.clone()
        spike = log_prob[..., self.spiked] + math.log1p(-_SLAB_WEIGHT)
        mixed[..., self.spiked] = torch.logaddexp(spike, slab)
        return mixed
