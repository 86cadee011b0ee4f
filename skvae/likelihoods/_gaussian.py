"""The Gaussian likelihood."""

import math
from numbers import Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.distributions import Independent, Normal

from skvae.likelihoods._base import Likelihood, LikelihoodHead
from skvae.linear import (
    MIN_NOISE_VARIANCE,
    factor_analysis,
    probabilistic_pca,
    second_moment,
)
from skvae.units import Units

# FactorAnalysis's own floor on the noise variance of a constant feature.
_SPIKE_SCALE = 1e-6
_SLAB_WEIGHT = 1e-6


class Gaussian(Likelihood):
    """Gaussian features around the decoded mean.

    Data are centred and scaled inside the model, so that far-off units do not break
    training; densities are in the units of the data.

    Parameters
    ----------
    noise : {"per_feature", "isotropic"} or float, default="per_feature"
        - ``"per_feature"``: one learned variance per feature, as in
          :class:`~sklearn.decomposition.FactorAnalysis`.
        - ``"isotropic"``: one learned variance for all, as in
          :class:`~sklearn.decomposition.PCA`'s probabilistic model.
        - a float: that standard deviation, fixed, in the units of the data.

    Notes
    -----
    A learned variance is bounded below by 1e-6 times the variance of the feature: in a
    Heywood case, where a factor explains a feature wholly, the maximum-likelihood
    noise is zero and the likelihood unbounded.

    With ``noise="per_feature"`` a feature that is constant in the training data keeps
    the density that `FactorAnalysis` gives it, a normal of variance 1e-12, but for a
    weight of 1e-6 on a normal of variance 1: one new value there then costs a row
    about 14 nats and not 1e12.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> from skvae.likelihoods import Gaussian
    >>> VAETransformer(likelihood=Gaussian(noise="isotropic"))
    VAETransformer(likelihood=Gaussian(noise='isotropic'))
    """

    _parameter_constraints = {
        "noise": [
            StrOptions({"per_feature", "isotropic"}),
            Interval(Real, 0, None, closed="neither"),
        ],
    }

    def __init__(self, noise="per_feature"):
        self.noise = noise

    def units(self, X):
        """Standardise; by one scale for all features unless each has its own noise."""
        return Units.standardizing(X, shared=not self._per_feature)

    def head(self, rows, units):
        """Return a :class:`GaussianHead`."""
        n_features = rows.shape[1]
        constant = torch.as_tensor(units.constant & self._per_feature)
        scale = torch.ones(n_features if self._per_feature else 1, dtype=torch.float32)
        if self._fixed:
            scale = scale * self._relative_noise(units)
        return GaussianHead(n_features, scale, not self._fixed, constant)

    def linear_start(self, rows, latent_dim, units):
        """Return the factor analysis or the probabilistic PCA of the rows."""
        covariance = second_moment(rows.cpu().numpy())
        if self._per_feature:
            # Among all rows it varies, among these not yet: one pseudo-row's worth.
            unseen = ~units.constant & (np.diag(covariance) == 0)
            covariance[unseen, unseen] = 1 / (len(rows) + 1)
            return factor_analysis(covariance, latent_dim, len(rows))
        if self._fixed:
            known = self._relative_noise(units) ** 2
            return probabilistic_pca(covariance, latent_dim, noise_variance=known)
        # PCA normalises by n - 1.
        correction = len(rows) / max(1, len(rows) - 1)
        return probabilistic_pca(covariance * correction, latent_dim)

    def _relative_noise(self, units):
        """Return a fixed noise in model units."""
        scale = float(units.scale[0])
        relative = self.noise / scale
        if not 1e-9 <= relative <= 1e9:
            raise ValueError(
                f"noise={self.noise} is a standard deviation in the units of the data, whose "
                f"own is {scale:.3g}: choose one between 1e-9 and 1e9 times that."
            )
        return relative

    @property
    def _fixed(self):
        return not isinstance(self.noise, str)

    @property
    def _per_feature(self):
        return self.noise == "per_feature"


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
    """

    def __init__(self, n_features, scale, learned, constant):
        super().__init__()
        self.n_raw = n_features
        self.n_features = n_features
        self.has_noise = learned
        self.has_constant = bool(constant.any())
        self.register_buffer("constant", constant, persistent=True)
        start_bias = torch.zeros(n_features, dtype=torch.float32)
        self.register_buffer("start_bias", start_bias, persistent=False)
        if learned:
            self.log_scale = nn.Parameter(scale.log())
        else:
            self.register_buffer("log_scale", scale.log())

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
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
