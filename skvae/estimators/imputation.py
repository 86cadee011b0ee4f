"""Missing values given those that are there: means and draws, by importance sampling.

References
----------
P.-A. Mattei and J. Frellsen (2019), MIWAE: deep generative modelling and imputation of
incomplete data sets, ICML, eqs. (10) to (12).
E. L. Ionides (2008), Truncated importance sampling, J. Comput. Graph. Stat. 17(2).
"""

import math

import torch

from skvae.model.objectives import draws_for_all_rows, importance_weights

# Draws per row. With fewer, the few rows that the encoder fits badly get poor means.
N_DRAWS = 512


def conditional_means(model, x):
    """Return rows with E[x_missing | x_observed] in place of missing values.

    The draws are the same for every row. The means are such as `Units.means_to_data` takes.

    Parameters
    ----------
    model : VAE
    x : IncompleteRows
        In model units.
    """
    eps = draws_for_all_rows(model, N_DRAWS)
    _, p, log_weights = importance_weights(model, x, eps)
    weights = _truncated(log_weights).softmax(0)
    head = model.decoder.head
    means = torch.einsum("dn,dnp->np", weights, head.means(p))
    return x.fill(head.collapse(means))


def conditional_draws(model, x, rng):
    """Return rows with a draw from p(x_missing | x_observed) in place of missing values.

    One of several draws of the code is chosen by its importance weight.

    Parameters
    ----------
    model, x
        As in :func:`conditional_means`.
    rng : RandomState
    """
    n_rows = len(x.values)
    eps = torch.from_numpy(rng.standard_normal((N_DRAWS, n_rows, model.latent_dim)))
    z, _, log_weights = importance_weights(model, x, eps.to(x.values))
    steps = _truncated(log_weights).softmax(0).cumsum(0)
    uniform = torch.from_numpy(rng.random_sample(n_rows)).to(steps)
    # Below the last step, which rounding may leave under 1.
    chosen = (steps < uniform * steps[-1]).sum(0).clamp(max=N_DRAWS - 1)
    z = z[chosen, torch.arange(n_rows, device=z.device)]
    drawn = model.decoder.head.draw(model.decoder(z), rng)
    return x.fill(torch.from_numpy(drawn).to(x.values))


def _truncated(log_weights):
    """Return log-weights of which none is above the mean times the root of their number.

    A single draw with a large weight, far from the others, would else be the result.
    """
    log_mean = log_weights.logsumexp(0) - math.log(len(log_weights))
    return log_weights.minimum(log_mean + 0.5 * math.log(len(log_weights)))
