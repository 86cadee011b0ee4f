"""The training loop. It knows modules, rows and losses, and nothing of VAEs."""

import copy
import math
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import embedding
from torch.optim.lr_scheduler import OneCycleLR

from skvae.data.rows import indexed_from
from skvae.machine import (
    cuda_float32,
    explain_out_of_memory,
    is_forked,
    limit_threads,
    one_thread,
)

# Below this number of rows a tenth of them is too noisy a judge of the training.
FEW_ROWS = 1000


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Parameters
    ----------
    epochs : int
    batch_size : int
    learning_rate : float
        The peak of the one-cycle schedule, or the constant rate.
    weight_decay : float
    one_cycle : bool, default=True
        Whether the rate rises and falls over the epochs (Smith & Topin 2018) or stays.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    one_cycle: bool = True

    @classmethod
    def for_rows(cls, n_rows, batch_size, max_iter, learning_rate, weight_decay):
        """Fill in "auto": a number of steps suits, whatever the number of rows."""
        few = n_rows < FEW_ROWS
        size = (64 if few else 128) if batch_size == "auto" else batch_size
        size = min(size, n_rows)
        epochs = max_iter
        if epochs == "auto":
            steps = 800 if few else 6000
            epochs = int(np.clip(steps // -(-n_rows // size), 10, 400 if few else 200))
        # int: a grid over np.arange gives NumPy's integers, which torch refuses.
        return cls(int(epochs), int(size), learning_rate, weight_decay)


@contextmanager
def trainable_mode(precision):
    """Record gradients, whatever mode the caller is in; after a fork, use one thread."""
    threads = one_thread() if is_forked() else nullcontext()
    products = cuda_float32(precision == "tf32") if torch.cuda.is_available() else nullcontext()
    memory = explain_out_of_memory()
    with torch.inference_mode(False), torch.enable_grad(), threads, products, memory:
        yield


def make_optimizer(module, plan):
    """Return AdamW; biases and other vectors are not decayed."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    ndim = 2 + getattr(module, "stack_axes", 0)
    groups = [
        {
            "params": [p for p in parameters if p.ndim >= ndim],
            "weight_decay": plan.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim < ndim], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.99), fused=True)


def moments_of(optimizer):
    """Return a copy of what an optimiser has seen: step counts and moments, no settings."""
    return copy.deepcopy(optimizer.state_dict()["state"])


def set_moments(optimizer, moments):
    """Let an optimiser go on from moments; its settings, as the rate, stay its own."""
    groups = optimizer.state_dict()["param_groups"]
    # A copy: training changes them in place, and may fail.
    optimizer.load_state_dict({"state": copy.deepcopy(moments), "param_groups": groups})


def train(
    module,
    loss_terms,
    rows,
    plan,
    generator,
    *,
    width=0,
    indices=None,
    optimizer=None,
    on_step=None,
):
    """Train a module in place, an epoch at each step of the iteration.

    Parameters
    ----------
    module : Module
    loss_terms : callable
        Maps a batch of rows and the number of the epoch to a tensor of means over the
        batch. The first is minimised, the others are reported.
    rows : Tensor or StreamedRows of shape (n, n_features)
        On the module's device, or giving what is.
    plan : Plan
    generator : torch.Generator
        On the CPU; gives the order of the rows.
    width : int, default=0
        Elements per row of the module's widest layer.
    indices : Tensor of shape (n,) or (n_members, n), default=None
        The rows to train on, all by default; for a stack, those of each member.
    optimizer : Optimizer, default=None
        One that continues, for a training in several calls.
    on_step : callable, default=None
        Called after each step with the number of steps done in the epoch and of those in
        it. Where it returns true the epoch ends.

    Yields
    ------
    list of float
        The epoch's mean terms, NaN where a loss, a gradient or a parameter has left the
        finite numbers. Ending the iteration ends the training.
    """
    optimizer = make_optimizer(module, plan) if optimizer is None else optimizer
    indices = torch.arange(len(rows)) if indices is None else indices
    n_rows, size = indices.shape[-1], plan.batch_size
    parameters = list(module.parameters())
    n_products = size * sum(p.numel() for p in parameters)
    scheduler = None
    if plan.one_cycle and plan.epochs > 0:
        n_steps = plan.epochs * -(-n_rows // size) + 1
        scheduler = OneCycleLR(
            optimizer,
            max_lr=plan.learning_rate,
            total_steps=n_steps,
            # A rise of exactly one step is a division by zero in torch.
            pct_start=max(0.2, 1.5 / n_steps),
            cycle_momentum=False,
        )
    # zero_grad does this too, and spends a twentieth of a small step on its bookkeeping.
    parameters = list(module.parameters())
    for epoch in range(plan.epochs):
        module.train()
        order = indices[..., torch.randperm(n_rows, generator=generator)]
        batches = order.to(indexed_from(rows)).split(size, dim=-1)
        totals = None
        with limit_threads(size * max(width, rows.shape[1]), n_products):
            for done, batch in enumerate(batches, start=1):
                terms = loss_terms(_take(rows, batch), epoch)
                for parameter in parameters:
                    parameter.grad = None
                terms[0].backward()
                optimizer.step()
                if scheduler is not None:
                    scheduler.step()
                share = terms.detach() * (batch.shape[-1] / n_rows)
                totals = share if totals is None else totals + share
                if on_step is not None and on_step(done, len(batches)):
                    totals *= n_rows / min(done * size, n_rows)
                    break
        # The one number per epoch that leaves the device. A gradient that is not finite
        # makes a parameter NaN under AdamW, for good: one look an epoch misses none.
        yield (totals + 0 * _sum_of(parameters)).tolist()


def _take(rows, indices):
    """Return the rows of indices; a tensor's in half the time that indexing takes."""
    return embedding(indices, rows) if isinstance(rows, torch.Tensor) else rows[indices]


@torch.no_grad()
def _sum_of(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors]).sum()


class LastStates:
    """Keeps copies of a module's last two states, renewed in place."""

    def __init__(self, module):
        self.module = module
        self._states = [copy.deepcopy(module.state_dict()) for _ in range(2)]

    def update(self):
        """Take the present state in place of the older one."""
        self._states.reverse()
        for name, value in self.module.state_dict().items():
            self._states[0][name].copy_(value)

    def restore(self):
        """Give the module back its states, the last one first; iterate over them."""
        for state in self._states:
            self.module.load_state_dict(state)
            yield


class BestState:
    """Keeps the best state of a module by its validation score.

    Parameters
    ----------
    module : Module
    patience : int
        Checks without an improvement after which training should stop.
    tol : float
        The least improvement that counts against the patience.
    optimizer : Optimizer, default=None
        One whose moments are kept and restored with the state.
    """

    def __init__(self, module, patience, tol, optimizer=None):
        self.module = module
        self.optimizer = optimizer
        self.patience = patience
        self.tol = tol
        self.score = -float("inf")
        self.epoch = 0
        self._state, self._moments = None, None
        self._epochs_seen = 0
        self._reference = -float("inf")
        self._last_gain = 0

    def update(self, score):
        """Record the state after one more epoch, the start being epoch 0.

        Returns
        -------
        bool
            Whether the patience is spent.
        """
        epoch = self._epochs_seen
        self._epochs_seen += 1
        if (
            self._state is None
            or score > self.score
            or math.isnan(self.score) > math.isnan(score)
        ):
            self.score, self.epoch = score, epoch
            self._state = copy.deepcopy(self.module.state_dict())
            self._moments = None if self.optimizer is None else moments_of(self.optimizer)
        if score > self._reference + self.tol:
            self._reference, self._last_gain = score, epoch
        return epoch - self._last_gain >= self.patience

    def wait(self):
        """Let one epoch pass that is neither judged nor counted against the patience."""
        self._last_gain = self._epochs_seen
        self._epochs_seen += 1

    def restore(self):
        """Give the module back its best state."""
        self.module.load_state_dict(self._state)
        if self.optimizer is not None:
            set_moments(self.optimizer, self._moments)


def on_cpu(state):
    """Return a copy of an optimiser's state dictionary with its tensors on the CPU."""
    if isinstance(state, torch.Tensor):
        return state.detach().clone().cpu()
    if isinstance(state, dict):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, list):
        return [on_cpu(value) for value in state]
    return state
