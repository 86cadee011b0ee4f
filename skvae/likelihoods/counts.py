"""Likelihoods of counts."""

import numpy as np
import torch
from torch import nn
from torch.distributions import NegativeBinomial as TorchNegativeBinomial
from torch.distributions import Poisson as TorchPoisson

from skvae.data.columns import column_name
from skvae.data.means import feature_moments, smoothed_mean
from skvae.likelihoods.base import Likelihood
from skvae.likelihoods.first_order import linear_log_rates

# Log-rates are clipped to this range, so that float32 does not overflow.
_LOG_RATE_RANGE = (-30.0, 30.0)


class Log1p(nn.Module):
    """Log-transform of counts for the encoder."""

    def forward(self, x):
        """Return ``log(1 + x)``."""
        return torch.log1p(x)


class Counts(Likelihood):
    """Base of the likelihoods of counts."""

    # Up to the largest rate, about exp(30).
    support = (0.0, 1e13)
    remedy = "For other data than counts use likelihood='gaussian'."
    is_density = False
    can_clip = False

    # Small errors of log-rates are large errors of rates: start close to the data's mean.
    start_gain = 0.01

    def input_transform(self):
        """Return the log-transform."""
        return Log1p()

    def start(self, head, rows):
        """Return the log-means of the rows."""
        return smoothed_mean(rows).log().float()

    def linear_output(self, solution, centre):
        """Return log-means that are linear in the code."""
        # The model is one of log(1 + x), whose derivative by log(x) is x / (1 + x).
        mean = centre.double().exp()
        derivative = (mean / (1 + mean))[:, None]
        return linear_log_rates(torch.as_tensor(solution.loadings) / derivative, centre)

    def check_support(self, X, feature_names=None, argument="X"):
        """Return the rows, or raise ValueError for values other than 0, 1, 2, ..."""
        X = super().check_support(X, feature_names, argument)
        invalid = np.zeros(X.shape[1], dtype=bool)
        for block in self._inside(X):
            invalid |= ((np.rint(block) != block) & ~np.isnan(block)).any(axis=0)
        if invalid.any():
            name = column_name(int(np.argmax(invalid)), feature_names)
            raise ValueError(
                f"The {type(self).__name__} likelihood needs whole numbers, but {name} of "
                f"{argument} has others. Pass counts as they are, without scaling, or use "
                "likelihood='gaussian'."
            )
        return X


class Poisson(Counts):
    """Independent Poisson features; the decoder gives the logarithm of the rate.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> VAETransformer(likelihood="poisson")
    VAETransformer(likelihood='poisson')
    """

    def distribution(self, raw):
        """Return the distribution whose log-rates are the raw output."""
        return TorchPoisson(raw.clamp(*_LOG_RATE_RANGE).exp(), validate_args=False)

    def draw(self, p, rng):
        """Draw counts."""
        rate = p.mean.cpu().numpy()
        return rng.poisson(rate).astype(rate.dtype)


class NegativeBinomial(Counts):
    """Independent negative-binomial features, for counts that vary more than Poisson's.

    The decoder gives the logarithm of the mean; the dispersion of each feature is
    learned: the variance is ``mean + mean**2 / dispersion``.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> VAETransformer(likelihood="negative_binomial")
    VAETransformer(likelihood='negative_binomial')
    """

    def parameters(self, units):
        """Return the logarithm of each feature's dispersion."""
        return {"log_dispersion": torch.zeros(len(units.scale), dtype=torch.float32)}

    def distribution(self, raw, log_dispersion):
        """Return the distribution whose log-means are the raw output."""
        log_mean = raw.clamp(*_LOG_RATE_RANGE)
        log_dispersion = log_dispersion.clamp(-10.0, 10.0)
        return _NegativeBinomial(
            log_dispersion.exp().expand_as(raw),
            logits=log_mean - log_dispersion,
            validate_args=False,
        )

    def start(self, head, rows):
        """Return the log-means of the rows; set the dispersions from their variances."""
        mean, variance = feature_moments(rows)
        excess = (variance - mean).clamp(min=1e-3 * (mean.square() + 1e-6))
        head.log_dispersion.copy_((mean.square() / excess).clamp(1e-2, 1e3).log())
        return super().start(head, rows)

    def draw(self, p, rng):
        """Draw counts: a Poisson draw with a gamma-distributed rate."""
        mean = p.mean.cpu().numpy()
        dispersion = p.base_dist.total_count.cpu().numpy()
        return rng.poisson(rng.gamma(dispersion, mean / dispersion)).astype(mean.dtype)


class _NegativeBinomial(TorchNegativeBinomial):
    """torch's distribution with `log_prob`, a difference of large terms, in float64."""

    def log_prob(self, value):
        """Log-probability of counts."""
        p = TorchNegativeBinomial(
            self.total_count.double(), logits=self.logits.double(), validate_args=False
        )
        return p.log_prob(value.double()).to(self.logits.dtype)
