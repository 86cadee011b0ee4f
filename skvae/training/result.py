"""What comes of a training: the module, its history, and how it ended."""

import copy
import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from skvae.model.modules import widest_layer
from skvae.training.evaluation import fixed_draws, mean_terms
from skvae.training.loop import train_epochs
from skvae.training.states import LastStates

_TERMS = ("loss", "reconstruction", "kl")


class TrainingDivergedError(ValueError):
    """A training left no state with a finite loss."""

    def __init__(self, loss):
        super().__init__(
            f"Training diverged: the loss is {loss}, and there is no finite state to keep."
        )


@dataclass
class Result:
    """A trained module and how it came about.

    Attributes
    ----------
    module : Module
    optimizer : Optimizer or None
        The module's, with the moments that a further training goes on from.
    history : dict of str to list of float
        ``loss``, ``reconstruction``, ``kl`` per epoch, and with held-out rows the same
        with the prefix ``validation_``; in model units.
    best_score : float or None
        Held-out bound of the state that was kept.
    n_kept : int
        Epochs that the module has behind it: after a divergence fewer than the history has.
    stopped_early : bool
        Whether training ended before its planned epochs.
    diverged : bool
        Whether it ended because a loss or a gradient was not finite.
    worsened : bool
        Whether it ended far above the loss of its start.
    kept_start : bool
        Whether held-out rows found no epoch better than the start, and the last far worse.
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
        """Return a copy with a module and a history of its own."""
        history = {name: list(values) for name, values in self.history.items()}
        return replace(self, module=copy.deepcopy(self.module), history=history)

    def record(self, terms, prefix=""):
        """Append one epoch's terms to the history."""
        record_terms(self.history, terms, prefix)

    @property
    def converged(self):
        """Whether the last tenth of the epochs gave little of the whole improvement."""
        loss = self.history["loss"]
        if self.stopped_early or not loss:
            return True
        tail = max(1, len(loss) // 10)
        if len(loss) <= tail:
            return False
        gain = loss[0] - loss[-1]
        return gain >= 0 and loss[-tail - 1] - loss[-1] <= 0.05 * gain

    def history_in_data_units(self, log_jacobian):
        """Return the history as arrays, its densities in the units of the data.

        `log_jacobian` is in nats per row.
        """
        shift = {"loss": -log_jacobian, "reconstruction": log_jacobian, "kl": 0.0}
        return {
            name: np.asarray(values) + shift[name.removeprefix("validation_")]
            for name, values in self.history.items()
        }


def record_terms(history, terms, prefix=""):
    """Append one epoch's loss, reconstruction and KL to a history."""
    for name, value in zip(_TERMS, terms, strict=True):
        history.setdefault(prefix + name, []).append(float(value))


def join_histories(first, second):
    """Return one history after the other; where one has no such term it is NaN."""
    names = {**first, **second}
    gap = {key: np.full(len(part["loss"]), np.nan) for key, part in ((0, first), (1, second))}
    return {
        name: np.concatenate([first.get(name, gap[0]), second.get(name, gap[1])])
        for name in names
    }


def train_and_record(setup, result, indices=None, current=None):
    """Train the result's module and record its history; iterate over the epochs.

    An epoch with a loss or a gradient that is not finite is the last one. The module then
    gets back the state before it. `current` returns what callbacks are shown of the result,
    by default a copy.
    """
    epochs = train_epochs(
        result.module,
        setup.loss_terms(result.module),
        setup.rows,
        setup.plan,
        setup.streams.generator("order"),
        indices=indices,
        optimizer=result.optimizer,
        row_width=widest_layer(result.module, setup.rows.shape[1]),
        on_step=setup.progress.on_step,
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
            result.n_kept = _go_back(setup, result.module, last, done - 1)
            yield
            return
        last.update()
        result.n_kept = done
        yield


def _go_back(setup, module, last, n_epochs):
    """Restore the last state with a finite loss; return its epochs, 0 where there is none.

    No loss is taken of the state that an epoch ends with: its last step may have been too far.
    """
    eps = fixed_draws(setup, len(setup.rows), module.latent_dim)
    for n_back, _ in enumerate(last.restore()):
        if math.isfinite(mean_terms(setup.objective, module, setup.rows, eps)[0]):
            return max(n_epochs - n_back, 0)
    return 0
