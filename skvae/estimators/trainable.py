"""The training half of an estimator: from parameters and rows to fitted attributes."""

import copy
import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from numbers import Integral

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.exceptions import ConvergenceWarning

from skvae.components import random_generator, resolve
from skvae.data.rows import open_rows
from skvae.machine import resolve_device, training_dtype
from skvae.model.modules import Fitted, widest_layer
from skvae.training.diagnosis import (
    COLLAPSED,
    check_distance,
    concern,
    likely_cause,
    why_start_was_best,
)
from skvae.training.fit import Stopping, epoch_printer, fit_all, fit_in_mode, resolved_mode
from skvae.training.interrupts import Interrupt
from skvae.training.loop import Plan, make_optimizer, on_cpu, set_moments
from skvae.training.recipe import Recipe, join_histories
from skvae.training.tasks import CallbackTasks, is_one_of_many


class TrainableMixin:
    """Trains what a subclass describes. The rows that come here are validated.

    A subclass names its components in `_registries` and gives `_objective` and
    `_start`.
    """

    # Parameters that hold a component, with the names that stand for one.
    _registries: dict = {}

    def _objective(self, continues):
        """Return the recipe's objective and its weights, as keyword arguments."""
        raise NotImplementedError

    def _start(self, components, units, image_shape):
        """Return the recipe's start, ``(rows, seed) -> module``."""
        raise NotImplementedError

    @contextmanager
    def _all_or_nothing(self):
        """Put every attribute back when the body fails: an earlier fit stays usable."""
        before = vars(self).copy()
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _components(self):
        return {
            name: resolve(getattr(self, name), reg) for name, reg in self._registries.items()
        }

    def _image_shape(self, n_features):
        """Return (H, W, C) or None; refuse a shape that is not that of the rows."""
        if self.image_shape is None:
            return None
        shape = tuple(self.image_shape)
        whole = all(isinstance(side, Integral) and side > 0 for side in shape)
        if len(shape) not in (2, 3) or not whole or np.prod(shape) != n_features:
            raise ValueError(
                f"image_shape={self.image_shape!r} must be (H, W) or (H, W, C) with a product "
                f"equal to the {n_features} features of X."
            )
        shape = tuple(int(side) for side in shape)
        return (*shape, 1) if len(shape) == 2 else shape

    def _refuse_changes(self, architecture):
        """Raise ValueError when what is continued would be another model."""
        for name, value in architecture.items():
            if repr(value) != self._architecture[name]:
                raise ValueError(
                    f"The model was fitted with {name}={self._architecture[name]}; with "
                    f"{name}={value!r} it cannot be continued. Call fit with warm_start=False."
                )

    def _prepare(self, X, continues, growing=False):
        """Return what a training needs; everything that can be refused is refused here."""
        device = resolve_device(self.device)
        components = self._components()
        image_shape = self._image_shape(X.shape[1])
        architecture = {"latent_dim": int(self.latent_dim), **components}
        architecture["image_shape"] = image_shape
        names = getattr(self, "feature_names_in_", None)
        if continues:
            self._refuse_changes(architecture)
        self._architecture = {name: repr(value) for name, value in architecture.items()}
        likelihood = self._likelihood if continues else components["likelihood"]
        X = likelihood.check_support(X, names)
        units = self._units if continues else likelihood.units(X)
        if continues:
            check_distance(X, units, names, "X")
        if growing and not continues:
            units = units.provisional()
        recipe = Recipe(
            start=self._start(components, units, image_shape),
            plan=Plan.for_rows(
                X.shape[0],
                self.batch_size,
                self.max_iter,
                self.learning_rate_init,
                self.weight_decay,
            ),
            rows=open_rows(X, units, device, likelihood.support),
            seed=int(random_generator(self.random_state).randint(2**31 - 1)),
            epochs_before=self.n_iter_ if continues else 0,
            body_dtype=training_dtype(self.precision, device),
            advice=partial(likely_cause, X, units, names, likelihood, self.learning_rate_init),
            **self._objective(continues or growing),
        )
        if 0 < recipe.plan.epochs <= recipe.kl_warmup and recipe.beta > 0:
            warnings.warn(
                f"kl_warmup={recipe.kl_warmup} lasts as long as the training or longer "
                f"(max_iter gives {recipe.plan.epochs} epochs): the KL term does not reach its "
                "weight beta.",
                UserWarning,
                stacklevel=4,
            )
        if self.verbose:
            recipe = replace(recipe, report=epoch_printer(units.log_jacobian))
        return recipe, likelihood, units

    def _fit(self, X, X_val, continues, data):
        recipe, likelihood, units = self._prepare(X, continues)
        rows_val = None
        if X_val is not None:
            X_val = likelihood.clip(X_val, "X_val")
            check_distance(X_val, units, getattr(self, "feature_names_in_", None), "X_val")
            rows_val = open_rows(X_val, units, recipe.rows.device, likelihood.support)
        with Interrupt() as interrupt:
            recipe = replace(recipe, interrupted=lambda: interrupt.requested)
            outcome = self._train(
                recipe, likelihood, units, rows_val, continues, data, interrupt
            )
        if interrupt.requested:
            warnings.warn(
                f"Training interrupted by user: {type(self).__name__} did "
                f"{len(outcome.history['loss'])} of {recipe.plan.epochs} epochs, and the best "
                "state so far was kept.",
                UserWarning,
                stacklevel=3,
            )
        names = getattr(self, "feature_names_in_", None)
        tables = {"X": X} if X_val is None else {"X_val": X_val, "X": X}
        about_start = partial(why_start_was_best, tables, units, names, recipe.advice)
        told = concern(
            type(self).__name__, outcome, recipe.plan.epochs, recipe.advice, about_start
        )
        if told is not None:
            warnings.warn(told, ConvergenceWarning, stacklevel=3)
        if recipe.plan.epochs > 0 and recipe.beta > 0 and self._has_collapsed():
            warnings.warn(
                COLLAPSED.format(type(self).__name__), ConvergenceWarning, stacklevel=3
            )

    def _has_collapsed(self):
        """Whether no dimension of the codes carries information, where that can be told."""
        return False

    @with_callbacks
    def _train(self, recipe, likelihood, units, rows_val, continues, data, interrupt):
        """Train and set the fitted attributes, and tell the callbacks of it."""
        module, optimizer = self._resume(recipe, units) if continues else (None, None)
        stopping = Stopping(
            self.early_stopping, self.validation_fraction, self.n_iter_no_change, self.tol
        )
        mode = resolved_mode(recipe, stopping, rows_val, module)
        context = self._init_callback_context(
            max_subtasks=2 if mode == "cv" else recipe.plan.epochs
        )

        if is_one_of_many(context):
            # A search ends: it must not compare a fit that was cut short.
            interrupt.let_through()

        def snapshot(outcome):
            twin = copy.copy(self)
            outcome = replace(outcome, module=copy.deepcopy(outcome.module))
            outcome.set_noise(recipe)
            twin._store(recipe, likelihood, units, outcome, extend=continues)
            return vars(twin)

        if hasattr(self, "_skl_callbacks"):
            recipe = replace(recipe, tasks=CallbackTasks(self, context, data, snapshot))
        context.call_on_fit_task_begin(estimator=self, **data)
        outcome = fit_in_mode(recipe, stopping, rows_val, module, optimizer)
        self._store(recipe, likelihood, units, outcome, extend=continues)
        context.call_on_fit_task_end(estimator=self, **data, reconstruction_attributes={})
        return outcome

    def _partial_fit(self, X, first):
        recipe, likelihood, units = self._prepare(X, continues=not first, growing=True)
        plan = replace(
            recipe.plan,
            epochs=1,
            learning_rate=self.learning_rate_init / 3,
            one_cycle=False,
        )
        recipe = replace(recipe, plan=plan)
        module, optimizer = (None, None) if first else self._resume(recipe, units)
        outcome = fit_all(recipe, module, optimizer)
        self._store(recipe, likelihood, units, outcome, extend=not first)

    def _resume(self, recipe, units):
        """Return a copy of the fitted module that training continues, and its optimiser."""
        module = self._fitted.trainable_copy().to(recipe.rows.device)
        optimizer = make_optimizer(module, recipe.plan)
        set_moments(optimizer, self._moments)
        return module, optimizer

    def _store(self, recipe, likelihood, units, outcome, extend):
        """Set the fitted attributes, after everything that can fail."""
        shift = units.log_jacobian
        history = outcome.history_in_data_units(shift)
        if extend:
            history = join_histories(self.history_, history)
        self._likelihood, self._units = likelihood, units
        self._fitted = Fitted(outcome.module)
        self._width = widest_layer(outcome.module, recipe.rows.shape[1])
        optimizer = outcome.optimizer
        self._moments = {} if optimizer is None else on_cpu(optimizer.state_dict()["state"])
        self.device_ = str(recipe.rows.device)
        self.history_ = history
        self.n_iter_ = len(history["loss"])
        self.loss_curve_ = history["loss"].tolist()
        self.validation_scores_ = (-history.get("validation_loss", np.zeros(0))).tolist()
        best = outcome.best_score
        self.best_validation_score_ = None if best is None else best + shift
        noise = outcome.module.decoder.head.noise_variance()
        if noise is not None:
            self.noise_variance_ = noise * units.scale**2
        else:
            vars(self).pop("noise_variance_", None)
        self._store_more(recipe, outcome)

    def _store_more(self, recipe, outcome):
        """Set fitted attributes that only one estimator has."""
