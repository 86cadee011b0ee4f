"""Likelihoods on the unit interval."""

import numpy as np
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import ContinuousBernoulli as TorchContinuousBernoulli
from torch.nn.functional import binary_cross_entropy_with_logits

from skvae.data.means import smoothed_mean
from skvae.densities import bernoulli_log_prob
from skvae.likelihoods.base import Likelihood
from skvae.likelihoods.first_order import linear_logits

_REMEDY = "Scale it, for example with MinMaxScaler, or use likelihood='gaussian'."


class Bernoulli(Likelihood):
    """Independent Bernoulli features, for binary data.

    Grey values in [0, 1] are accepted, as in many tutorials: the score is then minus a
    cross-entropy and not a log-density (it does not integrate to one over [0, 1]); use
    :class:`ContinuousBernoulli` if you need one.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> from skvae.likelihoods import Bernoulli
    >>> VAETransformer(likelihood=Bernoulli())
    VAETransformer(likelihood=Bernoulli())
    """

    support = (0.0, 1.0)
    remedy = _REMEDY
    is_density = False

    def distribution(self, raw):
        """Return the distribution whose logits are the raw output."""
        return LogitBernoulli(logits=raw, validate_args=False)

    def start(self, head, rows):
        """Return the logits of the rows' mean."""
        return smoothed_mean(rows).logit().float()

    def linear_output(self, solution, centre):
        """Return logits that are linear in the code."""
        return linear_logits(torch.as_tensor(solution.loadings), centre)

    def draw(self, p, rng):
        """Draw zeros and ones."""
        probability = p.mean.cpu().numpy()
        return (rng.random_sample(probability.shape) < probability).astype(probability.dtype)


class LogitBernoulli(TorchBernoulli):
    """torch's distribution with a log-probability that takes half the time."""

    def log_prob(self, value):
        """Log-probability, for values between 0 and 1 minus a cross-entropy."""
        return bernoulli_log_prob(*torch.broadcast_tensors(value, self.logits))


class ContinuousBernoulli(Likelihood):
    """Independent continuous-Bernoulli features, a density on [0, 1].

    The Bernoulli's cross-entropy with its normalising constant, so that grey values
    have a likelihood (Loaiza-Ganem & Cunningham 2019, eq. 8).

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> VAETransformer(likelihood="continuous_bernoulli")
    VAETransformer(likelihood='continuous_bernoulli')
    """

    support = (0.0, 1.0)
    remedy = _REMEDY

    def distribution(self, raw):
        """Return the distribution whose logits are the raw output."""
        return StableContinuousBernoulli(logits=raw, validate_args=False)

    def start(self, head, rows):
        """Return the logits at which the distribution has the rows' mean."""
        # The mean is a monotone function of the logit without a closed inverse.
        logits = torch.linspace(-100, 100, 20001, dtype=torch.float64)
        means = self.distribution(logits).mean.numpy()
        target = smoothed_mean(rows).numpy()
        raw = np.interp(target, means, logits.numpy())
        # Beyond the grid the distribution is nearly exponential, with mean 1 / |logit|.
        raw = np.where(target < means[0], -1 / target, raw)
        raw = np.where(target > means[-1], 1 / (1 - target), raw)
        return torch.as_tensor(raw, dtype=torch.float32)

    def draw(self, p, rng):
        """Draw by inversion of the distribution function."""
        uniform = torch.as_tensor(rng.random_sample(tuple(p.batch_shape + p.event_shape)))
        return p.base_dist.icdf(uniform.to(p.base_dist.logits)).cpu().numpy()


class StableContinuousBernoulli(TorchContinuousBernoulli):
    """torch's distribution with its mean and constant computed from the logit.

    torch computes them from the probability: in float32 that loses three digits near 1/2
    and saturates beyond a logit of 16. As functions of ``h = logit / 2`` both are
    smooth: ``log C = log 2 + log(h / tanh h)`` and ``mean = 1/2 + (coth h - 1/h) / 2``.
    """

    def _cont_bern_log_norm(self):
        h = 0.5 * self.logits
        small = h.abs() < 0.3
        safe = torch.where(small, torch.ones_like(h), h).abs()
        # log sinh and log cosh without overflow: h / tanh h is h (1 + e) / (1 - e).
        e = torch.exp(-2 * safe)
        exact = safe.log() + torch.log1p(e) - torch.log1p(-e)
        s = torch.where(small, h, torch.zeros_like(h)).square()
        series = s * (1 / 3 + s * (-7 / 90 + s * (62 / 2835 + s * (-127 / 18900))))
        return torch.where(small, series, exact) + np.log(2.0)

    def log_prob(self, value):
        """Log-density: minus the cross-entropy, plus the log-constant."""
        pair = torch.broadcast_tensors(self.logits, value)
        cross_entropy = binary_cross_entropy_with_logits(*pair, reduction="none")
        return self._cont_bern_log_norm() - cross_entropy

    @property
    def mean(self):
        """Mean of each feature."""
        h = 0.5 * self.logits
        small = h.abs() < 0.3
        safe = torch.where(small, torch.ones_like(h), h)
        exact = 1 / torch.tanh(safe) - 1 / safe
        s = torch.where(small, h, torch.zeros_like(h))
        square = s.square()
        series = s * (1 / 3 + square * (-1 / 45 + square * (2 / 945 - square / 4725)))
        return 0.5 + 0.5 * torch.where(small, series, exact)

    def icdf(self, value):
        """Inverse distribution function ``log(1 + u (exp(logit) - 1)) / logit``."""
        logits = self.logits.to(torch.float64)
        # By symmetry only negative logits are evaluated, where exp cannot overflow.
        u = torch.where(logits > 0, 1 - value, value).to(torch.float64)
        negative = -logits.abs()
        safe = torch.where(negative > -1e-6, -torch.ones_like(negative), negative)
        x = torch.where(negative > -1e-6, u, torch.log1p(u * torch.expm1(safe)) / safe)
        return torch.where(logits > 0, 1 - x, x).clamp(0, 1).to(self.logits.dtype)
