"""Choose the number of epochs by cross-validation."""

import copy
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from skvae.data.rows import batches
from skvae.machine import limit_threads
from skvae.model.prepared_rows import prepared_rows
from skvae.training.evaluation import (
    ended_worse,
    fixed_draws,
    sampled_loss,
    terms_and_residuals,
    value_counts,
)
from skvae.training.folds import Folds
from skvae.training.result import (
    Result,
    TrainingDivergedError,
    record_terms,
    train_and_record,
)
from skvae.training.steps import make_optimizer


def fit_cross_validated(start, setup, n_splits):
    """Choose the epochs by cross-validation, and train on all rows for as many.

    With few rows one held-out part gives a noisy estimate and leaves fewer rows to train on.
    Each fold is trained from its own start, and the number of epochs is the best for all
    held-out rows together. A learned noise is then set from the held-out residuals, because
    those of the training rows are too small.

    Modules that can be batched are trained together with the model of all rows. Its epochs
    have as many steps as those of the folds, each with another part of the rows.

    An interruption ends the training. The first fold's module is then kept in its best
    state, or the start if no epoch was better; the history is that of the folds.

    Parameters
    ----------
    start, setup
        As in :func:`skvae.training.fit.fit_model`.
    n_splits : int

    Returns
    -------
    Result
    """
    make_folds = partial(Folds, start, setup, n_splits)
    with setup.progress.stage("cross-validation", setup.plan.epochs):
        folds = make_folds()
        found = _cross_validate(setup, folds)
    if not setup.progress.interrupted:
        result = _train_on_all(setup, folds, found, make_folds)
        if result is not None:
            return result
    return _first_fold(setup, folds, found)


@dataclass
class FoldsResult:
    """Results of training and evaluating the folds.

    Attributes
    ----------
    evaluations : list of Evaluation
        After each number of epochs, from 0 on.
    history : dict of str to list of float
        Means over the folds, as in `Result`.
    of_whole : list of ndarray
        The terms of the model of all rows in each epoch, if it is trained with the folds.
    best : int
        The number of epochs with the smallest held-out loss.
    state : dict or None
        State of the folds after `best` epochs, as `Folds` copies it; None is the start.
    diverged : bool
        Whether a module diverged, which ends the cross-validation.
    """

    evaluations: list
    history: dict = field(default_factory=dict)
    of_whole: list = field(default_factory=list)
    best: int = 0
    state: dict | None = None
    diverged: bool = False

    def add(self, states, may_keep, evaluations):
        """Add the evaluations of the next epochs.

        Parameters
        ----------
        states : list of dict
        may_keep : list of bool
            Whether an epoch can be the best.
        evaluations : list of Evaluation
        """
        for state, eligible, evaluation in zip(states, may_keep, evaluations, strict=True):
            record_terms(self.history, evaluation.terms, "validation_")
            better = evaluation.loss < self.evaluations[self.best].loss
            self.evaluations.append(evaluation)
            if better and eligible:
                self.best, self.state = len(self.evaluations) - 1, state


def _cross_validate(setup, folds):
    """Train the folds and evaluate them after each epoch; return the FoldsResult."""
    found = FoldsResult(folds.evaluate([folds.copy_state()]))
    # Callbacks see each evaluation at the end of its epoch.
    n_together = folds.n_together if setup.progress.tasks is None else 1
    epochs, states, may_keep = folds.train(), [], []
    # All planned epochs: training first moves away from the closed-form start, and much of
    # the improvement comes when the learning rate falls.
    for done in range(1, setup.plan.epochs + 1):
        setup.progress.begin_epoch()
        terms = next(epochs)
        found.diverged = not np.isfinite(terms[0]).all()
        record_terms(found.history, terms[:, : folds.n_splits].mean(axis=1))
        if folds.has_whole:
            found.of_whole.append(terms[:, -1])
        states.append(folds.copy_state())
        may_keep.append(done > setup.objective.warmup_left or setup.progress.interrupted)
        if len(states) == n_together:
            found.add(states, may_keep, folds.evaluate(states))
            states, may_keep = [], []
        # The lines that are printed are those of the final training.
        if setup.progress.end_epoch(found.history, prints=False) or found.diverged:
            break
    if states:
        found.add(states, may_keep, folds.evaluate(states))
    return found


def _train_on_all(setup, folds, found, make_folds):
    """Return the result of the best number of epochs on all rows, None if interrupted."""
    module = copy.deepcopy(folds.whole)
    result = Result(module, make_optimizer(module, setup.plan))
    evaluations, epochs = found.evaluations, found.best
    # At least one, so that there is a history even if the start is kept.
    n_epochs = max(epochs, 1)
    # Callbacks see all states of the model: it is trained once more, to the same bits.
    again = make_folds() if folds.has_whole and setup.progress.tasks is not None else None

    def current():
        if again is not None:
            again.load_whole(again.copy_state(), module, result.optimizer)
        copied = result.copy()
        _set_noise(setup, copied.module, evaluations[len(result.history["loss"])].noise)
        return copied

    if folds.has_whole:
        steps = _follow(setup, result, found.of_whole, again, current)
    else:
        steps = train_and_record(setup, result, current=current)
    with setup.progress.stage("final training", n_epochs):
        for done, _ in enumerate(steps, start=1):
            result.record(evaluations[done].terms, "validation_")
            if setup.progress.end_epoch(result.history) or done == n_epochs:
                break
    if done < n_epochs and setup.progress.interrupted:
        return None
    kept = min(result.n_kept, epochs)
    if kept == 0:
        module.load_state_dict(folds.whole.state_dict())
        result.optimizer = None
    elif folds.has_whole:
        # Only a callback ends the training before the best epoch.
        state = found.state if kept == epochs else again.copy_state()
        folds.load_whole(state, module, result.optimizer)
    result.stopped_early = kept < setup.plan.epochs
    result.diverged |= found.diverged
    _finish(setup, result, evaluations[kept])
    if kept > 0 and ended_worse(setup, sampled_loss(setup, folds.whole), module):
        _restore_start(result, folds, evaluations)
    return result


def _restore_start(result, folds, evaluations):
    """Keep the start, with its own noise, in place of a model that is far worse.

    One row that is far from all others can be most of the held-out loss. What it gains then
    is the noise, at the expense of all other rows.
    """
    result.module.load_state_dict(folds.whole.state_dict())
    result.optimizer, result.kept_start = None, True
    result.best_score = -evaluations[0].loss


def _follow(setup, result, of_whole, again, current):
    """Record the epochs of the model of all rows; iterate over them.

    They are those of the cross-validation or, unless it is None, of the folds `again`.
    """
    epochs = iter(of_whole if again is None else again.train())
    for done in range(1, len(of_whole) + 1):
        setup.progress.begin_epoch(current)
        terms = next(epochs)
        result.record(terms if again is None else terms[:, -1])
        result.n_kept = done
        yield


def _first_fold(setup, folds, found):
    """Return the result of an interrupted training: the first fold's module."""
    module = folds.whole
    if found.best:
        folds.load_first(found.state, module)
    result = Result(
        module,
        history=found.history,
        stopped_early=True,
        diverged=found.diverged,
        n_kept=found.best,
    )
    _finish(setup, result, found.evaluations[found.best])
    return result


def _finish(setup, result, evaluation):
    """Set score and noise from the evaluation at the number of epochs that is kept."""
    if not np.isfinite(evaluation.loss):
        raise TrainingDivergedError(evaluation.loss)
    result.best_score = -evaluation.loss
    _set_noise(setup, result.module, evaluation.noise)


@torch.no_grad()
def _set_noise(setup, module, noise):
    """Set the noise of a module to that estimated from held-out rows, unless it is None.

    It is at least that of the module's training rows, which it may fit less closely than
    the modules of the folds fit theirs.
    """
    if noise is None:
        return
    module.eval()
    eps = fixed_draws(setup, len(setup.rows), module.latent_dim)
    rows = prepared_rows(setup.rows, module)
    head = module.decoder.head
    with limit_threads(rows.numel()):
        sums = sum(
            terms_and_residuals(setup.objective, module, rows[part], eps[:, part])
            .sum(0)
            .double()
            for part in batches(rows.shape)
        )[3 : 3 + head.n_noises]
    n_values = len(rows)
    if module.completion is not None:
        n_values = sum(
            value_counts(
                head, setup.rows[part], torch.ones(part.stop - part.start, device=rows.device)
            )
            for part in batches(setup.rows.shape)
        ).clamp(min=1)
    head.set_noise(torch.maximum(noise, sums / n_values).float())
