"""The rows of a training, with all that is computed from them but is not trained."""

import torch

from skvae.data.rows import MappedRows, RowsOfModels, batches, fits
from skvae.machine import limit_threads


def prepared_rows(rows, module):
    """Return rows as a training takes them, each completed where it has missing values.

    They are computed once, unless they would need too much memory: then batch by batch.

    Parameters
    ----------
    rows : Tensor or StreamedRows of shape (n, n_features)
    module : VAE
        It may be several models, each of which completes rows in its own way.

    Returns
    -------
    Tensor, MappedRows or RowsOfModels of shape (n, module.prepared_width)
        Its items are such as ``module.prepare`` gives; for several models with indices
        (n_some, n), those of the first ones.
    """
    if module.completion is None:
        return rows
    as_read = MappedRows(rows, module.prepare, module.prepared_width)
    models = module.completion.mean.shape[:-1]
    shape = (*models, *as_read.shape)
    if not fits(shape, rows.device):
        return as_read
    kept = torch.empty(shape, dtype=torch.float32, device=rows.device)
    with limit_threads(kept.numel()):
        for part in batches(as_read.shape):
            kept[..., part, :] = as_read[part]
    return RowsOfModels(kept) if models else kept
