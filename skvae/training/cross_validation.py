"""Choose the number of epochs by cross-validation."""

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from skvae.data.rows import Subset
from skvae.machine import limit_threads
from skvae.model.stack import Stack
from skvae.training.evaluation import held_out_draws, held_out_terms, squared_residuals
from skvae.training.loop import train
from skvae.training.recipe import Outcome, diverged, record, run_epochs

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

    An interruption must not cost another training. What is kept then is the first fold's
    module, which has seen the rows but for its held-out ones, in its best state, or the
    start where no epoch was better; the history is that of the folds.
    """
    with recipe.tasks.stage("cross-validation", recipe.plan.epochs):
        search = _cross_validate(recipe, n_splits)
    outcome = Outcome(recipe.start(recipe.rows, recipe.seed))
    start = copy.deepcopy(outcome.module.state_dict())
    if not recipe.interrupted() and _train_finally(recipe, search, outcome, start):
        return outcome
    return _first_fold(recipe, search, outcome.module, start)


def _train_finally(recipe, search, outcome, start):
    """Train on all rows for the best number of epochs; return False when interrupted."""
    checks, epochs = search.checks, search.best
    # At least one for the record, as held-out rows take some to reject a training.
    n_epochs = max(epochs, 1)
    with recipe.tasks.stage("final training", n_epochs):
        for done, _ in enumerate(run_epochs(recipe, outcome), start=1):
            record(outcome.history, checks[done].terms.mean(0), "validation_")
            outcome.noise = checks[done].noise
            if recipe.end_epoch(outcome) or done == n_epochs:
                break
    if done < n_epochs and recipe.interrupted():
        return False
    kept = min(outcome.n_kept, epochs)
    if kept == 0:
        outcome.module.load_state_dict(start)
        outcome.optimizer = None
    outcome.stopped_early = kept < recipe.plan.epochs
    outcome.best_score = -checks[kept].loss
    outcome.diverged |= search.lost
    if not np.isfinite(checks[kept].loss):
        raise diverged(recipe, checks[kept].loss)
    outcome.noise = checks[kept].noise
    outcome.set_noise(recipe)
    return True


def _first_fold(recipe, search, module, start):
    """Return the outcome of an interrupted training: what a fold has learned."""
    module.load_state_dict(search.state if search.best else start)
    kept = search.checks[search.best]
    if not np.isfinite(kept.loss):
        raise diverged(recipe, kept.loss)
    outcome = Outcome(
        module,
        search.history,
        best_score=-kept.loss,
        stopped_early=True,
        diverged=search.lost,
        n_kept=search.best,
        noise=kept.noise,
    )
    outcome.set_noise(recipe)
    return outcome


@dataclass
class Search:
    """What the folds have shown.

    Attributes
    ----------
    checks : list of Check
        After each number of epochs, from none on.
    history : dict of str to list of float
        Means over the folds, as an outcome has them.
    best : int
        The number of epochs with the least held-out loss.
    state : dict or None
        Of the first fold's module after these epochs, where it is not the start.
    lost : bool
        Whether a fold diverged: the epochs then end, since none can be chosen without it.
    """

    checks: list
    history: dict = field(default_factory=dict)
    best: int = 0
    state: dict | None = None
    lost: bool = False


def _cross_validate(recipe, n_splits):
    """Train and judge the folds; return the Search."""
    # Here, for it takes a third of the time that importing the package would.
    from sklearn.model_selection import KFold

    splitter = KFold(n_splits, shuffle=True, random_state=recipe.seed)
    n_most = -(-len(recipe.rows) // n_splits)
    folds = [Fold(recipe, *split, n_most) for split in splitter.split(recipe.rows)]
    stackable = all(fold.module.stackable for fold in folds)
    stack = Stack([fold.module for fold in folds]) if stackable else None
    epochs = train_folds(recipe, folds, stack)
    search = Search([check_folds(folds, stack)])
    # All planned epochs: the closed-form start is disturbed at first, and much of the gain
    # comes when the rate falls.
    for done in range(1, recipe.plan.epochs + 1):
        recipe.tasks.begin_epoch()
        terms = next(epochs)
        search.lost = not np.isfinite(terms[0])
        record(search.history, terms)
        check = check_folds(folds, stack)
        record(search.history, check.terms.mean(0), "validation_")
        better = check.loss < search.checks[search.best].loss
        search.checks.append(check)
        if better and (done > recipe.kl_warmup or recipe.interrupted()):
            state = folds[0].module.state_dict()
            search.best, search.state = done, {key: t.clone() for key, t in state.items()}
        if recipe.tasks.end_epoch() or recipe.interrupted() or search.lost:
            break
    return search


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
    eps : Tensor of shape (n_draws, n_most, latent_dim)
        Their draws.
    """

    def __init__(self, recipe, kept, held, n_most):
        self.recipe = recipe
        self.kept = torch.as_tensor(kept)
        self.held_out = recipe.rows[torch.as_tensor(held)]
        self.module = recipe.start(Subset(recipe.rows, self.kept), recipe.seed)
        # As many draws in each fold, though some hold out a row less.
        self.eps = held_out_draws(recipe, n_most, self.module.latent_dim)


def train_folds(recipe, folds, stack=None):
    """Train the folds' modules side by side; yield the mean terms of each epoch."""

    def on_step(done, n_steps):
        return recipe.interrupted()

    if stack is not None:
        # One row less in some of them: what is stacked has the same shape.
        n_rows = min(len(fold.kept) for fold in folds)
        terms = recipe.stacked_loss_terms(stack, stream=10)
        indices = torch.stack([fold.kept[:n_rows] for fold in folds])
        trained = train(
            stack,
            terms,
            recipe.rows,
            recipe.plan,
            recipe.generator(100),
            indices=indices,
            on_step=on_step,
        )
        yield from (np.divide(sums, len(folds)) for sums in trained)
    else:
        each = [
            train(
                fold.module,
                recipe.loss_terms(fold.module, stream=10 + k),
                recipe.rows,
                recipe.plan,
                recipe.generator(100 + k),
                indices=fold.kept,
                on_step=on_step,
            )
            for k, fold in enumerate(folds)
        ]
        yield from (np.mean(terms, axis=0) for terms in zip(*each, strict=True))


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

    def judge(module, rows, eps):
        terms = held_out_terms(recipe, module, rows, eps)
        return (terms, squared_residuals(module, rows, eps)) if head.has_noise else (terms,)

    judged = _on_each(judge, folds, stack)
    terms = torch.cat([one[0] for one in judged]).cpu()
    if not head.has_noise:
        return Check(terms, None)
    parts = [one[1].double().cpu() for one in judged]
    rows = torch.cat(parts)
    noise = held_out_noise(head, parts)
    reconstruction = head.expected_log_prob(rows, noise)
    kl = terms[:, 2]
    loss = recipe.beta * kl - reconstruction
    terms = torch.stack([loss, reconstruction, kl], dim=1)
    return Check(terms, noise)


def _on_each(function, folds, stack):
    """Return ``function(module, held_out, eps)`` of each fold, tuples of tensors by row."""
    if stack is None:
        return [
            function(fold.module.eval(), fold.held_out, fold.eps[:, : len(fold.held_out)])
            for fold in folds
        ]
    stack.eval()
    # What is stacked has the same shape: a fold with a row less than others has one twice.
    n_most = max(len(fold.held_out) for fold in folds)
    rows = torch.stack([fold.held_out[_up_to(n_most, fold)] for fold in folds])
    eps = torch.stack([fold.eps for fold in folds])
    with limit_threads(rows.numel()):
        mapped = stack.map(function, rows, eps)
    return [
        tuple(values[k, : len(fold.held_out)] for values in mapped)
        for k, fold in enumerate(folds)
    ]


def _up_to(n_rows, fold):
    """Return the indices of so many held-out rows, the last one again where they end."""
    return torch.arange(n_rows).clamp(max=len(fold.held_out) - 1)
