"""The heads of the Gaussian likelihood: noise from a parameter, or from the decoder."""

import math

import torch
from torch.distributions import Distribution, Normal

from skvae.data.units import column_maps
from skvae.densities import normal_log_prob
from skvae.likelihoods.base import LikelihoodHead
from skvae.likelihoods.factor_analysis import MIN_NOISE_VARIANCE
from skvae.likelihoods.row_distribution import RowDistribution
from skvae.likelihoods.ties import TiedNormal
from skvae.likelihoods.tilted import Bins, TiltedNormal

# The smallest standard deviation of the noise in FactorAnalysis: that of a constant feature.
_SPIKE_SCALE = 1e-6
_SLAB_WEIGHT = 1e-6


class GaussianHead(LikelihoodHead):
    """Raw output is the mean in model units; the noise is a parameter, or fixed.

    Attributes
    ----------
    log_scale : Tensor of shape (n_features,) or (1,)
        Log-scale of the noise in model units; the floor of a learned one is added.
    constant : Tensor of shape (n_features,), dtype bool
        Features that are constant in the training data, with one noise per feature: their
        mean is fixed at 0.
    ties : Ties or None
    """

    def __init__(self, likelihood, units):
        super().__init__(likelihood, units)
        self.ties = likelihood.ties(units)
        self.score_means = likelihood.score_means(units)
        self._learns_noise = "log_scale" in self._parameters
        # The probability of an interval is no function of a squared residual.
        self.has_noise = self._learns_noise and self.ties is None
        if not self._learns_noise:
            scale = torch.tensor([likelihood.relative_noise(units)], dtype=torch.float32)
            self.register_buffer("log_scale", scale.log(), persistent=False)
        constant = torch.as_tensor(units.constant & likelihood.is_per_feature)
        self.has_constant = bool(constant.any())
        self.register_buffer("constant", constant, persistent=False)

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
        mean, scale = self.likelihood.decoded_mean(raw), self._scale().unsqueeze(-2)
        if self.has_constant:
            mean = mean.masked_fill(self.constant, 0.0)
            normal = SpikedNormal(mean, scale, self.constant)
        else:
            normal = RowNormal(mean, scale)
        return RowDistribution(_tied(normal, self.ties))

    def means(self, p):
        """Return means in model units, or in those of the data if these have normal scores."""
        if self.score_means is None:
            return p.mean
        scale = self._scale().expand(self.n_features)
        return self.score_means.with_common_scale(p.mean, scale)

    def _scale(self):
        """Return the standard deviation of the noise, by feature or one for all."""
        if not self._learns_noise:
            return self.log_scale.exp()
        # A sum, because with clamp the gradient would be zero below the floor.
        return (torch.exp(2 * self.log_scale) + MIN_NOISE_VARIANCE).sqrt()

    @property
    def _is_shared(self):
        return self.log_scale.shape[-1] == 1

    def closed_form_output(self, solution, centre):
        """Set the noise of the closed form; return its loadings and mean."""
        if not self.likelihood.has_closed_form:
            return super().closed_form_output(solution, centre)
        solution = _of_scores(solution, self.ties)
        self.set_noise(torch.as_tensor(solution.noise_variance))
        return torch.as_tensor(solution.loadings), torch.as_tensor(solution.mean)

    @torch.no_grad()
    def set_noise(self, variance):
        """Set a learned noise to these variances per feature, in model units."""
        if not self._learns_noise:
            return
        if self._is_shared:
            variance = variance.mean(0, keepdim=True)
        free = (variance - MIN_NOISE_VARIANCE).clamp(min=MIN_NOISE_VARIANCE * 1e-6)
        self.log_scale.copy_(0.5 * free.log())

    def shrink(self, variance, shrinkage):
        """Shrink log-variances (..., n_features) to their mean: not at 0, fully at 1.

        A tensor of several shrinkages, (n, ..., 1), gives (n, ..., n_features).
        """
        if self._is_shared:
            return variance.expand(torch.broadcast_shapes(variance.shape, shrinkage.shape))
        log = variance.clamp(min=MIN_NOISE_VARIANCE).log()
        varying = log[..., ~self.constant] if self.has_constant else log
        mean = varying.mean(-1, keepdim=True) if varying.shape[-1] else log
        return torch.exp(log + shrinkage * (mean - log))

    def noise_variance(self):
        """Return the noise variance per feature in model units."""
        variance = self._scale().detach().double().square()
        return torch.where(self.constant, _SPIKE_SCALE**2, variance).cpu().numpy()

    def squared_residuals(self, p, x):
        """Return the squared residuals (..., n_features) from which a noise is set."""
        return (x - p.mean).square()

    def expected_log_probs(self, residuals, variance):
        """Return the mean log-density of each feature with these mean squared residuals.

        `variance` is the noise per feature in model units.
        """
        if self._is_shared:
            variance = variance.mean(-1, keepdim=True).expand_as(variance)
        variance = variance.clamp(min=MIN_NOISE_VARIANCE)
        if self.has_constant:
            variance = variance.masked_fill(self.constant, _SPIKE_SCALE**2)
        return -0.5 * (residuals / variance + variance.log() + math.log(2 * math.pi))


class TiltedHead(GaussianHead):
    """Raw output is the mean score, and then the log-factors of the bins of each feature."""

    def __init__(self, likelihood, units):
        super().__init__(likelihood, units)
        self.bins = Bins(column_maps(units), likelihood.n_bins)
        # Bins are no function of a squared residual.
        self.has_noise = False

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
        mean, tilts = raw.tensor_split([self.n_features], dim=-1)
        normal = _tied(RowNormal(mean, self._scale().unsqueeze(-2)), self.ties)
        tilts = tilts.unflatten(-1, (self.n_features, -1))
        return RowDistribution(TiltedNormal(normal, self.bins, tilts))

    def draw(self, p, rng):
        """Draw scores."""
        return p.base_dist.draw(rng)

    def means(self, p):
        """Return means in the units of the data: of the values at the mean score of a bin."""
        tilted = p.base_dist
        values = self.score_means.without_noise(tilted.bin_means.movedim(-1, 0))
        return (tilted.probabilities.movedim(-1, 0) * values).sum(0).to(p.base_dist.loc)

    def closed_form_output(self, solution, centre):
        """Set the noise of the closed form; return its loadings and mean, and no factors."""
        weight, mean = super().closed_form_output(solution, centre)
        n_factors = self.n_raw - self.n_features
        return (
            torch.cat([weight, weight.new_zeros(n_factors, weight.shape[1])]),
            torch.cat([mean, mean.new_zeros(n_factors)]),
        )


class HeteroscedasticHead(LikelihoodHead):
    """Raw output is the mean and then the log-scale of each feature, in model units.

    Attributes
    ----------
    ties : Ties or None
    """

    def __init__(self, likelihood, units):
        super().__init__(likelihood, units)
        self.ties = likelihood.ties(units)
        self.score_means = likelihood.score_means(units)

    def means(self, p):
        """Return means in model units, or in those of the data if these have normal scores."""
        if self.score_means is None:
            return p.mean
        return self.score_means.with_scales(p.mean, p.stddev)

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
        mean, log_scale = raw.chunk(2, dim=-1)
        # Same floor as the learned noise; clamped, to avoid overflow far from the data.
        variance = torch.exp(2 * log_scale.clamp(max=10.0)) + MIN_NOISE_VARIANCE
        mean = self.likelihood.decoded_mean(mean)
        normal = Normal(mean, variance.sqrt(), validate_args=False)
        return RowDistribution(_tied(normal, self.ties))

    def closed_form_output(self, solution, centre):
        """Return the loadings, and a constant log-scale."""
        if not self.likelihood.has_closed_form:
            return super().closed_form_output(solution, centre)
        solution = _of_scores(solution, self.ties)
        loadings = torch.as_tensor(solution.loadings, dtype=torch.float32)
        log_scale = torch.as_tensor(solution.noise_variance, dtype=torch.float32).log() / 2
        weight = torch.cat([loadings, torch.zeros_like(loadings)])
        mean = torch.as_tensor(solution.mean, dtype=torch.float32)
        return weight, torch.cat([mean, log_scale])


def _tied(normal, ties):
    return normal if ties is None else TiedNormal(normal, ties)


def _of_scores(solution, ties):
    return solution if ties is None else ties.of_scores(solution)


class RowNormal(Normal):
    """Normal whose scale is the same in all rows, and is not copied into each.

    `scale` can be broadcast to `loc`.
    """

    def __init__(self, loc, scale):
        self._row_scale = scale
        self.loc, self.scale = loc, scale.expand_as(loc)
        # Not that of Normal, which takes longer than a product of a small network.
        Distribution.__init__(self, loc.shape, validate_args=False)

    def log_prob(self, value):
        """Log-density per feature."""
        return normal_log_prob(value, self.loc, self._row_scale)


class SpikedNormal(RowNormal):
    """Normal whose marked features are a mixture of a narrow spike and a wide slab.

    Their density is ``(1 - w) N(x; mean, 1e-6) + w N(x; mean, 1)`` with w = 1e-6.
    """

    def __init__(self, loc, scale, spiked):
        self.spiked = spiked
        super().__init__(loc, torch.where(spiked, _SPIKE_SCALE, scale))

    def draw_slab(self, rng):
        """Draw which values come from the slab."""
        spiked = self.spiked.cpu().numpy()
        return spiked & (rng.random_sample(tuple(self.loc.shape)) < _SLAB_WEIGHT)

    @property
    def variance(self):
        """Variance of each feature."""
        return torch.where(self.spiked, self.scale.square() + _SLAB_WEIGHT, self.scale.square())

    def log_prob(self, value):
        """Log-density per feature."""
        log_prob = super().log_prob(value)
        residual = (value - self.loc)[..., self.spiked]
        # The scale of a constant column is unknown; use 1, as StandardScaler.
        slab = -0.5 * residual.square() - 0.5 * math.log(2 * math.pi) + math.log(_SLAB_WEIGHT)
        mixed = log_prob.clone()
        spike = log_prob[..., self.spiked] + math.log1p(-_SLAB_WEIGHT)
        mixed[..., self.spiked] = torch.logaddexp(spike, slab)
        return mixed
