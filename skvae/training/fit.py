"""Train a model: for all epochs, to the best on held-out rows, or by cross-validation."""

import copy
import math

import torch

from skvae.data.rows import Subset
from skvae.randomness import RandomStreams
from skvae.training.cross_validation import fit_cross_validated
from skvae.training.evaluation import ended_worse, fixed_draws, mean_terms
from skvae.training.loop import make_optimizer
from skvae.training.result import Result, TrainingDivergedError, train_and_record
from skvae.training.setup import FEW_ROWS
from skvae.training.states import BestState

_N_SPLITS = 5
# Nats, and nats per feature, that training has to lose on held-out rows to be reported.
_LOST_NATS, _LOST_SHARE = 10.0, 0.1


def fit_model(start, setup, stopping=None, rows_val=None, resumed=None):
    """Train a model in the way that `stopping` says.

    Parameters
    ----------
    start : callable
        Maps training rows to a module at its start.
    setup : Setup
    stopping : Stopping, default=None
        None does all epochs, as mode "all", and does not compare their end with the start.
    rows_val : Tensor or StreamedRows, default=None
        The caller's own rows to validate on.
    resumed : tuple of Module and Optimizer, default=None
        A module to continue from, in place of a start, and its optimiser.

    Returns
    -------
    Result
        Without held-out rows its module has the last finite state, with them the best.

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
        module = start(setup.rows)
        result = Result(module, make_optimizer(module, setup.plan))
    else:
        result = Result(*resumed)
    if mode == "hold_out":
        held_out = _HeldOut(setup, result, stopping, rows_val)
    first = copy.deepcopy(result.module) if mode == "all" and stopping is not None else None
    for done, _ in enumerate(train_and_record(setup, result, indices), start=1):
        terms = None if held_out is None else held_out.evaluate()
        result.stopped_early |= setup.progress.end_epoch(result.history)
        if held_out is not None:
            result.stopped_early |= held_out.update(done, terms)
        if result.stopped_early:
            break
    if held_out is not None:
        held_out.restore_best()
    elif result.diverged and result.n_kept == 0:
        raise TrainingDivergedError(result.history["loss"][-1])
    elif first is not None and not result.stopped_early and setup.plan.epochs > 0:
        # A training that was cut short is not compared: the rate had not fallen.
        result.worsened = ended_worse(setup, first, result.module)
    return result


class _HeldOut:
    """Held-out rows, which tell how long to train: the best state on them is kept.

    The start itself is a candidate. It is taken from all rows, the held-out part of them
    too: that favours it, on the safe side.
    """

    def __init__(self, setup, result, stopping, rows):
        self.setup, self.result, self.rows = setup, result, rows
        module = result.module
        self.eps = fixed_draws(setup, len(rows), module.latent_dim)
        self.best = BestState(module, stopping.n_iter_no_change, stopping.tol, result.optimizer)
        self.best.update(-self._mean_terms()[0])

    def _mean_terms(self):
        return mean_terms(self.setup.objective, self.result.module, self.rows, self.eps)

    def evaluate(self):
        """Evaluate and record the present state; return its terms."""
        terms = self._mean_terms()
        self.result.record(terms, "validation_")
        return terms

    def update(self, done, terms):
        """Keep the present state if it is the best; return whether to stop."""
        if done <= self.setup.objective.kl_warmup and not self.setup.progress.interrupted:
            self.best.skip()
            return False
        return self.best.update(-terms[0])

    def restore_best(self):
        """Give the module back its best state."""
        if not math.isfinite(self.best.score):
            raise TrainingDivergedError(-self.best.score)
        self.result.kept_start = self.best.epoch == 0 and self._only_worsened()
        self.best.restore()
        self.result.best_score = self.best.score

    def _only_worsened(self):
        """Whether a training that was not cut short ended far above its start."""
        losses = self.result.history.get("validation_loss", [])
        losses = losses[self.setup.objective.kl_warmup :]
        # Few held-out rows do not tell: a model of the others is soon too close to these.
        if not losses or 10 * len(self.rows) < FEW_ROWS or self.setup.progress.interrupted:
            return False
        # By less it may be that there is nothing to learn beyond the start.
        lost = losses[-1] + self.best.score
        return lost > max(_LOST_NATS, _LOST_SHARE * self.rows.shape[1])


def _hold_out(setup, fraction):
    """Return the indices of the rows to train on, and the rows that are held out."""
    n_rows = len(setup.rows)
    held = round(fraction * n_rows)
    if held < 1 or n_rows - held < 2:
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows leaves {held} to "
            f"validate on and {n_rows - held} to train on. Change validation_fraction, pass "
            "X_val, or set early_stopping='cv' or False."
        )
    # The same rows as at first, also when training continues: it has seen the others.
    generator = RandomStreams(setup.streams.seed).generator("held-out rows")
    order = torch.randperm(n_rows, generator=generator)
    return order[held:].sort().values, Subset(setup.rows, order[:held])
