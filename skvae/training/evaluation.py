"""Evaluate a module on rows that it is not trained on."""

import numpy as np
import torch

from skvae.data.rows import Subset, batches
from skvae.machine import limit_threads
from skvae.posteriors import marginal_kl

# Draws per held-out row: many for few rows, whose mean would be noisy.
_HELD_OUT_DRAWS = 1000
_MAX_DRAWS = 16
# Rows that tell whether a training has ended worse than it began.
_SAMPLED_ROWS = 1024
# Rows that tell a mean KL well enough; all of them would cost a fifth of an epoch.
_KL_ROWS = 4096


def fixed_draws(objective, n_rows, latent_dim, generator, device):
    """Return standard normal draws for all epochs, (n_draws, n_rows, latent_dim).

    So that epochs are compared on the same draws.
    """
    n_groups = int(np.clip(_HELD_OUT_DRAWS // (n_rows * objective.n_samples), 1, _MAX_DRAWS))
    shape = (n_groups * objective.n_samples, n_rows, latent_dim)
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(device)


@torch.no_grad()
def mean_terms(objective, module, rows, eps):
    """Return the mean terms of the objective on rows, a list of floats."""
    module.eval()
    parts = []
    with limit_threads(rows.numel()):
        for part in batches(rows):
            parts.append(objective.row_terms(module, rows[part], eps[:, part]))
    return torch.cat(parts, dim=-1).mean(-1).tolist()


def ended_worse(objective, start, module, rows, generator):
    """Whether a trained module is far worse than its start on evenly spaced rows.

    A loss may fall from epoch to epoch and never come back to where it began. By less than
    10 nats and one per feature a short training does that too.
    """
    rows = _evenly_spaced(rows, _SAMPLED_ROWS)
    eps = fixed_draws(objective, len(rows), module.latent_dim, generator, rows.device)
    before, after = (mean_terms(objective, one, rows, eps)[0] for one in (start, module))
    return after - before > max(10, rows.shape[1])


def squared_residuals(module, rows, eps):
    """Return the squared residuals that a noise is estimated from, (..., n, n_features)."""
    z = module.encoder.head.reparameterize(module.encode(rows), eps)
    return module.decoder.head.squared_residuals(module.decoder(z), rows).mean(0)


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
