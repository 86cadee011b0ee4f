"""The objectives of training: bounds on log p(x).

A bound is a pure function ``(model, x, eps, n_samples=1, beta=1.0) -> Bound``. `eps` holds
standard normal draws of shape (n_draws, ..., n, latent_dim), or with 1 in place of `n` for the
same draws in every row; `n_draws` is a multiple of `n_samples`. `beta` weights the KL
divergence in the bound's value, not in its parts. An axis between the draws and the rows is
that of several models trained together.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import qmc
from torch.distributions import kl_divergence

from skvae.posteriors import standard_normal_log_prob
from skvae.randomness import SeededDraws


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
        # Fewer operations make small steps faster: no axis for a single draw.
        z = model.encoder.head.reparameterize(q, eps[0])
        reconstruction = model.decoder(z).log_prob(x)
    else:
        z = model.encoder.head.reparameterize(q, eps)
        reconstruction = model.decoder(z).log_prob(x).mean(0)
    kl = kl_divergence(q, model.prior(q))
    return Bound(torch.sub(reconstruction, kl, alpha=beta), reconstruction, kl)


def monte_carlo(model, x, eps, n_samples=1, beta=1.0):
    """Evidence lower bound with a Monte-Carlo KL (Kingma & Welling 2014, eq. 6)."""
    reconstruction, kl = _draw_terms(model, x, eps)
    reconstruction, kl = reconstruction.mean(0), kl.mean(0)
    return Bound(reconstruction - beta * kl, reconstruction, kl)


def iwae(model, x, eps, n_samples=1, beta=1.0):
    """Importance-weighted bound on log p(x) (Burda et al. 2016, eq. 8).

    The mean over groups of `n_samples` draws. Its `kl` is ``(reconstruction - value) / beta``:
    the KL divergence with one sample per group, less with more.
    """
    reconstruction, kl = _draw_terms(model, x, eps)
    log_weight = reconstruction - beta * kl
    groups = log_weight.unflatten(0, (-1, n_samples))
    value = (groups.logsumexp(1) - math.log(n_samples)).mean(0)
    reconstruction = reconstruction.mean(0)
    return Bound(value, reconstruction, (reconstruction - value) / (beta or 1.0))


def reconstruction(model, x, eps, n_samples=1, beta=1.0):
    """Log-likelihood of rows given their codes; there is no posterior and no KL."""
    log_prob = model.decoder(model.encode(x).mean).log_prob(x)
    return Bound(log_prob, log_prob, torch.zeros_like(log_prob))


def importance_weights(model, x, q, eps):
    """Return draws of z from q = q(z|x), the p(x|z) for them, and their log-weights.

    The log-weights ``log p(x, z) - log q(z|x)`` are (n_draws, ..., n).
    """
    z, p, reconstruction, kl = _draw(model, x, q, eps)
    return z, p, reconstruction - kl


def _draw_terms(model, x, eps):
    """Return log p(x|z) and log q(z|x) - log p(z) for each draw, both (n_draws, ..., n)."""
    return _draw(model, x, model.encode(x), eps)[2:]


def _draw(model, x, q, eps):
    """Return draws of z from q(z|x), p(x|z), and the terms of `_draw_terms`."""
    head = model.encoder.head
    z = head.reparameterize(q, eps)
    kl = head.log_prob(q, eps) - standard_normal_log_prob(z)
    p = model.decoder(z)
    return z, p, p.log_prob(x), kl


OBJECTIVES = {"elbo": elbo, "monte_carlo": monte_carlo, "iwae": iwae}


@dataclass(frozen=True)
class Objective:
    """A bound and its settings in training.

    Parameters
    ----------
    bound : callable
        One of the functions above.
    n_samples : int, default=1
        Monte-Carlo draws per row and step; for `iwae` the importance samples.
    beta : float, default=1.0
        Weight of the KL term.
    kl_warmup : int, default=0
        Number of epochs over which that weight rises from 0.
    epochs_before : int, default=0
        Epochs done before this training, which count for the warm-up.
    """

    bound: Callable
    n_samples: int = 1
    beta: float = 1.0
    kl_warmup: int = 0
    epochs_before: int = 0

    @property
    def warmup_left(self):
        """Number of epochs of this training in which the weight is below `beta`."""
        return max(0, self.kl_warmup - self.epochs_before)

    @property
    def is_expectation(self):
        """Whether the bound is the reconstruction minus `beta` times a KL without the noise.

        For more than one importance sample it is not.
        """
        return self.bound is not iwae or self.n_samples == 1

    def row_terms(self, module, x, eps):
        """Return loss, reconstruction and KL of each row, (3, ..., n).

        Rows are such as `module.prepare` gives, here and below.
        """
        x = module.from_prepared(x)
        value, reconstruction, kl = self.bound(module, x, eps, self.n_samples, self.beta)
        return torch.stack([-value, reconstruction, kl])

    def draw(self, module, x, generator):
        """Return standard normal draws for a batch of rows."""
        shape = (self.n_samples, *x.shape[:-1], module.latent_dim)
        return torch.randn(shape, generator=generator, device=x.device, dtype=torch.float32)

    def batch_terms(self, module, x, eps, epoch):
        """Return the means of the three `row_terms` over a batch.

        Only the loss has a gradient. During the warm-up the weight of the KL term depends on
        the epoch, which counts from 0 in each training.
        """
        done = self.epochs_before + epoch
        beta = self.beta * (done / self.kl_warmup if done < self.kl_warmup else 1.0)
        bound = self.bound(module, module.from_prepared(x), eps, self.n_samples, beta)
        # Not stacked: the loss would pass its gradient through all three.
        return -bound.value.mean(-1), *(part.detach().mean(-1) for part in bound[1:])


class BatchLoss:
    """The terms of batches with new draws for each, as a training takes them.

    Parameters
    ----------
    objective : Objective
    module : Module
    generator : torch.Generator

    Attributes
    ----------
    can_record : bool
        Whether the terms are functions of rows, draws and parameters alone, and on a GPU
        are computed without waiting for it. Classes of the user's own, such as a likelihood,
        may do anything else.
    """

    def __init__(self, objective, module, generator):
        self.objective, self.module, self.generator = objective, module, generator
        on_gpu = generator.device.type == "cuda"
        # What is captured on a GPU is not compared, and rows with gaps are not tried there.
        can_capture = _draws_nothing(module) and module.completion is None
        is_function = can_capture if on_gpu else module.can_batch
        self.can_record = is_function and not _has_own(module)

    def __call__(self, x, epoch):
        """Return the terms of a batch, with new draws."""
        return self.means(x, self.draw(x), epoch)

    def draw(self, x):
        """Return new draws for a batch."""
        return self.objective.draw(self.module, x, self.generator)

    def means(self, x, eps, epoch=None):
        """Return the terms of a batch in an epoch, by default after the warm-up."""
        epoch = self.objective.kl_warmup if epoch is None else epoch
        return self.objective.batch_terms(self.module, x, eps, epoch)

    def warms_up(self, epoch):
        """Whether the terms depend on the epoch."""
        return epoch < self.objective.warmup_left


def _draws_nothing(module):
    """Whether a module draws no random numbers; statistics of batches are tensors."""
    return not any(isinstance(part, SeededDraws) for part in module.modules())


def _has_own(module):
    """Whether a part of a module, or a likelihood in it, is of the user's, or has hooks."""
    parts = list(module.modules())
    if any(part._forward_hooks or part._forward_pre_hooks for part in parts):
        return True
    parts += [part.likelihood for part in parts if hasattr(part, "likelihood")]
    packages = {type(part).__module__.partition(".")[0] for part in parts}
    return not packages <= {"skvae", "torch"}


@lru_cache(maxsize=8)
def quasi_random_normal(n_draws, latent_dim):
    """Return scrambled Sobol points mapped to normal draws, the same on every call."""
    # Sobol sequences are balanced at powers of two; scipy warns about other numbers.
    engine = qmc.MultivariateNormalQMC(np.zeros(latent_dim), rng=np.random.default_rng(0))
    draws = engine.random(1 << (n_draws - 1).bit_length())[:n_draws]
    return torch.from_numpy(draws)


def draws_for_all_rows(model, n_draws):
    """Return the same quasi-random draws for every row, (n_draws, 1, latent_dim).

    They are in the dtype and on the device of the module.
    """
    eps = quasi_random_normal(n_draws, model.latent_dim)
    return eps.to(next(model.parameters()))[:, None]
