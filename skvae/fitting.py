"""How long to train: by a hold-out, by cross-validation, or for all epochs.

The functions take a `Recipe`, which knows how to start a model and what its objective
is, and return an `Outcome`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.model_selection import KFold

from skvae.training import BestState, Plan, train

# Below this number of rows a tenth of them is too noisy a judge of the training.
FEW_ROWS = 1000
_N_SPLITS = 5
# Draws per held-out row: many for few rows, whose mean would be noisy.
_HELD_OUT_DRAWS = 1000
_MAX_DRAWS = 16
_EVALUATION_ROWS = 4096
_TERMS = ("loss", "reconstruction", "kl")


@dataclass(frozen=True)
class Recipe:
    """What is trained, and on what.

    Parameters
    ----------
    start : callable
        Maps training rows and a seed to a module at its start.
    objective : callable
        ``(module, x, eps) -> Bound``.
    n_samples : int
        Monte-Carlo draws per row and step.
    plan : Plan
    rows : Tensor of shape (n, n_features)
        In model units.
    seed : int
    report : callable or None
        Called after each epoch with the history so far.
    """

    start: Callable
    objective: Callable
    n_samples: int
    plan: Plan
    rows: torch.Tensor
    seed: int
    report: Callable | None = None

    def generator(self, stream):
        """Return a generator on the CPU for one of the recipe's random streams."""
        return torch.Generator().manual_seed(self.seed + stream)

    def loss_terms(self, module, stream):
        """Return the training loss as :func:`skvae.training.train` expects it."""
        device, latent_dim = self.rows.device, module.latent_dim
        generator = torch.Generator(device).manual_seed(self.seed + stream)

        def terms(x):
            eps = torch.randn(
                self.n_samples, len(x), latent_dim, generator=generator, device=device
            )
            bound = self.objective(module, x, eps)
            means = [part.mean() for part in bound]
            return torch.stack([-means[0], means[1], means[2]])

        return terms


@dataclass
class Outcome:
    """A trained module and how it came about.

    Attributes
    ----------
    module : Module
    history : dict of str to list of float
        ``loss``, ``reconstruction``, ``kl`` per epoch, and with held-out rows the same
        with the prefix ``validation_``; in model units.
    best_score : float or None
        Held-out bound of the state that was kept.
    n_stopped : bool
        Whether training ended before its planned epochs.
    optimizer : Optimizer or None
    """

    module: torch.nn.Module
    history: dict = field(default_factory=dict)
    best_score: float | None = None
    stopped_early: bool = False

    @property
    def converged(self):
        """Whether the last tenth of the epochs gave little of the whole improvement."""
        loss = self.history["loss"]
        if self.stopped_early or not loss:
            return True
        tail = max(1, len(loss) // 10)
        if len(loss) <= tail:
            return False
        return loss[-tail - 1] - loss[-1] <= 0.05 * (loss[0] - loss[-1])


def epoch_printer(log_jacobian):
    """Return a report that prints one line an epoch, in the units of the data."""

    def report(history):
        line = f"Epoch {len(history['loss'])}"
        for name in ("loss", "validation_loss"):
            if name in history:
                line += f", {name} = {history[name][-1] - log_jacobian:.4f}"
        print(line)

    return report


def record(history, terms, prefix=""):
    """Append one epoch's terms to a history."""
    for name, value in zip(_TERMS, terms, strict=True):
        history.setdefault(prefix + name, []).append(float(value))


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


def fit_in_mode(recipe, stopping, rows_val=None, module=None):
    """Train in the way that `stopping` asks for.

    Parameters
    ----------
    recipe : Recipe
    stopping : Stopping
    rows_val : Tensor, default=None
        The caller's own rows to validate on.
    module : Module, default=None
        One to continue from. Cross-validation would then judge rows that the module has
        seen, and all epochs are done instead.

    Returns
    -------
    Outcome
    """
    n_rows = len(recipe.rows)
    if recipe.plan.epochs == 0:
        return fit_all(recipe, module)
    if rows_val is not None:
        return fit_hold_out(recipe, torch.arange(n_rows), rows_val, stopping, module)
    mode = stopping.mode
    if mode == "auto":
        mode = "cv" if n_rows < FEW_ROWS else True
    if mode == "cv":
        if module is not None:
            return fit_all(recipe, module)
        return fit_cross_validated(recipe, min(_N_SPLITS, n_rows))
    if not mode:
        return fit_all(recipe, module)
    held = round(stopping.fraction * n_rows)
    if held < 1 or n_rows - held < 2:
        raise ValueError(
            f"validation_fraction={stopping.fraction} of {n_rows} rows leaves {held} to "
            f"validate on and {n_rows - held} to train on. Change validation_fraction, pass "
            "X_val, or set early_stopping='cv' or False."
        )
    order = torch.randperm(n_rows, generator=recipe.generator(4))
    kept, rows_val = order[held:].sort().values, recipe.rows[order[:held].to(recipe.rows.device)]
    return fit_hold_out(recipe, kept, rows_val, stopping, module)


def fit_all(recipe, module=None, optimizer=None):
    """Train on all rows for all planned epochs, from `module` where one is given."""
    outcome = Outcome(recipe.start(recipe.rows, recipe.seed) if module is None else module)
    outcome.history = {name: [] for name in _TERMS}
    _train(recipe, outcome, after_epoch=lambda: False, optimizer=optimizer)
    return outcome


def fit_hold_out(recipe, indices, rows_val, stopping, module=None):
    """Train on `indices`; keep the state that is best on the held-out rows.

    The start itself is a candidate. It is taken from all of the recipe's rows, the
    held-out part of them too: that favours it, on the safe side.
    """
    outcome = Outcome(recipe.start(recipe.rows, recipe.seed) if module is None else module)
    outcome.history = {name: [] for name in _TERMS}
    eps = held_out_draws(recipe, len(rows_val), outcome.module.latent_dim)
    best = BestState(outcome.module, stopping.patience, stopping.tol)

    def after_epoch():
        terms = evaluate(outcome.module, recipe.objective, rows_val, eps)
        record(outcome.history, terms, "validation_")
        outcome.stopped_early = best.update(-terms[0])
        return outcome.stopped_early

    best.update(-evaluate(outcome.module, recipe.objective, rows_val, eps)[0])
    _train(recipe, outcome, after_epoch, indices)
    best.restore()
    outcome.best_score = best.score
    return outcome


def fit_cross_validated(recipe, n_splits):
    """Choose the epochs by cross-validation, then train on all rows.

    With few rows a single hold-out is too noisy a judge, and costs rows. Each fold is
    trained from its own start for all planned epochs. The number of epochs is the
    smallest within one standard error of the best (Breiman et al. 1984, section 3.4.3).
    The noise of a likelihood that learns one is then set from the held-out residuals:
    on the training rows it is estimated too small.
    """
    folds = KFold(n_splits, shuffle=True, random_state=recipe.seed)
    curves = [
        _fold_curve(recipe, torch.as_tensor(kept), torch.as_tensor(held), number)
        for number, (kept, held) in enumerate(folds.split(recipe.rows))
    ]
    weights = torch.tensor([curve.n_rows for curve in curves], dtype=torch.float64)
    weights = weights / weights.sum()
    terms = torch.stack([curve.terms for curve in curves])  # fold, epoch, term
    variance = None
    if curves[0].moments is not None:
        moments = torch.stack([curve.moments for curve in curves])
        variance = torch.tensordot(weights, moments, 1)
        head = recipe.start(recipe.rows, recipe.seed).decoder.head.cpu()
        terms[:, :, 1] = head.expected_log_prob(moments, variance)
        terms[:, :, 0] = terms[:, :, 2] - terms[:, :, 1]
    epochs = one_standard_error(-terms[:, :, 0].numpy())
    pooled = torch.tensordot(weights, terms, 1)

    outcome = Outcome(recipe.start(recipe.rows, recipe.seed), {name: [] for name in _TERMS})
    outcome.stopped_early = epochs < recipe.plan.epochs
    outcome.best_score = float(-pooled[epochs, 0])
    if epochs > 0:

        def after_epoch():
            done = len(outcome.history["loss"])
            record(outcome.history, pooled[done].tolist(), "validation_")
            return done == epochs

        _train(recipe, outcome, after_epoch)
    if variance is not None:
        outcome.module.decoder.head.set_noise(variance[epochs].float())
    return outcome


def one_standard_error(scores):
    """Return the first epoch within one standard error of the best.

    Parameters
    ----------
    scores : ndarray of shape (n_folds, n_epochs)
        Higher is better.

    Returns
    -------
    int
    """
    best = scores.mean(axis=0).argmax()
    shortfall = scores[:, [best]] - scores
    error = shortfall.std(axis=0, ddof=1) / np.sqrt(len(scores))
    return int(np.argmax(shortfall.mean(axis=0) <= error))


def held_out_draws(recipe, n_rows, latent_dim):
    """Return fixed standard normal draws, so that epochs are compared on the same."""
    n_draws = int(np.clip(_HELD_OUT_DRAWS // n_rows, 1, _MAX_DRAWS))
    eps = torch.randn(n_draws, n_rows, latent_dim, generator=recipe.generator(1))
    return eps.to(recipe.rows.device)


@torch.no_grad()
def evaluate(module, objective, rows, eps):
    """Return the mean terms of the objective on held-out rows, a list of floats."""
    totals = torch.zeros(len(_TERMS), device=rows.device)
    for start in range(0, len(rows), _EVALUATION_ROWS):
        part = slice(start, start + _EVALUATION_ROWS)
        value, reconstruction, kl = objective(module, rows[part], eps[:, part])
        totals += torch.stack([-value.sum(), reconstruction.sum(), kl.sum()])
    return (totals / len(rows)).tolist()


@dataclass
class _FoldCurve:
    """One fold's held-out terms and residual moments, per epoch from the start on."""

    n_rows: int
    terms: torch.Tensor
    moments: torch.Tensor | None


def _fold_curve(recipe, kept, held, number):
    rows, rows_val = recipe.rows[kept], recipe.rows[held]
    module = recipe.start(rows, recipe.seed)
    eps = held_out_draws(recipe, len(held), module.latent_dim)
    terms, moments = [], []

    def check(_=None):
        terms.append(evaluate(module, recipe.objective, rows_val, eps))
        if module.decoder.head.has_noise:
            moments.append(_residual_moments(module, rows_val, eps))
        return False

    check()
    train(
        module,
        recipe.loss_terms(module, stream=10 + number),
        rows,
        recipe.plan,
        recipe.generator(100 + number),
        after_epoch=check,
    )
    return _FoldCurve(
        len(held),
        torch.tensor(terms, dtype=torch.float64),
        torch.stack(moments).double().cpu() if moments else None,
    )


@torch.no_grad()
def _residual_moments(module, rows, eps):
    z = module.encoder.head.reparameterize(module.encoder(rows), eps)
    return module.decoder.head.moments(module.decoder(z), rows).mean((0, 1))


def _train(recipe, outcome, after_epoch, indices=None, optimizer=None):
    """Train the outcome's module, recording its history."""

    def finish_epoch(terms):
        record(outcome.history, terms)
        stop = after_epoch()
        if recipe.report is not None:
            recipe.report(outcome.history)
        return stop

    train(
        outcome.module,
        recipe.loss_terms(outcome.module, stream=2),
        recipe.rows,
        recipe.plan,
        recipe.generator(3),
        indices=indices,
        optimizer=optimizer,
        after_epoch=finish_epoch,
    )
