"""The training loop, for any module, rows and loss."""

from contextlib import contextmanager, nullcontext

import torch
from torch.nn.functional import embedding

from skvae.data.rows import indexed_from
from skvae.group import ALONE
from skvae.machine import (
    cuda_float32,
    explain_out_of_memory,
    is_forked,
    limit_threads,
    one_thread,
)
from skvae.training.epoch_steps import GroupSteps, OwnSteps
from skvae.training.gradients import Gradients
from skvae.training.steps import Steps, make_optimizer


@contextmanager
def training_mode(precision):
    """Enable gradients, whatever mode the caller is in; use one thread after a fork."""
    threads = one_thread() if is_forked() else nullcontext()
    products = cuda_float32(precision == "tf32") if torch.cuda.is_available() else nullcontext()
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        threads,
        products,
        explain_out_of_memory(),
    ):
        yield


def train_epochs(
    module,
    loss_terms,
    rows,
    plan,
    generator,
    *,
    indices=None,
    optimizer=None,
    row_width=0,
    on_step=None,
    group=ALONE,
):
    """Train a module in place; iterate over the epochs.

    Parameters
    ----------
    module : Module
        Its `n_batch_axes` is the number of leading axes of the parameters: 0, or 1 for
        several models trained together.
    loss_terms : callable
        Maps a batch of rows and the number of the epoch to a sequence of means over the
        batch, each a scalar or, for several models, (n_models,). The first is minimised, the
        others are reported.
    rows : Tensor or StreamedRows of shape (n, n_features)
        As :func:`~skvae.model.prepared_rows.prepared_rows` gives them. Their batches are on the
        module's device.
    plan : Plan
    generator : torch.Generator
        Draws the order of the rows; on the CPU.
    indices : Tensor of shape (n,) or (n_models, n), default=None
        The rows to train on, by default all; for several models those of each. Or an object
        with the shape of such a tensor, whose method ``shuffled(generator)`` returns that of
        one epoch.
    optimizer : Optimizer, default=None
        Optimiser of a training that continues; by default a new one.
    row_width : int, default=0
        Elements per row of the module's widest layer.
    on_step : callable, default=None
        Called after each step with the number of steps done and the number of steps in the
        epoch. If it returns true the epoch ends; in a group one step later.
    group : Group, default=ALONE
        The other ranks that train the module, each on its own rows.

    Yields
    ------
    list of float
        The epoch's mean terms, for several models a list of each. They are NaN if a loss, a
        gradient or a parameter is not finite. To end the training early, stop iterating.
    """
    optimizer = make_optimizer(module, plan) if optimizer is None else optimizer
    indices = torch.arange(len(rows)) if indices is None else indices
    parameters = list(module.parameters())
    epoch_steps = _steps_of_epoch(group, indices.shape[-1], plan.batch_size, parameters)
    n_elements = epoch_steps.largest * max(row_width, rows.shape[1])
    n_products = epoch_steps.largest * sum(p.numel() for p in parameters)
    steps = Steps(optimizer, plan, plan.epochs * epoch_steps.n_steps)
    gradients = Gradients(loss_terms, parameters)
    for epoch in range(plan.epochs):
        if not module.training:
            module.train()
        totals = 0
        with limit_threads(n_elements, n_products):
            order = _shuffled(indices, generator)
            batches = epoch_steps.batches(order.to(indexed_from(rows)))
            for done, batch in enumerate(batches, start=1):
                n_own = batch.shape[-1]
                # A rank of a group with fewer rows than steps has none in some of them.
                if n_own > 0:
                    terms = gradients(_take(rows, batch), epoch)
                    totals = totals + terms * (n_own / epoch_steps.n_rows)
                else:
                    gradients.clear()
                epoch_steps.join_gradients(done, n_own)
                steps.step()
                if epoch_steps.ends(on_step is not None and on_step(done, len(batches))):
                    totals *= epoch_steps.n_rows / epoch_steps.rows_after(done)
                    break
        totals = epoch_steps.end_epoch(module, totals)
        # The only transfer from the device per epoch. A gradient that is not finite makes a
        # parameter NaN for the rest of the training, so one check per epoch is enough.
        yield (totals + 0 * _sum_of(parameters)).tolist()


def _steps_of_epoch(group, n_rows, batch_size, parameters):
    if group.size == 1:
        return OwnSteps(n_rows, batch_size)
    return GroupSteps(group, n_rows, batch_size, parameters)


def _shuffled(indices, generator):
    if not isinstance(indices, torch.Tensor):
        return indices.shuffled(generator)
    return indices[..., torch.randperm(indices.shape[-1], generator=generator)]


def _take(rows, indices):
    """Return the rows at indices; `embedding` takes half the time of indexing a tensor."""
    return embedding(indices, rows) if isinstance(rows, torch.Tensor) else rows[indices]


@torch.no_grad()
def _sum_of(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors]).sum()
