"""Choose the number of epochs by cross-validation."""

import copy
from typing import NamedTuple

import numpy as np
import torch
from sklearn.model_selection import KFold

from skvae.recipe import (
    Outcome,
    diverged,
    held_out_draws,
    held_out_terms,
    record,
    run_epochs,
    squared_residuals,
)
from skvae.stack import Stack
from skvae.training import few_threads, train

# How far the features' noises may be drawn to their common mean: wholly with so few rows
# that they tell nothing of each, and with more of them in proportion less.
_SHARES = np.linspace(0, 1, 5)
_ROWS_DRAWN_WHOLLY = 15


def fit_cross_validated(recipe, n_splits):
    """Choose the epochs by cross-validation, then train on all rows.

    With few rows a single hold-out is too noisy a judge, and costs rows. Each fold is
    trained from its own start, and the number of epochs is the best for all held-out
    rows together. The noise of a likelihood that learns one is
    then set from the held-out residuals: on the training rows it is estimated too small.
    """
    with recipe.tasks.stage("cross-validation", recipe.plan.epochs):
        checks, epochs, lost = _cross_validate(recipe, n_splits)
    outcome = Outcome(recipe.start(recipe.rows, recipe.seed))
    start = copy.deepcopy(outcome.module.state_dict())
    # At least one for the record, as held-out rows take some to reject a training.
    n_epochs = max(epochs, 1)
    with recipe.tasks.stage("final training", n_epochs):
        for done, _ in enumerate(run_epochs(recipe, outcome), start=1):
            record(outcome.history, checks[done].terms.mean(0), "validation_")
            outcome.noise = checks[done].noise
            if recipe.end_epoch(outcome) or done == n_epochs:
                break
    kept = min(outcome.n_kept, epochs)
    if kept == 0:
        outcome.module.load_state_dict(start)
    outcome.stopped_early = kept < recipe.plan.epochs
    outcome.best_score = -checks[kept].loss
    outcome.diverged |= lost
    if not np.isfinite(checks[kept].loss):
        raise diverged(recipe, checks[kept].loss)
    outcome.noise = checks[kept].noise
    outcome.set_noise(recipe)
    return outcome


def _cross_validate(recipe, n_splits):
    """Return the check of the folds after each number of epochs, and the best number.

    And whether a fold was lost: the epochs then end, since none can be chosen without it.
    """
    splitter = KFold(n_splits, shuffle=True, random_state=recipe.seed)
    n_most = -(-len(recipe.rows) // n_splits)
    folds = [Fold(recipe, *split, n_most) for split in splitter.split(recipe.rows)]
    stackable = all(fold.module.stackable for fold in folds)
    stack = Stack([fold.module for fold in folds]) if stackable else None
    epochs = train_folds(recipe, folds, stack)
    checks = [check_folds(folds, stack)]
    # All planned epochs: the closed-form start is disturbed at first, and much of the gain
    # comes when the rate falls.
    best, lost = 0, False
    for done in range(1, recipe.plan.epochs + 1):
        recipe.tasks.begin_epoch()
        # Of a stack the loss is the sum over the folds.
        fold_terms = np.atleast_2d(next(epochs))
        lost = not np.isfinite(fold_terms[:, 0]).all()
        checks.append(check_folds(folds, stack))
        if checks[done].loss < checks[best].loss and done > recipe.kl_warmup:
            best = done
        if recipe.tasks.end_epoch() or lost:
            break
    return checks, best, lost


def held_out_noise(head, residuals):
    """Return the noise that held-out rows show, drawn together where that helps.

    With few rows one noise per feature is a rough estimate, and one for all may serve
    better. How far they are drawn together is judged on each fold under the residuals of
    the others.

    Parameters
    ----------
    head : LikelihoodHead
    residuals : list of Tensor of shape (n_fold_rows, n_features)
        Squared, in model units.

    Returns
    -------
    Tensor of shape (n_features,)
    """
    sums = torch.stack([part.sum(0) for part in residuals])
    sizes = torch.tensor([float(len(part)) for part in residuals]).to(sums)
    others = (sums.sum(0) - sums) / (sizes.sum() - sizes)[:, None]
    means = sums / sizes[:, None]

    def score(share):
        return float((sizes * head.expected_log_prob(means, head.shrink(others, share))).sum())

    shares = _SHARES * min(1.0, _ROWS_DRAWN_WHOLLY / float(sizes.sum()))
    return head.shrink(sums.sum(0) / sizes.sum(), max(shares, key=score))


class Fold:
    """One fold of a cross-validation.

    Attributes
    ----------
    module : Module
        At the start of the rows that are kept.
    kept : Tensor
        Indices of these rows.
    held_out : Tensor
        Rows that are judged; at most `n_most`.
    """

    def __init__(self, recipe, kept, held, n_most):
        self.recipe = recipe
        self.kept = torch.as_tensor(kept)
        self.held_out = recipe.rows[torch.as_tensor(held)]
        self.module = recipe.start(recipe.rows[self.kept], recipe.seed)
        # As many draws in each fold, though some hold out a row less.
        eps = held_out_draws(recipe, n_most, self.module.latent_dim)
        self.eps = eps[:, : len(held)]


def train_folds(recipe, folds, stack=None):
    """Train the folds' modules side by side, an epoch at each step of the iteration."""
    if stack is not None:
        # One row less in some of them: what is stacked has the same shape.
        n_rows = min(len(fold.kept) for fold in folds)
        terms = recipe.stacked_loss_terms(stack, stream=10)
        indices = torch.stack([fold.kept[:n_rows] for fold in folds])
        yield from train(
            stack, terms, recipe.rows, recipe.plan, recipe.generator(100), indices=indices
        )
    else:
        yield from zip(
            *(
                train(
                    fold.module,
                    recipe.loss_terms(fold.module, stream=10 + k),
                    recipe.rows,
                    recipe.plan,
                    recipe.generator(100 + k),
                    indices=fold.kept,
                )
                for k, fold in enumerate(folds)
            ),
            strict=True,
        )


class Check(NamedTuple):
    """Terms of each held-out row, (n, 3), and the noise per feature they are judged under."""

    terms: torch.Tensor
    noise: torch.Tensor | None

    @property
    def loss(self):
        """Mean over the rows, in nats."""
        return float(self.terms[:, 0].mean())


@torch.no_grad()
def check_folds(folds, stack=None):
    """Judge the held-out rows of all folds, each by the module that has not seen it.

    `stack` is that of the folds' modules, where there is one.
    """
    recipe, head = folds[0].recipe, folds[0].module.decoder.head

    def terms_of(module, rows, eps):
        return held_out_terms(recipe, module, rows, eps)

    terms = torch.cat(_on_each(terms_of, folds, stack)).cpu()
    if not head.has_noise:
        return Check(terms, None)
    parts = [part.double().cpu() for part in _on_each(squared_residuals, folds, stack)]
    rows = torch.cat(parts)
    noise = held_out_noise(head, parts)
    reconstruction = head.expected_log_prob(rows, noise)
    kl = terms[:, 2]
    loss = recipe.beta * kl - reconstruction
    terms = torch.stack([loss, reconstruction, kl], dim=1)
    return Check(terms, noise)


def _on_each(function, folds, stack):
    """Return ``function(module, held_out, eps)`` of each fold, a list of tensors."""
    for fold in folds:
        fold.module.eval()
    if stack is None:
        return [function(fold.module, fold.held_out, fold.eps) for fold in folds]
    # Folds differ by at most one row, and what is stacked has the same shape.
    n_rows = min(len(fold.held_out) for fold in folds)
    rows = torch.stack([fold.held_out[:n_rows] for fold in folds])
    eps = torch.stack([fold.eps[:, :n_rows] for fold in folds])
    with few_threads(rows.numel()):
        parts = list(stack.map(function, rows, eps))
    for k, fold in enumerate(folds):
        if len(fold.held_out) > n_rows:
            last = function(fold.module, fold.held_out[n_rows:], fold.eps[:, n_rows:])
            parts[k] = torch.cat([parts[k], last])
    return parts
