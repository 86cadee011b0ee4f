"""Evaluate a module on held-out rows or on a sample of the training rows."""

import numpy as np
import torch

from skvae.data.rows import Subset, batches, evenly_spaced
from skvae.group import ALONE
from skvae.machine import limit_threads
from skvae.model.prepared_rows import prepared_rows
from skvae.posteriors import marginal_kl

# Draws on all held-out rows, and the most per row: the mean of few rows would be noisy.
_HELD_OUT_DRAWS = 1000
_MAX_DRAWS = 16
# Candidate shrinkages of the noise variances to their mean: full with few rows, and inversely
# proportional to the number of rows with more.
_SHRINKAGES = torch.linspace(0, 1, 5)
_FULL_SHRINKAGE_ROWS = 15
# A fold's mean squared residual counts at most so many times the median of the folds or the
# noise of the start: a single row may be so far from all others that it would be the noise.
_MOST_OF_FOLD = 10
# Number of rows on which start and end are compared; more would take time.
_SAMPLED_ROWS = 256
# Number of rows for the mean KL; all would take a sixth of an epoch.
_KL_ROWS = 1024


def fixed_draws(setup, n_rows, latent_dim, n_folds=1):
    """Return standard normal draws, (n_draws, n_rows, latent_dim), the same on every call.

    All states of a training are compared under the same draws. Several folds of `n_rows`
    each, whose mean is taken, need fewer.
    """
    n_samples = setup.objective.n_samples
    _, n_all = setup.group.place(n_rows)
    n_groups = int(np.clip(_HELD_OUT_DRAWS // (n_folds * n_all * n_samples), 1, _MAX_DRAWS))
    shape = (n_groups * n_samples, n_rows, latent_dim)
    generator = setup.streams.generator("held-out draws")
    eps = torch.randn(shape, generator=generator, dtype=torch.float32)
    return eps.to(setup.rows.device)


@torch.no_grad()
def mean_terms(setup, module, rows, eps):
    """Return the mean terms of the objective on rows, a list of floats.

    In a group the mean is over the rows of all ranks, of which one may have none. Rows are such
    as :func:`~skvae.model.prepared_rows.prepared_rows` gives.
    """
    module.eval()
    objective, parts = setup.objective, [torch.zeros(3, 0, device=rows.device)]
    head = module.decoder.head
    # Not all that rows with gaps are prepared with: it is read only once.
    with limit_threads(len(rows) * head.n_features):
        # Inputs can be wider than rows, as with indicators of categories.
        for part in batches((len(rows), head.n_inputs)):
            parts.append(objective.row_terms(module, rows[part], eps[:, part]))
    return setup.group.mean(torch.cat(parts, dim=-1)).tolist()


def sampled_loss(setup, module):
    """Return a module's mean loss on evenly spaced training rows."""
    rows = prepared_rows(_evenly_spaced(setup.rows, _SAMPLED_ROWS, setup.group), module)
    eps = fixed_draws(setup, len(rows), module.latent_dim)
    return mean_terms(setup, module, rows, eps)[0]


def ended_worse(setup, start_loss, module):
    """Whether a trained module's `sampled_loss` is far above that of its start.

    The loss may fall from epoch to epoch and still end above that of the start. An increase
    of up to 10 nats, or one per feature, is ignored: a short training can cause it.
    """
    return sampled_loss(setup, module) - start_loss > max(10, setup.rows.shape[1])


def row_terms(objective, module, rows, eps):
    """Return the terms of the objective on each row, (..., n, 3)."""
    return objective.row_terms(module, rows, eps).movedim(0, -1)


def terms_and_residuals(objective, module, rows, eps):
    """Return terms, squared residuals and other log-densities of rows, side by side.

    They are (..., n, 3 + n_noises + n_others). A noise is estimated from the residuals, which
    are means over the draws, and 0 for missing values. The log-densities are those of the
    parts of a row that have no such noise.
    """
    decoded = []
    # The objective decodes the rows once; for the residuals they need not be again.
    hook = module.decoder.register_forward_hook(lambda *call: decoded.append(call[-1]))
    try:
        terms = row_terms(objective, module, rows, eps)
    finally:
        hook.remove()
    head = module.decoder.head
    values = rows[..., : head.n_features]
    # The objective may leave out the axis of a single draw.
    squared, others = (
        each.mean(0) if each.ndim > rows.ndim else each
        for each in (
            head.squared_residuals(decoded[0], values),
            head.other_log_probs(decoded[0], values),
        )
    )
    if module.completion is not None:
        squared = squared.masked_fill(values[..., head.noise_columns].isnan(), 0.0)
    return torch.cat([terms, squared, others], dim=-1)


def value_counts(head, rows, counted):
    """Return how many values each feature with a noise has, (..., n_noises).

    Parameters
    ----------
    head : LikelihoodHead
    rows : Tensor of shape (..., n, n_features)
    counted : Tensor of shape (..., n)
        1 for rows that count, 0 for others.
    """
    there = ~rows[..., head.noise_columns].isnan()
    return (there * counted[..., None]).double().sum(-2)


def held_out_noise(head, residuals, sizes, counts):
    """Return the noise estimated from held-out rows, shrunk towards a common value.

    With few rows one noise per feature is a rough estimate, and a common one may be better.
    The shrinkage is evaluated on each fold with the residuals of the others.

    Parameters
    ----------
    head : LikelihoodHead
    residuals : Tensor of shape (..., n_folds, n_noises)
        Sums of the squared residuals of each fold, in model units.
    sizes : Tensor of shape (n_folds,)
        Number of rows of each fold.
    counts : Tensor of shape (n_folds, n_noises) or (n_folds, 1)
        Number of values of each feature.

    Returns
    -------
    Tensor of shape (..., n_noises)
    """
    pooled, n_values = residuals.sum(-2, keepdim=True), counts.sum(0)
    others = _mean_or_one(pooled - residuals, n_values - counts)
    shrinkages = _SHRINKAGES.to(sizes) * (_FULL_SHRINKAGE_ROWS / n_values.mean()).clamp(max=1)
    noises = head.shrink(others, shrinkages.view(-1, *[1] * residuals.ndim))
    each = head.expected_log_probs(_mean_or_one(residuals, counts), noises)
    densities = (each * (counts / sizes[:, None])).sum(-1)
    best = shrinkages[(sizes * densities).sum(-1).argmax(0)]
    return head.shrink(_mean_or_one(pooled.squeeze(-2), n_values), best.unsqueeze(-1))


def bounded_residuals(residuals, counts, start_noise):
    """Return sums of squared residuals of which none is far above those of the other folds.

    Parameters
    ----------
    residuals, counts
        As in `held_out_noise`.
    start_noise : Tensor of shape (n_noises,)
        The noise of the start, which is estimated from all rows.
    """
    middle = _mean_or_one(residuals, counts).median(-2, keepdim=True).values
    return residuals.minimum(_MOST_OF_FOLD * counts * middle.maximum(start_noise))


def _mean_or_one(sums, counts):
    """Return means, or 1, the variance in model units, of features without values."""
    return torch.where(counts > 0, sums / counts.clamp(min=1), 1.0)


@torch.inference_mode()
def mean_latent_kl(module, rows, group=ALONE):
    """Return the mean KL divergence of each latent dimension from the prior, an array.

    Many rows are sampled, evenly spaced; in a group from those of all ranks.
    """
    rows = _evenly_spaced(rows, _KL_ROWS, group)
    parts = [
        marginal_kl(module.posterior(module.complete(rows[part])))
        for part in batches(rows.shape)
    ]
    none = torch.zeros(0, module.latent_dim, device=rows.device)
    kl = torch.cat([none, *parts])
    return group.mean(kl.double().mT).cpu().numpy()


def _evenly_spaced(rows, n_max, group):
    sample = evenly_spaced(len(rows), n_max, group)
    return Subset(rows, torch.arange(len(rows))[sample])
