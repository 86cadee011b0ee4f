"""What is trained, how its epochs go by, and what comes of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from skvae.data.rows import StreamedRows, batches
from skvae.model.modules import widest_layer
from skvae.training.evaluation import held_out_draws, mean_terms, squared_residuals
from skvae.training.loop import LastStates, Plan, make_optimizer, train
from skvae.training.tasks import Tasks

_TERMS = ("loss", "reconstruction", "kl")


@dataclass(frozen=True)
class Recipe:
    """What is trained, and on what.

    Parameters
    ----------
    start : callable
        Maps training rows and a seed to a module at its start.
    objective : callable
        As in :mod:`skvae.model.objectives`.
    n_samples : int
        Monte-Carlo draws per row and step.
    beta : float
        Weight of the KL term.
    kl_warmup : int
        Epochs in which that weight rises from 0.
    body_dtype : torch.dtype, default=None
        Of the networks' products in training; None is float32.
    plan : Plan
    rows : Tensor or StreamedRows of shape (n, n_features)
        In model units.
    seed : int
    epochs_before : int
        Epochs that the module has behind it: what continues must not meet the draws of
        its first epochs again.
    report : callable
        Called after each epoch with the history so far.
    tasks : Tasks
        Is told of each epoch, too, and may end the training.
    interrupted : callable
        Whether the user has asked to stop. It is asked after each step.
    advice : callable
        Returns what may have made the training diverge, in words.
    """

    start: Callable
    objective: Callable
    n_samples: int
    plan: Plan
    rows: torch.Tensor | StreamedRows
    seed: int
    epochs_before: int = 0
    beta: float = 1.0
    kl_warmup: int = 0
    body_dtype: torch.dtype | None = None
    report: Callable = lambda history: None
    tasks: Tasks = field(default_factory=Tasks)
    advice: Callable = lambda: "Lower learning_rate_init."
    interrupted: Callable = lambda: False

    def on_step(self, done, n_steps):
        """Tell of a step of what is kept; return whether to end the epoch there."""
        told = self.tasks.on_step
        return (told is not None and told(done, n_steps)) or self.interrupted()

    def end_epoch(self, outcome):
        """Tell of an epoch that is over; return whether to stop there."""
        self.report(outcome.history)
        return self.tasks.end_epoch(outcome) or self.interrupted()

    def generator(self, stream):
        """Return a generator on the CPU for one of the recipe's random streams."""
        return torch.Generator().manual_seed(self.stream_seed(stream))

    def stream_seed(self, stream):
        """Return the seed of one of the recipe's random streams."""
        sequence = np.random.SeedSequence((self.seed, self.epochs_before, stream))
        return int(sequence.generate_state(1, np.uint64)[0] >> 1)

    def loss_terms(self, module, stream):
        """Return the training loss as :func:`skvae.training.loop.train` expects it."""
        module.train_in(self.body_dtype)
        return self._terms(
            lambda *args: self._mean_terms(module, *args), module.latent_dim, stream
        )

    def stacked_loss_terms(self, stack, stream):
        """Return the same for a :class:`skvae.model.stack.Stack`: the sums over its members."""
        stack.members[0].train_in(self.body_dtype)

        def terms(x, eps, beta):
            return stack.map(lambda *args: self._mean_terms(*args, beta), x, eps).sum(0)

        return self._terms(terms, stack.members[0].latent_dim, stream)

    def _terms(self, function, latent_dim, stream):
        device = self.rows.device
        generator = torch.Generator(device).manual_seed(self.stream_seed(stream))

        def terms(x, epoch):
            shape = (*x.shape[:-2], self.n_samples, x.shape[-2], latent_dim)
            eps = torch.randn(shape, generator=generator, device=device, dtype=torch.float32)
            beta = self.beta * min(1.0, epoch / self.kl_warmup if self.kl_warmup else 1.0)
            return function(x, eps, beta)

        return terms

    def _mean_terms(self, module, x, eps, beta):
        """Return loss, reconstruction and KL of one batch, (3,)."""
        bound = self.objective(module, x, eps, self.n_samples, beta)
        # What is only reported is detached: it would be differentiated, to zero.
        reported = [part.detach().mean() for part in bound[1:]]
        return torch.stack([-bound.value.mean(), *reported])


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
    stopped_early : bool
        Whether training ended before its planned epochs.
    worsened : bool
        Whether it ended far above the loss of its start.
    kept_start : bool
        Whether held-out rows found no epoch better than the start, and the last far worse.
    diverged : bool
        Whether it ended because a loss or a gradient was not finite.
    n_kept : int
        Epochs that the module has behind it: after a divergence fewer than the history has.
    noise : Tensor or None
        Noise per feature that held-out rows show, to be set when the training is over.
    optimizer : Optimizer or None
        The module's, with the moments that a further training goes on from.
    """

    module: torch.nn.Module
    history: dict = field(default_factory=lambda: {name: [] for name in _TERMS})
    best_score: float | None = None
    stopped_early: bool = False
    worsened: bool = False
    kept_start: bool = False
    diverged: bool = False
    n_kept: int = 0
    noise: torch.Tensor | None = None
    optimizer: torch.optim.Optimizer | None = None

    @torch.no_grad()
    def set_noise(self, recipe):
        """Give the module the noise that held-out rows show, where they do.

        That of the rows it was trained on bounds it: this training may lag behind those
        that left rows out.
        """
        if self.noise is None:
            return
        module, rows = self.module.eval(), recipe.rows
        eps = held_out_draws(recipe, len(rows), module.latent_dim)
        own = sum(
            squared_residuals(module, rows[part], eps[:, part]).mean(0).double().cpu()
            * ((part.stop - part.start) / len(rows))
            for part in batches(rows)
        )
        module.decoder.head.set_noise(torch.maximum(self.noise, own).float())

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


def diverged(recipe, loss):
    """Return the error of a training that left nothing to keep."""
    return ValueError(
        f"Training diverged: the loss is {loss}, and there is no finite state to keep. "
        f"{recipe.advice()}"
    )


def join_histories(first, second):
    """Return one history after the other; where one has no such term it is NaN."""
    names = {**first, **second}
    gap = {key: np.full(len(part["loss"]), np.nan) for key, part in ((0, first), (1, second))}
    return {
        name: np.concatenate([first.get(name, gap[0]), second.get(name, gap[1])])
        for name in names
    }


def record(history, terms, prefix=""):
    """Append one epoch's terms to a history."""
    for name, value in zip(_TERMS, terms, strict=True):
        history.setdefault(prefix + name, []).append(float(value))


def run_epochs(recipe, outcome, indices=None):
    """Train the outcome's module, recording its history; iterate over the epochs.

    An epoch with a loss or a gradient that is not finite is the last one. The module then
    gets back the state before it.
    """
    if outcome.optimizer is None:
        outcome.optimizer = make_optimizer(outcome.module, recipe.plan)
    epochs = train(
        outcome.module,
        recipe.loss_terms(outcome.module, stream=2),
        recipe.rows,
        recipe.plan,
        recipe.generator(3),
        width=widest_layer(outcome.module, recipe.rows.shape[1]),
        indices=indices,
        optimizer=outcome.optimizer,
        on_step=recipe.on_step,
    )
    last = LastStates(outcome.module)
    for done in range(1, recipe.plan.epochs + 1):
        recipe.tasks.begin_epoch(outcome)
        terms = next(epochs)
        record(outcome.history, terms)
        outcome.diverged = not math.isfinite(terms[0])
        if outcome.diverged:
            # Its moments are not finite either.
            outcome.stopped_early, outcome.optimizer = True, None
            outcome.n_kept = _go_back(recipe, outcome.module, last, done - 1)
            yield
            return
        last.update()
        outcome.n_kept = done
        yield


def _go_back(recipe, module, last, n_epochs):
    """Restore the last state with a finite loss; return its epochs, 0 where there is none.

    What an epoch ends with no loss has been taken of: its last step may have been too far.
    """
    eps = held_out_draws(recipe, len(recipe.rows), module.latent_dim)
    for n_back, _ in enumerate(last.restore()):
        if math.isfinite(mean_terms(recipe, module, recipe.rows, eps)[0]):
            return max(n_epochs - n_back, 0)
    return 0
