"""Choose the number of epochs by cross-validation."""

import os
from typing import NamedTuple

import numpy as np
import torch
from sklearn.model_selection import KFold

from skvae.recipe import Outcome, held_out_draws, held_out_terms, record, run_epochs
from skvae.training import train

_STANDARD_ERRORS = float(os.environ.get("SE", "1"))


def fit_cross_validated(recipe, n_splits):
    """Choose the epochs by cross-validation, then train on all rows.

    With few rows a single hold-out is too noisy a judge, and costs rows. Each fold is
    trained from its own start for all planned epochs. The number of epochs is the
    smallest within one standard error of the best (Breiman et al. 1984, section 3.4.3).
    The noise of a likelihood that learns one is then set from the held-out residuals:
    on the training rows it is estimated too small.
    """
    splitter = KFold(n_splits, shuffle=True, random_state=recipe.seed)
    folds = [Fold(recipe, *split, k) for k, split in enumerate(splitter.split(recipe.rows))]
    checks = [check_folds(folds)]
    checks += [check_folds(folds) for _ in zip(*(fold.epochs for fold in folds), strict=True)]
    epochs = first_good_epoch(torch.stack([check.terms[:, 0] for check in checks]).numpy())

    outcome = Outcome(recipe.start(recipe.rows, recipe.seed))
    outcome.stopped_early = epochs < recipe.plan.epochs
    outcome.best_score = -float(checks[epochs].terms[:, 0].mean())
    if epochs > 0:
        for done, _ in enumerate(run_epochs(recipe, outcome), start=1):
            record(outcome.history, checks[done].terms.mean(0), "validation_")
            recipe.report(outcome.history)
            if done == epochs:
                break
    if checks[epochs].noise is not None:
        outcome.module.decoder.head.set_noise(checks[epochs].noise.float())
    return outcome


def first_good_epoch(losses):
    """Return the first epoch whose loss is within one standard error of the best.

    Parameters
    ----------
    losses : ndarray of shape (n_epochs, n_rows)
        Lower is better.

    Returns
    -------
    int
    """
    excess = losses - losses[losses.mean(axis=1).argmin()]
    error = excess.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return int(np.argmax(excess.mean(axis=1) <= _STANDARD_ERRORS * error))


class Fold:
    """One fold of a cross-validation in training.

    Attributes
    ----------
    module : Module
    held_out : Tensor
        Rows that are judged.
    epochs : iterator
        Trains one epoch at each step.
    """

    def __init__(self, recipe, kept, held, number):
        rows = recipe.rows[torch.as_tensor(kept)]
        self.objective = recipe.objective
        self.held_out = recipe.rows[torch.as_tensor(held)]
        self.module = recipe.start(rows, recipe.seed)
        self.eps = held_out_draws(recipe, len(held), self.module.latent_dim)
        self.epochs = train(
            self.module,
            recipe.loss_terms(self.module, stream=10 + number),
            rows,
            recipe.plan,
            recipe.generator(100 + number),
        )


class Check(NamedTuple):
    """Terms of each held-out row (n, 3) and the noise they were judged under."""

    terms: torch.Tensor
    noise: torch.Tensor | None


@torch.no_grad()
def check_folds(folds):
    """Judge the held-out rows of all folds, each by the module that has not seen it."""
    terms = torch.cat(
        [held_out_terms(f.module, f.objective, f.held_out, f.eps) for f in folds]
    ).cpu()
    head = folds[0].module.decoder.head
    if not head.has_noise:
        return Check(terms, None)
    residuals = torch.cat([_squared_residuals(f) for f in folds])
    noise = residuals.mean(0)
    gain = head.expected_log_prob(residuals, noise).cpu() - terms[:, 1]
    terms += torch.stack([-gain, gain, torch.zeros_like(gain)], dim=1)
    return Check(terms, noise)


def _squared_residuals(fold):
    encoder, decoder = fold.module.encoder, fold.module.decoder
    z = encoder.head.reparameterize(encoder(fold.held_out), fold.eps)
    return decoder.head.moments(decoder(z), fold.held_out).mean(0)
