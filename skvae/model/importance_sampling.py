"""Draws of the code given a row, by importance sampling.

References
----------
J.-M. Cornuet, J.-M. Marin, A. Mira and C. P. Robert (2012), Adaptive multiple importance
sampling, Scand. J. Stat. 39(4).
E. Koblents and J. Miguez (2015), A population Monte Carlo scheme with transformed weights and
its application to stochastic kinetic models, Stat. Comput. 25(2).
E. L. Ionides (2008), Truncated importance sampling, J. Comput. Graph. Stat. 17(2).
"""

import math
from typing import NamedTuple

import torch

from skvae.model.objectives import importance_weights
from skvae.posteriors import standard_normal_log_prob

# Each has a proposal of its own.
N_ROUNDS = 8
# Draws of the largest weights, which count the same in the next proposal: fewer of them would
# make it too narrow.
_N_CLIPPED = 10


class WeightedDraws(NamedTuple):
    """Draws of the code for each row.

    Attributes
    ----------
    z : Tensor of shape (n_draws, n, latent_dim)
    weights : Tensor of shape (n_draws, n)
        They sum to 1 over the draws.
    head : LikelihoodHead
    distributions : list of Distribution
        p(x|z), of some draws after the other.
    """

    z: torch.Tensor
    weights: torch.Tensor
    head: torch.nn.Module
    distributions: list

    @property
    def means(self):
        """Means of p(x|z) as the head returns them, (n_draws, n, n_means)."""
        return torch.cat([self.head.means(p) for p in self.distributions])


def weighted_draws(model, x, eps):
    """Return draws from the encoder's posterior, weighted to stand for p(z|x).

    Parameters
    ----------
    model : VAE
    x : IncompleteRows
        Rows in model units.
    eps : Tensor of shape (n_draws, 1 or n, latent_dim)
        Standard normal draws.
    """
    z, p, log_weights = importance_weights(model, x, model.encode(x), eps)
    return WeightedDraws(z, _normalized(log_weights), model.decoder.head, [p])


def effective_number(weights):
    """Return the number of equally weighted draws with the same variance, (n,)."""
    return 1 / weights.square().sum(0)


def adapted_draws(model, x, eps):
    """Return weighted draws from proposals that approach p(z|x) of each row.

    The first proposal is the encoder's posterior. Where it is far from p(z|x), as for gaps of
    another kind than those in training, one of its draws has nearly all of the weight. Each
    further proposal is a normal distribution around the draws that have the most weight.

    Parameters
    ----------
    model, x, eps
        As in :func:`weighted_draws`; the number of draws is a multiple of 8, and at least 80.
    """
    # Codes are in units in which the encoder's posterior is standard normal. Their axes are
    # (n, latent_dim, n_draws).
    mean = torch.zeros(len(x.values), model.latent_dim, 1).to(eps)
    factor = torch.eye(model.latent_dim).to(eps).expand(len(mean), -1, -1)
    proposals = [_Normal(mean, factor)]
    codes, z, distributions, log_target = [], [], [], []
    log_mixture = eps.new_zeros(0, len(mean))
    posterior = model.encode(x)
    for part in eps.chunk(N_ROUNDS):
        if codes:
            before = torch.cat(codes, -1)
            log_weights = torch.cat(log_target) - log_mixture
            proposals.append(_fitted_normal(before, log_weights))
            log_mixture = log_mixture.logaddexp(proposals[-1].log_prob(before))
        new = proposals[-1].draws(part.permute(1, 2, 0))
        as_eps = new.permute(2, 0, 1)
        drawn, p, log_ratio = importance_weights(model, x, posterior, as_eps)
        of_new = torch.stack([proposal.log_prob(new) for proposal in proposals])
        log_mixture = torch.cat([log_mixture, of_new.logsumexp(0)])
        codes.append(new)
        z.append(drawn)
        distributions.append(p)
        log_target.append(log_ratio + standard_normal_log_prob(as_eps))
    weights = _normalized(torch.cat(log_target) - log_mixture)
    return WeightedDraws(torch.cat(z), weights, model.decoder.head, distributions)


class _Normal:
    """A normal distribution for each row."""

    def __init__(self, mean, factor):
        self.mean, self.factor = mean, factor
        identity = torch.eye(len(factor[0])).to(factor)
        self.inverse = torch.linalg.solve_triangular(factor, identity, upper=False)

    def draws(self, eps):
        """Map standard normal draws (1 or n, k, n_draws) to those of the distribution."""
        return self.mean + self.factor @ eps

    def log_prob(self, codes):
        """Return the log-density at codes (n, k, n_draws), as (n_draws, n)."""
        eps = self.inverse @ (codes - self.mean)
        log_volume = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return standard_normal_log_prob(eps.permute(2, 0, 1)) - log_volume


def _fitted_normal(codes, log_weights):
    """Return a normal distribution around the draws of the largest weights.

    Its covariance is that of these draws and of as many draws of the encoder's posterior as
    there are dimensions.
    """
    threshold = log_weights.topk(_N_CLIPPED, 0).values[-1]
    weights = log_weights.minimum(threshold).softmax(0).mT.unsqueeze(-2)
    mean = (codes * weights).sum(-1, keepdim=True)
    centred = codes - mean
    k = len(codes[0])
    total = _N_CLIPPED * (centred * weights) @ centred.mT + k * torch.eye(k).to(codes)
    return _Normal(mean, torch.linalg.cholesky(total / (_N_CLIPPED + k)))


def _normalized(log_weights):
    """Return weights that sum to 1, of which none is above the root of their mean's inverse.

    A single draw with a large weight, far from the others, would else be the result.
    """
    log_mean = log_weights.logsumexp(0) - math.log(len(log_weights))
    largest = log_mean + 0.5 * math.log(len(log_weights))
    return log_weights.minimum(largest).softmax(0)
