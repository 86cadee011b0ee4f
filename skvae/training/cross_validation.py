"""Choose the number of epochs by cross-validation."""

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from skvae.data.rows import Subset, batches
from skvae.machine import limit_threads
from skvae.model.modules import batch_modules, member_state
from skvae.training.evaluation import (
    fixed_draws,
    held_out_noise,
    row_terms,
    terms_and_residuals,
)
from skvae.training.loop import train_epochs
from skvae.training.result import (
    Result,
    TrainingDivergedError,
    record_terms,
    train_and_record,
)
from skvae.training.steps import make_optimizer


def fit_cross_validated(start, setup, n_splits):
    """Choose the epochs by cross-validation, then train on all rows.

    With few rows one held-out part gives a noisy estimate and leaves fewer rows to train on.
    Each fold is trained from its own start, and the number of epochs is the best for all
    held-out rows together. A learned noise is then set from the held-out residuals, because
    those of the training rows are too small.

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
    with setup.progress.stage("cross-validation", setup.plan.epochs):
        found = _cross_validate(start, setup, n_splits)
    module = start(setup.rows)
    first = copy.deepcopy(module.state_dict())
    if not setup.progress.interrupted:
        result = Result(module, make_optimizer(module, setup.plan))
        if _train_on_all(setup, found, result, first):
            return result
    return _first_fold(setup, found, module, first)


@dataclass
class FoldsResult:
    """Results of training and evaluating the folds.

    Attributes
    ----------
    evaluations : list of Evaluation
        After each number of epochs, from 0 on.
    history : dict of str to list of float
        Means over the folds, as in `Result`.
    best : int
        The number of epochs with the smallest held-out loss.
    state : dict or None
        State of the first fold's module after `best` epochs; None is the start.
    diverged : bool
        Whether a fold diverged, which ends the cross-validation.
    """

    evaluations: list
    history: dict = field(default_factory=dict)
    best: int = 0
    state: dict | None = None
    diverged: bool = False


def _train_on_all(setup, found, result, first):
    """Train on all rows for the best number of epochs; return False when interrupted."""
    evaluations, epochs = found.evaluations, found.best
    # At least one, so that there is a history even if the start is kept.
    n_epochs = max(epochs, 1)

    def current():
        copied = result.copy()
        _set_noise(setup, copied.module, evaluations[len(result.history["loss"])].noise)
        return copied

    with setup.progress.stage("final training", n_epochs):
        for done, _ in enumerate(train_and_record(setup, result, current=current), start=1):
            result.record(evaluations[done].terms, "validation_")
            if setup.progress.end_epoch(result.history) or done == n_epochs:
                break
    if done < n_epochs and setup.progress.interrupted:
        return False
    kept = min(result.n_kept, epochs)
    if kept == 0:
        result.module.load_state_dict(first)
        result.optimizer = None
    result.stopped_early = kept < setup.plan.epochs
    result.diverged |= found.diverged
    _finish(setup, result, evaluations[kept])
    return True


def _first_fold(setup, found, module, first):
    """Return the result of an interrupted training: the first fold's module."""
    module.load_state_dict(found.state if found.best else first)
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
    rows, eps = setup.rows, fixed_draws(setup, len(setup.rows), module.latent_dim)
    with limit_threads(rows.numel()):
        sums = sum(
            terms_and_residuals(setup.objective, module, rows[part], eps[:, part])
            .sum(0)
            .double()
            for part in batches(rows.shape)
        )[3:]
    module.decoder.head.set_noise(torch.maximum(noise, sums / len(rows)).float())


def _cross_validate(start, setup, n_splits):
    """Train the folds and evaluate them after each epoch; return the FoldsResult."""
    folds = Folds(start, setup, n_splits)
    found = FoldsResult([folds.evaluate()])
    epochs = folds.train()
    # All planned epochs: training first moves away from the closed-form start, and much of
    # the improvement comes when the learning rate falls.
    for done in range(1, setup.plan.epochs + 1):
        setup.progress.begin_epoch()
        terms = next(epochs)
        found.diverged = not np.isfinite(terms[0])
        record_terms(found.history, terms)
        evaluation = folds.evaluate()
        record_terms(found.history, evaluation.terms, "validation_")
        better = evaluation.loss < found.evaluations[found.best].loss
        found.evaluations.append(evaluation)
        past_warmup = done > setup.objective.kl_warmup or setup.progress.interrupted
        if better and past_warmup:
            found.best, found.state = done, folds.first_state()
        if setup.progress.end_epoch() or found.diverged:
            break
    return found


class Evaluation(NamedTuple):
    """Mean terms over all held-out rows, and the noise per feature used for them."""

    terms: list
    noise: torch.Tensor | None

    @property
    def loss(self):
        """Mean loss of the rows, in nats."""
        return self.terms[0]


class _Group(NamedTuple):
    """Folds trained as one module: all, or a single fold if they cannot be batched.

    Attributes
    ----------
    module : Module
    kept : Tensor of shape (n_folds, n) or (n,)
        Indices of the rows to train on.
    held_out : Tensor of shape (n_folds, n_held) or (n_held,)
        Indices of the others.
    counted : Tensor of the same shape
        1 for a held-out row, 0 for one that is repeated to make the folds equally long.
    """

    module: torch.nn.Module
    kept: torch.Tensor
    held_out: torch.Tensor
    counted: torch.Tensor


class Folds:
    """The folds of a cross-validation, each with its own module.

    Parameters
    ----------
    start, setup, n_splits
        As in `fit_cross_validated`.
    """

    def __init__(self, start, setup, n_splits):
        # Imported here, as it would add a third to the package's import time.
        from sklearn.model_selection import KFold

        self.setup = setup
        rows = setup.rows
        splitter = KFold(n_splits, shuffle=True, random_state=setup.streams.seed)
        splits = [tuple(map(torch.as_tensor, split)) for split in splitter.split(rows)]
        modules = [start(Subset(rows, kept)) for kept, _ in splits]
        self.head = modules[0].decoder.head
        # The noise changes the bound only through the squared residuals, if at all.
        self.sets_noise = self.head.has_noise and setup.objective.is_expectation
        self.groups = _group(modules, *zip(*splits, strict=True), rows.device)
        sizes = [group.counted.sum(-1).reshape(-1) for group in self.groups]
        self.sizes = torch.cat(sizes).double()
        n_most = max(len(held_out) for _, held_out in splits)
        # The same draws in each fold.
        self.eps = fixed_draws(setup, n_most, modules[0].latent_dim, n_splits)

    def train(self):
        """Train the folds, one epoch each in turn; yield the mean terms of each epoch."""
        each = [
            train_epochs(
                group.module,
                self.setup.loss_terms(group.module, "fold draws", k),
                self.setup.rows,
                self.setup.plan,
                self.setup.streams.generator("fold order", k),
                indices=group.kept,
                on_step=self.setup.progress.on_step,
            )
            for k, group in enumerate(self.groups)
        ]
        for terms in zip(*each, strict=True):
            yield np.mean(terms, axis=0)

    def first_state(self):
        """Return a copy of the state of the first fold's module."""
        return member_state(self.groups[0].module, 0)

    def evaluate(self):
        """Evaluate all held-out rows, each with the module that was not trained on it."""
        sums = torch.cat([self._sums(group) for group in self.groups])
        terms, residuals = sums[:, :3].sum(0) / self.sizes.sum(), sums[:, 3:]
        if not self.sets_noise:
            return Evaluation(terms.tolist(), None)
        noise = held_out_noise(self.head, residuals, self.sizes)
        means = residuals.sum(0) / self.sizes.sum()
        reconstruction = float(self.head.expected_log_prob(means, noise))
        kl = float(terms[2])
        loss = self.setup.objective.beta * kl - reconstruction
        return Evaluation([loss, reconstruction, kl], noise)

    @torch.no_grad()
    def _sums(self, group):
        """Return sums over the held-out rows of each fold, in float64.

        They are those of the three terms and, if a noise is set from them, of the squared
        residuals: (n_folds, 3) or (n_folds, 3 + n_features).
        """
        module, rows = group.module.eval(), self.setup.rows
        eps = self.eps.unsqueeze(1) if module.n_batch_axes else self.eps
        evaluate = terms_and_residuals if self.sets_noise else row_terms
        sums = 0
        for part in batches((group.held_out.shape[-1], rows.shape[1])):
            x = rows[group.held_out[..., part]]
            with limit_threads(x.numel()):
                each = evaluate(self.setup.objective, module, x, eps[..., part, :])
                sums = sums + (each * group.counted[..., part, None]).double().sum(-2)
        return sums.reshape(-1, sums.shape[-1])


def _group(modules, kept, held_out, device):
    """Return one group of all folds if the modules can be batched, else one per fold."""
    if not all(module.can_batch for module in modules):
        return [
            _Group(module, *indices, torch.ones(len(indices[1]), device=device))
            for module, *indices in zip(modules, kept, held_out, strict=True)
        ]
    # Make the folds equally long: drop a training row, or repeat a held-out row.
    n_kept, n_held = min(map(len, kept)), max(map(len, held_out))
    places = torch.arange(n_held)
    return [
        _Group(
            batch_modules(modules),
            torch.stack([indices[:n_kept] for indices in kept]),
            torch.stack([indices[places.clamp(max=len(indices) - 1)] for indices in held_out]),
            torch.stack([places < len(indices) for indices in held_out]).float().to(device),
        )
    ]
