"""Evaluate a module on rows that it is not trained on."""

import numpy as np
import torch

from skvae.data.rows import Subset, batches
from skvae.machine import limit_threads
from skvae.posteriors import marginal_kl

# Draws per held-out row: many for few rows, whose mean would be noisy.
_HELD_OUT_DRAWS = 1000
_MAX_DRAWS = 16
# How far the features' noises may be drawn to their common mean: wholly with so few rows
# that they tell nothing of each, and with more of them in proportion less.
_SHARES = np.linspace(0, 1, 5)
_ROWS_DRAWN_WHOLLY = 15
# Rows that tell whether a training has ended worse than it began.
_SAMPLED_ROWS = 1024
# Rows that tell a mean KL well enough; all of them would cost a fifth of an epoch.
_KL_ROWS = 4096


def fixed_draws(setup, n_rows, latent_dim):
    """Return standard normal draws, (n_draws, n_rows, latent_dim), the same on every call.

    All states of a training are compared on them.
    """
    n_samples = setup.objective.n_samples
    n_groups = int(np.clip(_HELD_OUT_DRAWS // (n_rows * n_samples), 1, _MAX_DRAWS))
    shape = (n_groups * n_samples, n_rows, latent_dim)
    generator = setup.streams.generator("held-out draws")
    eps = torch.randn(shape, generator=generator, dtype=torch.float32)
    return eps.to(setup.rows.device)


@torch.no_grad()
def mean_terms(objective, module, rows, eps):
    """Return the mean terms of the objective on rows, a list of floats."""
    module.eval()
    parts = []
    with limit_threads(rows.numel()):
        for part in batches(rows):
            parts.append(objective.row_terms(module, rows[part], eps[:, part]))
    return torch.cat(parts, dim=-1).mean(-1).tolist()


def ended_worse(setup, first, last):
    """Whether a trained module is far worse than its start on evenly spaced rows.

    A loss may fall from epoch to epoch and never come back to where it began. Losses of up
    to 10 nats, or one per feature, do not count: a short training ends so, too.
    """
    rows = _evenly_spaced(setup.rows, _SAMPLED_ROWS)
    eps = fixed_draws(setup, len(rows), first.latent_dim)
    before, after = (mean_terms(setup.objective, one, rows, eps)[0] for one in (first, last))
    return after - before > max(10, rows.shape[1])


def squared_residuals(module, rows, eps):
    """Return the squared residuals that a noise is estimated from, (..., n, n_features)."""
    z = module.encoder.head.reparameterize(module.encode(rows), eps)
    return module.decoder.head.squared_residuals(module.decoder(z), rows).mean(0)


def held_out_noise(head, residuals, sizes):
    """Return the noise that held-out rows show, drawn together where that helps.

    With few rows one noise per feature is a rough estimate, and one for all may serve
    better. How far they are drawn together is judged on each fold under the residuals of
    the others.

    Parameters
    ----------
    head : LikelihoodHead
    residuals : Tensor of shape (n_folds, n_features)
        Sums of the squared residuals of each fold, in model units.
    sizes : Tensor of shape (n_folds,)
        Numbers of the rows.

    Returns
    -------
    Tensor of shape (n_features,)
    """
    others = (residuals.sum(0) - residuals) / (sizes.sum() - sizes)[:, None]
    means = residuals / sizes[:, None]

    def score(share):
        return float((sizes * head.expected_log_prob(means, head.shrink(others, share))).sum())

    shares = _SHARES * min(1.0, _ROWS_DRAWN_WHOLLY / float(sizes.sum()))
    return head.shrink(residuals.sum(0) / sizes.sum(), max(shares, key=score))


@torch.inference_mode()
def mean_latent_kl(module, rows):
    """Return the mean KL divergence of each latent dimension from the prior, an array.

    Over the rows, or evenly spaced ones of many.
    """
    rows = _evenly_spaced(rows, _KL_ROWS)
    parts = [marginal_kl(module.encoder(rows[part])) for part in batches(rows)]
    return torch.cat(parts).mean(0, dtype=torch.float64).cpu().numpy()


def _evenly_spaced(rows, n_most):
    return Subset(rows, torch.arange(0, len(rows), -(-len(rows) // n_most)))
