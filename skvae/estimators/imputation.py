"""Missing values given those that are there: means and draws, by importance sampling.

References
----------
P.-A. Mattei and J. Frellsen (2019), MIWAE: deep generative modelling and imputation of
incomplete data sets, ICML, eqs. (10) to (12).
"""

import torch

from skvae.model.importance_sampling import adapted_draws, effective_number, weighted_draws
from skvae.model.objectives import draws_for_all_rows

# Draws of the encoder's posterior for each row.
N_FIRST = 256
# Draws for rows of which fewer of the first count than `_N_EFFECTIVE`.
N_DRAWS = 512
_N_EFFECTIVE = 20


def conditional_means(model, x):
    """Return rows with E[x_missing | x_observed] in place of missing values.

    The draws are the same for every row. The means are such as `Units.means_to_data` takes.

    Parameters
    ----------
    model : VAE
    x : IncompleteRows
        In model units.
    """

    def mean(draws):
        means = torch.einsum("dn,dnp->np", draws.weights, draws.means)
        return model.decoder.head.collapse(means)

    eps = draws_for_all_rows(model, N_DRAWS)
    # Of mean zero exactly, and so the means of a linear model are exact.
    first = eps[:N_FIRST] - eps[:N_FIRST].mean(0)
    return x.fill(_of_weighted_draws(mean, model, x, first, eps))


def conditional_draws(model, x, rng):
    """Return rows with a draw from p(x_missing | x_observed) in place of missing values.

    One of several draws of the code is chosen by its importance weight.

    Parameters
    ----------
    model, x
        As in :func:`conditional_means`.
    rng : RandomState
    """

    def drawn_row(draws):
        n_draws, n_rows = draws.weights.shape
        steps = draws.weights.cumsum(0)
        uniform = torch.from_numpy(rng.random_sample(n_rows)).to(steps)
        # Below the last step, which rounding may leave under 1.
        chosen = (steps < uniform * steps[-1]).sum(0).clamp(max=n_draws - 1)
        z = draws.z[chosen, torch.arange(n_rows, device=steps.device)]
        drawn = model.decoder.head.draw(model.decoder(z), rng)
        return torch.from_numpy(drawn).to(z)

    shape = (N_DRAWS, len(x.values), model.latent_dim)
    eps = torch.from_numpy(rng.standard_normal(shape)).to(x.values)
    return x.fill(_of_weighted_draws(drawn_row, model, x, eps[:N_FIRST], eps))


def _of_weighted_draws(function, model, x, first, eps):
    """Return a function of weighted draws of the codes of rows."""
    draws = weighted_draws(model, x, first)
    values = function(draws)
    # Most rows need no more.
    few = effective_number(draws.weights) < _N_EFFECTIVE
    if few.any():
        x = x.select(few)
        eps = eps if eps.shape[1] == 1 else eps[:, few]
        values[few] = function(adapted_draws(model, x, eps))
    return values
