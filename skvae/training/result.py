"""The result of a training."""

import copy
import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch

from skvae.model.modules import widest_layer
from skvae.model.prepared_rows import prepared_rows
from skvae.training.evaluation import fixed_draws, mean_terms
from skvae.training.loop import train_epochs
from skvae.training.states import LastStates

_TERMS = ("loss", "reconstruction", "kl")


class TrainingDivergedError(ValueError):
    """Raised when training leaves no state with a finite loss."""

    def __init__(self, loss):
        super().__init__(
            f"Training diverged: the loss is {loss}, and there is no finite state to keep."
        )


@dataclass
class Result:
    """A trained module, its history and how training ended.

    Attributes
    ----------
    module : Module
    optimizer : Optimizer or None
        The module's optimiser, with the moments from which a further training continues.
    history : dict of str to list of float
        ``loss``, ``reconstruction``, ``kl`` per epoch, and with held-out rows the same
        with the prefix ``validation_``; in model units.
    best_score : float or None
        Held-out bound of the state that was kept.
    n_kept : int
        Epochs trained so far; after a divergence fewer than in the history.
    stopped_early : bool
        Whether training ended before its planned epochs.
    diverged : bool
        Whether it ended because a loss or a gradient was not finite.
    worsened : bool
        Whether the loss at the end is far above that of the start.
    kept_start : bool
        Whether no epoch was better than the start on held-out rows, and the last far worse.
    """

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer | None = None
    history: dict = field(default_factory=lambda: {name: [] for name in _TERMS})
    best_score: float | None = None
    n_kept: int = 0
    stopped_early: bool = False
    diverged: bool = False
    worsened: bool = False
    kept_start: bool = False

    def copy(self):
        """Return a copy with its own module and history."""
        history = {name: list(values) for name, values in self.history.items()}
        return replace(self, module=copy.deepcopy(self.module), history=history)

    def record(self, terms, prefix=""):
        """Append one epoch's terms to the history."""
        record_terms(self.history, terms, prefix)

    @property
    def converged(self):
        """Whether the last tenth of the epochs gave at most 5 % of the whole improvement.

        Means of a tenth are compared, as single epochs vary. What could be their noise is no
        improvement: after a good start the whole one is small too.
        """
        loss = self.history["loss"]
        if self.stopped_early or not loss:
            return True
        tail = max(1, len(loss) // 10)
        if len(loss) <= tail:
            return False
        before, last = np.mean(loss[-2 * tail : -tail]), np.mean(loss[-tail:])
        noise = np.std(np.diff(loss[-2 * tail :])) / tail**0.5
        return last <= loss[0] and before - last <= max(0.05 * (loss[0] - last), 2 * noise)


def record_terms(history, terms, prefix=""):
    """Append one epoch's loss, reconstruction and KL to a history."""
    for name, value in zip(_TERMS, terms, strict=True):
        history.setdefault(prefix + name, []).append(float(value))


class LogJacobians(NamedTuple):
    """What log-densities in the units of the data are more than those in model units.

    Means over the rows, in nats per row: rows with missing values have fewer densities.
    """

    training: float = 0.0
    validation: float = 0.0


def in_data_units(history, log_jacobians):
    """Return a history as arrays, with densities in the units of the data."""
    signs = {"loss": -1, "reconstruction": 1, "kl": 0}
    shifts = {name: sign * log_jacobians.training for name, sign in signs.items()}
    for name, sign in signs.items():
        shifts["validation_" + name] = sign * log_jacobians.validation
    return {name: np.asarray(values) + shifts[name] for name, values in history.items()}


def last_in_data_units(history, log_jacobians):
    """Return the values of a history's last epoch, in the units of the data."""
    last = {name: values[-1:] for name, values in history.items()}
    return {name: float(h[0]) for name, h in in_data_units(last, log_jacobians).items()}


def join_histories(first, second):
    """Concatenate two histories; terms that one of them lacks are NaN there."""
    names = {**first, **second}
    gap = {key: np.full(len(part["loss"]), np.nan) for key, part in ((0, first), (1, second))}
    return {
        name: np.concatenate([first.get(name, gap[0]), second.get(name, gap[1])])
        for name in names
    }


def train_and_record(setup, result, indices=None, current=None):
    """Train the result's module and record its history; iterate over the epochs.

    An epoch with a loss or a gradient that is not finite is the last one, and the state
    before it is restored. `current` returns the result that callbacks get, by default a copy.
    """
    rows = prepared_rows(setup.rows, result.module)
    epochs = train_epochs(
        result.module,
        setup.loss_terms(result.module),
        rows,
        setup.plan,
        setup.streams.generator("order"),
        indices=indices,
        optimizer=result.optimizer,
        row_width=widest_layer(result.module, setup.rows.shape[1]),
        on_step=setup.progress.on_step,
        group=setup.group,
    )
    last = LastStates(result.module)
    for done in range(1, setup.plan.epochs + 1):
        setup.progress.begin_epoch(current or result.copy)
        terms = next(epochs)
        result.record(terms)
        result.diverged = not math.isfinite(terms[0])
        if result.diverged:
            # Its moments are not finite either.
            result.stopped_early, result.optimizer = True, None
            result.n_kept = _restore_finite(setup, result.module, rows, last, done - 1)
            yield
            return
        last.update()
        result.n_kept = done
        yield


def _restore_finite(setup, module, rows, last, n_epochs):
    """Restore the last state with a finite loss; return its epochs, 0 if there is none.

    The states are evaluated, because an epoch's loss does not include its last step.
    """
    eps = fixed_draws(setup, len(rows), module.latent_dim)
    for n_back, _ in enumerate(last.restore()):
        if math.isfinite(mean_terms(setup, module, rows, eps)[0]):
            return max(n_epochs - n_back, 0)
    return 0
