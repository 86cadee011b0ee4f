"""Train a model: all epochs, early stopping on held-out rows, or cross-validation."""

import math
from dataclasses import replace

import torch

from skvae.data.rows import Subset
from skvae.model.prepared_rows import prepared_rows
from skvae.training.cross_validation import fit_cross_validated
from skvae.training.evaluation import ended_worse, fixed_draws, mean_terms, sampled_loss
from skvae.training.result import Result, TrainingDivergedError, train_and_record
from skvae.training.setup import FEW_ROWS
from skvae.training.states import BestState
from skvae.training.steps import make_optimizer

_N_SPLITS = 5
# Increase of the held-out loss above which a warning is issued: nats, and nats per feature.
_WORSE_NATS, _WORSE_NATS_PER_FEATURE = 10.0, 0.1


def fit_model(start, setup, stopping=None, rows_val=None, resumed=None):
    """Train a model, for a number of epochs that `stopping` chooses.

    Parameters
    ----------
    start : callable
        Maps training rows to a module at its start.
    setup : Setup
    stopping : Stopping, default=None
        None does all epochs, as mode "all", and does not compare their end with the start.
    rows_val : Tensor or StreamedRows, default=None
        The caller's validation rows.
    resumed : tuple of Module and Optimizer, default=None
        A module to continue training, in place of a new one, and its optimiser.

    Returns
    -------
    Result
        Its module has the best state on held-out rows or, without these, the last finite one.

    Raises
    ------
    TrainingDivergedError
        If there is no state with a finite loss to keep.
    ValueError
        If too few rows are left to train or to validate on.
    """
    mode = "all" if stopping is None else stopping.mode
    if mode == "cv":
        return fit_cross_validated(start, setup, min(_N_SPLITS, len(setup.rows)))
    indices = held_out = None
    if mode == "hold_out" and rows_val is None:
        indices, rows_val = _hold_out(setup, stopping.validation_fraction)
    if resumed is None:
        # Not from the held-out rows: they would favour the start over what is trained.
        module = start(setup.rows if indices is None else Subset(setup.rows, indices))
        result = Result(module, make_optimizer(module, setup.plan))
    else:
        result = Result(*resumed)
    setup.group.broadcast(list(result.module.state_dict().values()))
    if mode == "hold_out":
        held_out = _HeldOut(setup, result, stopping, rows_val)
    compares = mode == "all" and stopping is not None
    start_loss = sampled_loss(setup, result.module) if compares else None
    for done, _ in enumerate(train_and_record(setup, result, indices), start=1):
        terms = None if held_out is None else held_out.evaluate()
        result.stopped_early |= setup.progress.end_epoch(result.history)
        if held_out is not None:
            result.stopped_early |= held_out.update(done, terms)
        if result.stopped_early:
            break
    if held_out is not None:
        held_out.restore_best()
        if held_out.best.epoch == 0 and resumed is None and indices is not None:
            result.module.load_state_dict(start(setup.rows).state_dict())
            setup.group.broadcast(list(result.module.state_dict().values()))
    elif result.diverged and result.n_kept == 0:
        raise TrainingDivergedError(result.history["loss"][-1])
    elif compares and not result.stopped_early and setup.plan.epochs > 0:
        # A training that was stopped early is not compared: the rate had not fallen.
        result.worsened = ended_worse(setup, start_loss, result.module)
    return result


class _HeldOut:
    """Early stopping: evaluate each epoch on held-out rows, keep the best state.

    The start is a candidate too.
    """

    def __init__(self, setup, result, stopping, rows):
        self.setup, self.result = setup, result
        module = result.module
        self.rows = prepared_rows(rows, module)
        self.eps = fixed_draws(setup, len(rows), module.latent_dim)
        self.best = BestState(module, stopping.n_iter_no_change, stopping.tol, result.optimizer)
        self.best.update(-self._mean_terms()[0])

    def _mean_terms(self):
        return mean_terms(self.setup, self.result.module, self.rows, self.eps)

    def evaluate(self):
        """Evaluate and record the current state; return its terms."""
        terms = self._mean_terms()
        self.result.record(terms, "validation_")
        return terms

    def update(self, done, terms):
        """Keep the current state if it is the best; return whether to stop."""
        if done <= self.setup.objective.warmup_left and not self.setup.progress.interrupted:
            self.best.skip()
            return False
        return self.best.update(-terms[0])

    def restore_best(self):
        """Restore the best state of the module."""
        if not math.isfinite(self.best.score):
            raise TrainingDivergedError(-self.best.score)
        self.result.kept_start = self.best.epoch == 0 and self._ended_worse()
        self.best.restore()
        self.result.best_score = self.best.score

    def _ended_worse(self):
        """Whether a training that was not interrupted ended far above its start."""
        losses = self.result.history.get("validation_loss", [])
        losses = losses[self.setup.objective.warmup_left :]
        # Too few held-out rows for a reliable comparison.
        _, n_rows = self.setup.group.place(len(self.rows))
        if not losses or 10 * n_rows < FEW_ROWS or self.setup.progress.interrupted:
            return False
        # After a smaller increase the start may be as good as the model can get.
        increase = losses[-1] + self.best.score
        return increase > max(_WORSE_NATS, _WORSE_NATS_PER_FEATURE * self.setup.rows.shape[1])


def _hold_out(setup, fraction):
    """Return the indices of the rows to train on, and the rows that are held out."""
    n_rows = len(setup.rows)
    held = round(fraction * n_rows)
    if setup.group.size > 1:
        # Every rank holds out some of its rows, and keeps others.
        held = min(max(held, 1), n_rows - 1)
    elif held < 1 or n_rows - held < 2:
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows leaves {held} to "
            f"validate on and {n_rows - held} to train on. Change validation_fraction, pass "
            "X_val, or set early_stopping='cv' or False."
        )
    # When training continues, the same rows as before: the model was trained on the others.
    generator = replace(setup.streams, epochs_before=0).generator("held-out rows")
    order = torch.randperm(n_rows, generator=generator)
    return order[held:].sort().values, Subset(setup.rows, order[:held])
