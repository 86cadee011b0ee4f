"""How rows that were not trained on judge a module."""

import numpy as np
import torch

from skvae.data.rows import Subset, batches
from skvae.machine import few_threads

# Draws per held-out row: many for few rows, whose mean would be noisy.
_HELD_OUT_DRAWS = 1000
_MAX_DRAWS = 16
# Rows that tell whether a training has worsened.
_SAMPLED_ROWS = 1024


def held_out_draws(recipe, n_rows, latent_dim):
    """Return fixed standard normal draws, so that epochs are compared on the same."""
    n_groups = int(np.clip(_HELD_OUT_DRAWS // (n_rows * recipe.n_samples), 1, _MAX_DRAWS))
    shape = (n_groups * recipe.n_samples, n_rows, latent_dim)
    eps = torch.randn(shape, generator=recipe.generator(1), dtype=torch.float32)
    return eps.to(recipe.rows.device)


@torch.no_grad()
def held_out_terms(recipe, module, rows, eps):
    """Return the terms of the objective for each held-out row, (n, 3)."""
    module.eval()
    parts = []
    with few_threads(rows.numel()):
        for part in batches(rows):
            value, reconstruction, kl = recipe.objective(
                module, rows[part], eps[:, part], recipe.n_samples, recipe.beta
            )
            parts.append(torch.stack([-value, reconstruction, kl], dim=1))
    return torch.cat(parts)


def mean_terms(recipe, module, rows, eps):
    """Return the mean terms of the objective on held-out rows, a list of floats."""
    return held_out_terms(recipe, module, rows, eps).mean(0).tolist()


def has_worsened(recipe, start, module):
    """Whether a trained module is far worse than its start on evenly spaced rows.

    A loss may fall from epoch to epoch and never come back to where it began. By less than
    10 nats and one per feature a short training does that too.
    """
    step = -(-len(recipe.rows) // _SAMPLED_ROWS)
    rows = Subset(recipe.rows, torch.arange(0, len(recipe.rows), step))
    eps = held_out_draws(recipe, len(rows), module.latent_dim)
    before, after = (mean_terms(recipe, one, rows, eps)[0] for one in (start, module))
    return after - before > max(10, rows.shape[1])


def squared_residuals(module, rows, eps):
    """Return the squared residuals that a noise is set from, (n, n_features)."""
    with few_threads(rows.numel()):
        z = module.encoder.head.reparameterize(module.encode(rows), eps)
        return module.decoder.head.squared_residuals(module.decoder(z), rows).mean(0)
