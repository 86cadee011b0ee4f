"""Missing values given those that are there: means and draws, by importance sampling.

References
----------
P.-A. Mattei and J. Frellsen (2019), MIWAE: deep generative modelling and imputation of
incomplete data sets, ICML, eqs. (10) to (12).
"""

from functools import partial

import torch

from skvae.model.importance_sampling import (
    N_ROUNDS,
    adapted_draws,
    effective_number,
    weighted_draws,
)
from skvae.model.objectives import draws_for_all_rows

# Draws of the encoder's posterior for each row.
N_FIRST = 256
# Draws for rows of which fewer of the first count than `_N_EFFECTIVE`.
N_DRAWS = 512
_N_EFFECTIVE = 20


def fill_rows(apply, rows, rng=None):
    """Return rows with their missing values filled in, in model units.

    Parameters
    ----------
    apply : callable
        As `BaseAutoencoder._apply`, of the estimator.
    rows : ndarray or CSR matrix of shape (n, n_features)
        In the units of the data.
    rng : RandomState, default=None
        If given, missing values are draws from p(x_missing | x_observed), and else its means,
        such as `Units.means_to_data` takes.

    Returns
    -------
    ndarray of shape (n, n_features)
    """
    # Blocks are a half and a quarter of what memory allows: they stay in the cache.
    first = apply(partial(_filled_first, rng=rng), rows, n_draws=2 * N_FIRST)
    filled, effective = first[:, :-1], first[:, -1]
    # Most rows need no more. Those that do are few in each block, and so are taken together.
    few = effective < _N_EFFECTIVE
    if few.any():
        n_at_once = N_DRAWS // N_ROUNDS
        filled[few] = apply(partial(_filled_adapted, rng=rng), rows[few], n_draws=4 * n_at_once)
    return filled


def _filled_first(model, x, rng):
    """Return filled rows and, in a last column, how many of the encoder's draws count."""
    eps = _standard_normal(model, x, N_FIRST, rng)
    if rng is None:
        # Of mean zero exactly, and so the means of a linear model are exact.
        eps = eps - eps.mean(0)
    draws = weighted_draws(model, x, eps)
    return torch.cat([_fill(model, x, draws, rng), effective_number(draws.weights)[:, None]], 1)


def _filled_adapted(model, x, rng):
    """Return filled rows, by draws from proposals that adapt to each."""
    draws = adapted_draws(model, x, _standard_normal(model, x, N_DRAWS, rng))
    return _fill(model, x, draws, rng)


def _standard_normal(model, x, n_draws, rng):
    """Return draws (n_draws, n, latent_dim); without `rng` the same for every row, n = 1."""
    if rng is None:
        return draws_for_all_rows(model, n_draws)
    shape = (n_draws, len(x.values), model.latent_dim)
    return torch.from_numpy(rng.standard_normal(shape)).to(x.values)


def _fill(model, x, draws, rng):
    return x.fill(_means(model, draws) if rng is None else _drawn_rows(model, draws, rng))


def _means(model, draws):
    """Return E[x | x_observed] of each row."""
    means = torch.einsum("dn,dnp->np", draws.weights, draws.means)
    return model.decoder.head.collapse(means)


def _drawn_rows(model, draws, rng):
    """Return a draw of each row, by a draw of the code that its importance weight chooses."""
    n_draws, n_rows = draws.weights.shape
    steps = draws.weights.cumsum(0)
    uniform = torch.from_numpy(rng.random_sample(n_rows)).to(steps)
    # Below the last step, which rounding may leave under 1.
    chosen = (steps < uniform * steps[-1]).sum(0).clamp(max=n_draws - 1)
    z = draws.z[chosen, torch.arange(n_rows, device=steps.device)]
    drawn = model.decoder.head.draw(model.decoder(z), rng)
    return torch.from_numpy(drawn).to(z)
