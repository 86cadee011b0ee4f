"""How long to train: by a hold-out, by cross-validation, or for all epochs.

The functions take a `Recipe`, which knows how to start a model and what its objective
is, and return an `Outcome`.
"""

import copy
import math
from dataclasses import dataclass, replace

import torch

from skvae.data.rows import Subset
from skvae.training.cross_validation import fit_cross_validated
from skvae.training.evaluation import has_worsened, held_out_draws, mean_terms
from skvae.training.loop import FEW_ROWS, BestState, make_optimizer
from skvae.training.recipe import Outcome, diverged, record, run_epochs

_N_SPLITS = 5
# Nats, and nats per feature, that training has to lose on held-out rows to be told of.
_LOST_NATS, _LOST_SHARE = 10.0, 0.1


@dataclass(frozen=True)
class Stopping:
    """What decides how long to train.

    Parameters
    ----------
    mode : bool, "auto" or "cv"
        Hold-out (True), all epochs (False), cross-validation, or the one of the first and
        the last that suits the number of rows.
    fraction : float
        Share of the rows held out.
    patience : int
    tol : float
    """

    mode: bool | str
    fraction: float
    patience: int
    tol: float


def resolved_mode(recipe, stopping, rows_val=None, module=None):
    """Return the mode that `fit_in_mode` takes: "all", "hold_out" or "cv"."""
    if recipe.plan.epochs == 0:
        return "all"
    if rows_val is not None:
        return "hold_out"
    mode = stopping.mode
    if mode == "auto":
        mode = "cv" if len(recipe.rows) < FEW_ROWS else True
    if mode == "cv":
        return "cv" if module is None else "all"
    return "hold_out" if mode else "all"


def fit_in_mode(recipe, stopping, rows_val=None, module=None, optimizer=None):
    """Train in the way that `stopping` asks for.

    Parameters
    ----------
    recipe : Recipe
    stopping : Stopping
    rows_val : Tensor or StreamedRows, default=None
        The caller's own rows to validate on.
    module : Module, default=None
        One to continue from. Cross-validation would then judge rows that the module has
        seen, and all epochs are done instead.
    optimizer : Optimizer, default=None
        Its optimiser, likewise.

    Returns
    -------
    Outcome
    """
    n_rows = len(recipe.rows)
    mode = resolved_mode(recipe, stopping, rows_val, module)
    if mode == "all":
        begun = _begin(recipe, module, optimizer)
        start = copy.deepcopy(begun.module)
        outcome = fit_all(recipe, begun.module, begun.optimizer)
        # Cut short it is not judged: the rate had not fallen.
        outcome.worsened = not (
            recipe.plan.epochs == 0 or outcome.stopped_early
        ) and has_worsened(recipe, start, outcome.module)
        return outcome
    if mode == "cv":
        return fit_cross_validated(recipe, min(_N_SPLITS, n_rows))
    if rows_val is not None:
        indices = torch.arange(n_rows)
        return fit_hold_out(recipe, indices, rows_val, stopping, module, optimizer)
    held = round(stopping.fraction * n_rows)
    if held < 1 or n_rows - held < 2:
        raise ValueError(
            f"validation_fraction={stopping.fraction} of {n_rows} rows leaves {held} to "
            f"validate on and {n_rows - held} to train on. Change validation_fraction, pass "
            "X_val, or set early_stopping='cv' or False."
        )
    # The same rows as at first, also when training continues: it has seen the others.
    order = torch.randperm(n_rows, generator=replace(recipe, epochs_before=0).generator(4))
    kept, rows_val = order[held:].sort().values, Subset(recipe.rows, order[:held])
    return fit_hold_out(recipe, kept, rows_val, stopping, module, optimizer)


def _begin(recipe, module, optimizer):
    """Return the outcome of no epoch, of the module given or of the recipe's start."""
    if module is None:
        module = recipe.start(recipe.rows, recipe.seed)
    if optimizer is None:
        optimizer = make_optimizer(module, recipe.plan)
    return Outcome(module, optimizer=optimizer)


def fit_all(recipe, module=None, optimizer=None):
    """Train on all rows for all planned epochs, from `module` where one is given.

    Where the training diverges the last finite state is kept.

    Raises
    ------
    ValueError
        If the training diverged before there was one.
    """
    outcome = _begin(recipe, module, optimizer)
    for _ in run_epochs(recipe, outcome):
        outcome.stopped_early |= recipe.end_epoch(outcome)
        if outcome.stopped_early:
            break
    if outcome.diverged and outcome.n_kept == 0:
        raise diverged(recipe, outcome.history["loss"][-1])
    return outcome


def fit_hold_out(recipe, indices, rows_val, stopping, module=None, optimizer=None):
    """Train on `indices`; keep the state that is best on the held-out rows.

    The start itself is a candidate. It is taken from all of the recipe's rows, the
    held-out part of them too: that favours it, on the safe side.

    Raises
    ------
    ValueError
        If no state has a finite score on the held-out rows.
    """
    outcome = _begin(recipe, module, optimizer)
    eps = held_out_draws(recipe, len(rows_val), outcome.module.latent_dim)
    best = BestState(outcome.module, stopping.patience, stopping.tol, outcome.optimizer)

    def judge():
        return mean_terms(recipe, outcome.module, rows_val, eps)

    best.update(-judge()[0])
    for done, _ in enumerate(run_epochs(recipe, outcome, indices), start=1):
        terms = judge()
        record(outcome.history, terms, "validation_")
        stop = recipe.end_epoch(outcome)
        if done <= recipe.kl_warmup and not recipe.interrupted():
            best.wait()
        else:
            stop |= best.update(-terms[0])
        if stop:
            outcome.stopped_early = True
            break
    if not math.isfinite(best.score):
        raise diverged(recipe, -best.score)
    outcome.kept_start = best.epoch == 0 and _only_worsened(recipe, outcome, best, rows_val)
    best.restore()
    outcome.best_score = best.score
    return outcome


def _only_worsened(recipe, outcome, best, rows_val):
    """Whether a training that was not cut short ended far above its start."""
    judged = outcome.history.get("validation_loss", [])[recipe.kl_warmup :]
    # Few held-out rows do not tell: what is trained on the others is soon too close to them.
    if not judged or 10 * len(rows_val) < FEW_ROWS or recipe.interrupted():
        return False
    # By less it may be that there is nothing to learn beyond the start.
    return judged[-1] + best.score > max(_LOST_NATS, _LOST_SHARE * rows_val.shape[1])


def epoch_printer(log_jacobian):
    """Return a report that prints one line an epoch, in the units of the data."""

    def report(history):
        line = f"Epoch {len(history['loss'])}"
        for name in ("loss", "validation_loss"):
            if name in history:
                line += f", {name} = {history[name][-1] - log_jacobian:.4f}"
        print(line)

    return report
