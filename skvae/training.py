"""The training loop. It knows modules, rows and losses, and nothing of VAEs."""

import copy
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import OneCycleLR


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


def make_optimizer(module, plan):
    """Return AdamW; biases and other vectors are not decayed."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": plan.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.99), fused=True)


def train(module, loss_terms, rows, plan, generator, *, indices=None, optimizer=None, after_epoch):
    """Train a module in place.

    Parameters
    ----------
    module : Module
    loss_terms : callable
        Maps a batch of rows to a tensor of means over the batch. The first is
        minimised, the others are reported.
    rows : Tensor of shape (n, n_features)
        On the module's device.
    plan : Plan
    generator : torch.Generator
        On the CPU; gives the order of the rows.
    indices : Tensor, default=None
        The rows to train on, all by default.
    optimizer : Optimizer, default=None
        One that continues, for a training in several calls.
    after_epoch : callable
        Called with the epoch's mean terms, a list of floats; returns True to stop.
    """
    optimizer = make_optimizer(module, plan) if optimizer is None else optimizer
    indices = torch.arange(len(rows)) if indices is None else indices
    n_rows, size = len(indices), plan.batch_size
    scheduler = None
    if plan.one_cycle and plan.epochs > 0:
        scheduler = OneCycleLR(
            optimizer,
            max_lr=plan.learning_rate,
            total_steps=plan.epochs * -(-n_rows // size) + 1,
            pct_start=0.2,
            cycle_momentum=False,
        )
    module.train()
    for _ in range(plan.epochs):
        order = indices[torch.randperm(n_rows, generator=generator)].to(rows.device)
        totals = None
        for batch in order.split(size):
            terms = loss_terms(rows[batch])
            optimizer.zero_grad()
            terms[0].backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            share = terms.detach() * (len(batch) / n_rows)
            totals = share if totals is None else totals + share
        # The one number per epoch that leaves the device.
        if after_epoch(totals.tolist()):
            return


class BestState:
    """Keeps the best state of a module by its validation score.

    Parameters
    ----------
    module : Module
    patience : int
        Checks without an improvement after which training should stop.
    tol : float
        The least improvement that counts against the patience.
    """

    def __init__(self, module, patience, tol):
        self.module = module
        self.patience = patience
        self.tol = tol
        self.score = -float("inf")
        self.epoch = 0
        self._state = None
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
        if score > self.score or self._state is None:
            self.score, self.epoch = score, epoch
            self._state = copy.deepcopy(self.module.state_dict())
        if score > self._reference + self.tol:
            self._reference, self._last_gain = score, epoch
        return epoch - self._last_gain >= self.patience

    def restore(self):
        """Give the module back its best state."""
        self.module.load_state_dict(self._state)


def on_cpu(state):
    """Return a copy of an optimiser's state dictionary with its tensors on the CPU."""
    if isinstance(state, torch.Tensor):
        return state.detach().clone().cpu()
    if isinstance(state, dict):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, list):
        return [on_cpu(value) for value in state]
    return state
