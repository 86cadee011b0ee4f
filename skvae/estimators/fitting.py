"""The training of an estimator."""

import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skvae.components import resolve
from skvae.data.kinds import NUMBER
from skvae.data.missing import check_has_values
from skvae.data.rows import open_rows
from skvae.data.tables import library_of_frame
from skvae.estimators.state import moments_from_arrays, moments_to_arrays
from skvae.estimators.validation import check_image_shape
from skvae.machine import resolve_device, training_dtype
from skvae.model.architecture import Architecture, initialize
from skvae.model.completion import Completion
from skvae.model.modules import FittedModule
from skvae.randomness import RandomStreams, random_generator
from skvae.training.diagnosis import (
    COLLAPSED,
    check_distance,
    convergence_warning,
    likely_cause,
    why_start_was_best,
)
from skvae.training.evaluation import mean_latent_kl
from skvae.training.progress import CallbackTasks, Progress, is_search_candidate
from skvae.training.result import TrainingDivergedError, in_data_units, join_histories
from skvae.training.setup import Plan, Setup, Stopping
from skvae.training.steps import make_optimizer

# From the warning through the decorators of `fit` to its caller.
_STACKLEVEL = 5
# A latent dimension with a smaller KL, in nats, counts as unused.
_COLLAPSED_KL = 0.01


class Training:
    """Prepare a training from an estimator, and turn its result into fitted attributes.

    Invalid input raises an error here, before any training.

    Parameters
    ----------
    estimator : LatentTransformer
        Its parameters are read; it is not changed.
    X : ndarray or CSR matrix of shape (n, n_features)
        Validated training rows.
    X_val : ndarray or CSR matrix of shape (n_val, n_features), default=None
        The caller's validation rows.
    table : array-like or frame, default=None
        The rows as the caller passed them, in which a likelihood may name columns.
    continues : bool, default=False
        Whether the training continues from the fitted model.
    one_pass : bool, default=False
        Whether it is a call of `partial_fit`: one epoch at a constant rate, and a feature
        that is constant in the rows of the first call may vary later.

    Attributes
    ----------
    setup : Setup
    stopping : Stopping or None
    rows_val : Tensor or StreamedRows or None
        The validation rows in model units.
    resumed : tuple of Module and Optimizer, or None
        Copies of those from which training continues.
    """

    def __init__(
        self, estimator, X, X_val=None, *, table=None, continues=False, one_pass=False
    ):
        self.estimator, self.continues = estimator, continues
        self.tables = {"X": X} if X_val is None else {"X_val": X_val, "X": X}
        self.feature_names = getattr(estimator, "feature_names_in_", None)
        device = resolve_device(estimator.device)
        self.dtype = training_dtype(estimator.precision, device)
        self.architecture = _architecture(estimator, X.shape[1])
        if continues:
            estimator._architecture.check_unchanged(self.architecture)
            likelihood = estimator._architecture.likelihood
        else:
            likelihood = self._likelihood(X, table)
        missing = [check_has_values(name, table) for name, table in self.tables.items()]
        self.architecture = replace(
            self.architecture,
            likelihood=likelihood,
            has_missing=any(missing) or (continues and estimator._architecture.has_missing),
        )
        X = likelihood.check_support(X, self.feature_names)
        self.units = estimator._units if continues else likelihood.units(X)
        if continues:
            check_distance(X, self.units, self.feature_names, "X")
        elif one_pass:
            self.units = self.units.provisional()
        # Densities in the units of the data are those in model units plus this.
        self.log_jacobian = float(np.mean(self.units.log_jacobian_of(X)))
        plan = Plan.for_rows(
            X.shape[0],
            estimator.batch_size,
            estimator.max_iter,
            estimator.learning_rate_init,
            estimator.weight_decay,
        )
        if one_pass:
            rate = estimator.learning_rate_init / 3
            plan = replace(plan, epochs=1, learning_rate=rate, one_cycle=False)
        self.setup = Setup(
            objective=estimator._objective(continues or one_pass),
            rows=open_rows(X, self.units, device, likelihood.support),
            plan=plan,
            streams=RandomStreams(
                seed=int(random_generator(estimator.random_state).randint(2**31 - 1)),
                epochs_before=estimator.n_iter_ if continues else 0,
            ),
            progress=Progress(self.log_jacobian if estimator.verbose else None),
        )
        self.rows_val = None if X_val is None else self._open_validation_rows(X_val)
        self.stopping = None if one_pass else self._stopping()
        self._check_warmup()
        self.resumed = self._resume() if continues else None

    def _likelihood(self, X, table):
        """Return the likelihood for the columns of the caller's table, encoded as `X`."""
        table = X if library_of_frame(table) is None else table
        likelihood = self.architecture.likelihood.resolve_columns(table, self.feature_names)
        likelihood = likelihood_for_columns(likelihood, self.estimator._encoding, X.shape[1])
        return likelihood.for_data(X, self.architecture.image_shape)

    def _open_validation_rows(self, X_val):
        likelihood = self.architecture.likelihood
        X_val = self.tables["X_val"] = likelihood.clip(X_val, "X_val")
        check_distance(X_val, self.units, self.feature_names, "X_val")
        return open_rows(X_val, self.units, self.setup.rows.device, likelihood.support)

    def _check_warmup(self):
        objective, epochs = self.setup.objective, self.setup.plan.epochs
        if 0 < epochs <= objective.kl_warmup and objective.beta > 0:
            message = (
                f"kl_warmup={objective.kl_warmup} lasts as long as the training or longer "
                f"(max_iter gives {epochs} epochs): the KL term does not reach its weight "
                "beta."
            )
            if self.stopping.mode != "all":
                message += (
                    " Early stopping only keeps a state from after the warm-up, and here "
                    "there is none: the model stays at its start."
                )
            warnings.warn(message, UserWarning, stacklevel=_STACKLEVEL + 1)

    def _stopping(self):
        estimator, setup = self.estimator, self.setup
        mode = Stopping.choose_mode(
            estimator.early_stopping,
            setup.rows.shape,
            setup.plan.epochs,
            self.rows_val is not None,
            self.continues,
        )
        return Stopping(
            mode, estimator.validation_fraction, estimator.n_iter_no_change, estimator.tol
        )

    def _resume(self):
        """Return a copy of the fitted module to continue training, and its optimiser."""
        module = self.estimator._fitted.trainable_copy()
        if self.architecture.has_missing and module.completion is None:
            module.completion = Completion.of_decoder(module)
        if self.architecture.posterior is None:
            # The noise may have been changed; the random stream continues.
            seed = self.setup.streams.seed_of("corruption")
            module.corruption = self.architecture.build_corruption(self.units, seed)
        module.set_training_dtype(self.dtype)
        module = module.to(self.setup.rows.device)
        optimizer = make_optimizer(module, self.setup.plan)
        optimizer.state.update(moments_from_arrays(module, self.estimator._moments))
        return module, optimizer

    def start(self, rows):
        """Return a module at the start of a training on these rows."""
        generator = torch.Generator().manual_seed(self.setup.streams.seed)
        module = self.architecture.build(self.units, generator)
        closed_form = self.estimator.init == "factor_analysis"
        initialize(module, self.architecture.likelihood, rows, self.units, closed_form)
        module.set_training_dtype(self.dtype)
        return module.to(rows.device)

    @property
    def n_tasks(self):
        """Number of subtasks of the fit for callbacks: two stages, or the epochs."""
        return 2 if self.stopping.mode == "cv" else self.setup.plan.epochs

    @contextmanager
    def reporting(self, context, arguments):
        """Call the callbacks and note Ctrl-C in the body; explain a divergence."""
        progress, estimator = self.setup.progress, self.estimator
        with progress.noting_ctrl_c():
            if is_search_candidate(context):
                # End the search: it must not compare an interrupted fit.
                progress.raise_on_ctrl_c()
            if hasattr(estimator, "_skl_callbacks"):
                progress.tasks = CallbackTasks(
                    context, arguments, self.fitted_attributes, self.log_jacobian
                )
            context.call_on_fit_task_begin(**arguments)
            with self.explaining_divergence():
                yield
            context.call_on_fit_task_end(**arguments, reconstruction_attributes={})

    @contextmanager
    def explaining_divergence(self):
        """Add the likely cause to the error of a training without a finite state."""
        try:
            yield
        except TrainingDivergedError as error:
            raise ValueError(f"{error} {self._likely_cause()}") from error

    def _likely_cause(self):
        likelihood, rate = self.architecture.likelihood, self.estimator.learning_rate_init
        X, names = self.tables["X"], self.feature_names
        return likely_cause(X, self.units, names, likelihood, rate)

    def fitted_attributes(self, result):
        """Return the attributes that the estimator has after a training."""
        shift, module = self.log_jacobian, result.module
        history = in_data_units(result.history, shift)
        if self.continues:
            history = join_histories(self.estimator.history_, history)
        best, noise = result.best_score, module.decoder.head.noise_variance()
        attributes = {
            "_architecture": self.architecture,
            "_units": self.units,
            "_fitted": FittedModule(module, self.units.n_features),
            "_moments": moments_to_arrays(result.optimizer),
            "likelihood_": self.architecture.likelihood,
            "device_": str(self.setup.rows.device),
            "history_": history,
            "n_iter_": len(history["loss"]),
            "loss_curve_": history["loss"].tolist(),
            "validation_scores_": (-history.get("validation_loss", np.zeros(0))).tolist(),
            "best_validation_score_": None if best is None else best + shift,
        }
        if noise is not None:
            attributes["noise_variance_"] = noise * self.units.scale**2
        if self.architecture.posterior is not None:
            attributes["latent_kl_"] = mean_latent_kl(module, self.setup.rows)
        return attributes

    def warn(self, result):
        """Warn if the user interrupted the training, or if it has not converged."""
        name, epochs = type(self.estimator).__name__, self.setup.plan.epochs
        if self.setup.progress.interrupted:
            warnings.warn(
                f"Training interrupted by user: {name} did {len(result.history['loss'])} of "
                f"{epochs} epochs, and the best state so far was kept.",
                UserWarning,
                stacklevel=_STACKLEVEL,
            )
        about_start = partial(
            why_start_was_best,
            self.tables,
            self.units,
            self.feature_names,
            self._likely_cause,
        )
        message = convergence_warning(name, result, epochs, self._likely_cause, about_start)
        if message is not None:
            warnings.warn(message, ConvergenceWarning, stacklevel=_STACKLEVEL)
        largest_kl = np.max(getattr(self.estimator, "latent_kl_", np.inf))
        if epochs > 0 and self.setup.objective.beta > 0 and largest_kl < _COLLAPSED_KL:
            warnings.warn(COLLAPSED.format(name), ConvergenceWarning, stacklevel=_STACKLEVEL)


def likelihood_for_columns(likelihood, encoding, n_features):
    """Return a likelihood for the columns of a table with this encoding, or of numbers."""
    if encoding is None:
        return likelihood.for_columns(
            [NUMBER] * n_features, [0] * n_features, range(n_features)
        )
    names = encoding.names or range(n_features)
    return likelihood.for_columns(encoding.kinds, encoding.n_levels, names)


def _architecture(estimator, n_features):
    """Return the Architecture that an estimator's parameters describe."""
    parts = {
        name: resolve(getattr(estimator, name), registry)
        for name, registry in estimator._registries.items()
    }
    names = ("noise", "corruption")
    return Architecture(
        latent_dim=int(estimator.latent_dim),
        image_shape=check_image_shape(estimator.image_shape, n_features),
        requested_likelihood=parts["likelihood"],
        **parts,
        **{name: getattr(estimator, name) for name in names if hasattr(estimator, name)},
    )
