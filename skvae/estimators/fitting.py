"""The training of an estimator."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from skvae.components import resolve
from skvae.data.chunks import map_parts, parts_of
from skvae.data.missing import check_has_values
from skvae.data.rows import open_rows
from skvae.data.tables import library_of_frame
from skvae.estimators.agreement import (
    check_agreement,
    check_not_in,
    check_same_result,
    stopping_in,
)
from skvae.estimators.fit_warnings import warn_of_empty_columns, warn_of_warmup
from skvae.estimators.state import moments_from_arrays, moments_to_arrays
from skvae.estimators.validation import check_image_shape, likelihood_for_columns
from skvae.group import ALONE
from skvae.machine import resolve_device, training_dtype
from skvae.model.architecture import Architecture, initialize
from skvae.model.completion import Completion
from skvae.model.modules import FittedModule
from skvae.randomness import RandomStreams, random_generator
from skvae.training.diagnosis import check_distance, likely_cause, warn_of_distance
from skvae.training.evaluation import mean_latent_kl
from skvae.training.progress import CallbackTasks, is_search_candidate, progress_of
from skvae.training.result import (
    LogJacobians,
    TrainingDivergedError,
    in_data_units,
    join_histories,
)
from skvae.training.setup import RATE, Plan, Setup, Stopping
from skvae.training.steps import make_optimizer


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
    group : Group, default=ALONE
        The ranks that train together, each on its own rows.

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
        self,
        estimator,
        X,
        X_val=None,
        *,
        table=None,
        continues=False,
        one_pass=False,
        group=ALONE,
    ):
        self.estimator, self.continues, self.group = estimator, continues, group
        # A rank of a group may have no validation rows.
        has_own = X_val is not None and X_val.shape[0] > 0
        self.tables = {"X_val": X_val, "X": X} if has_own else {"X": X}
        self.feature_names = getattr(estimator, "feature_names_in_", None)
        device = resolve_device(group.own_device(estimator.device))
        check_agreement(
            group,
            estimator,
            continues,
            **{
                "another method": "partial_fit" if one_pass else "fit",
                "another use of X_val": X_val is not None,
                "another kind of device": device.type,
            },
        )
        self.dtype = training_dtype(estimator.precision, device)
        self.architecture = _architecture(estimator, X.shape[1])
        if continues:
            estimator._architecture.check_unchanged(self.architecture)
            likelihood = estimator._architecture.likelihood
        else:
            likelihood = group.of_main(self._likelihood(X, table))
        missing = [check_has_values(name, table) for name, table in self.tables.items()]
        self.architecture = replace(
            self.architecture,
            likelihood=likelihood,
            has_missing=group.agree(any(missing))
            or (continues and estimator._architecture.has_missing),
        )
        X = likelihood.check_support(X, self.feature_names)
        self.units = estimator._units if continues else self._units(X)
        if continues:
            distance = check_distance(X, self.units, self.feature_names, "X")
            warn_of_distance(X, distance, self.units, self.feature_names)
        else:
            warn_of_empty_columns(self, X, one_pass)
            self.units = self.units.provisional() if one_pass else self.units
        X_val = None if X_val is None else self._clip_validation_rows(X_val)
        self.log_jacobians = self._log_jacobians(X, X_val)
        _, n_rows = group.place(X.shape[0])
        plan = Plan.for_rows(
            n_rows,
            estimator.batch_size,
            estimator.max_iter,
            estimator.learning_rate_init,
            estimator.weight_decay,
            self.architecture.network.auto_batch_size,
        )
        if one_pass and estimator.learning_rate_init == "auto":
            # Many chunks may follow, however few rows this one has.
            plan = replace(plan, learning_rate=RATE)
        self._peak_rate = plan.learning_rate
        if one_pass:
            rate = self._peak_rate / 3
            plan = replace(plan, epochs=1, learning_rate=rate, one_cycle=False)
        epochs_before = estimator.n_iter_ if continues else 0
        self.setup = Setup(
            objective=estimator._objective(epochs_before, one_pass),
            rows=open_rows(X, self.units, device, likelihood.support),
            plan=plan,
            streams=RandomStreams(
                seed=group.of_main(
                    int(random_generator(estimator.random_state).randint(2**31 - 1))
                ),
                epochs_before=epochs_before,
                rank=group.rank,
            ),
            progress=progress_of(group, self.log_jacobians if estimator.verbose else None),
            group=group,
        )
        self.rows_val = (
            None if X_val is None else open_rows(X_val, self.units, device, likelihood.support)
        )
        self.stopping = None if one_pass else self._stopping(n_rows)
        warn_of_warmup(self)
        self.resumed = self._resume() if continues else None

    def _likelihood(self, X, table):
        """Return the likelihood for the columns of the caller's table, encoded as `X`."""
        # Of chunks the first has the columns of all.
        table, rows = parts_of(table)[0], parts_of(X)[0]
        table = rows if library_of_frame(table) is None else table
        likelihood = self.architecture.likelihood.resolve_columns(table, self.feature_names)
        likelihood = likelihood_for_columns(likelihood, self.estimator._encoding, X.shape[1])
        with self.group.joining():
            return likelihood.for_data(X, self.architecture.image_shape)

    def _units(self, X):
        """Return the units of the rows of all ranks."""
        with self.group.joining():
            units = self.architecture.likelihood.units(X)
        # A likelihood of the user's may look at the rows of one rank only.
        return self.group.of_main(units)

    def _clip_validation_rows(self, X_val):
        likelihood = self.architecture.likelihood
        _, n_rows = self.group.place(X_val.shape[0])
        if n_rows == 0:
            raise ValueError("X_val must have at least one row on one of the ranks.")
        X_val = map_parts(lambda part: likelihood.clip(part, "X_val"), X_val)
        if X_val.shape[0] > 0:
            self.tables["X_val"] = X_val
        check_distance(X_val, self.units, self.feature_names, "X_val")
        return X_val

    def _log_jacobians(self, X, X_val):
        """Return the means over the rows of all ranks; rows held out of X count with all."""
        means = []
        for rows in (X,) if X_val is None else (X, X_val):
            own = self.units.log_jacobian_of(rows) if rows.shape[0] else 0.0
            means.append(self.group.average(float(np.mean(own)), rows.shape[0]))
        return LogJacobians(means[0], means[-1])

    def _stopping(self, n_rows):
        estimator, setup = self.estimator, self.setup
        mode = Stopping.choose_mode(
            stopping_in(self.group, estimator.early_stopping),
            (n_rows, setup.rows.shape[1]),
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
        with self.group.joining():
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
                check_not_in(self.group)
                # End the search: it must not compare an interrupted fit.
                progress.raise_on_ctrl_c()
            if hasattr(estimator, "_skl_callbacks"):
                progress.tasks = CallbackTasks(
                    context, arguments, self.fitted_attributes, self.log_jacobians
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
            raise ValueError(f"{error} {self.likely_cause()}") from error

    def likely_cause(self):
        """Return the likely cause of a divergence, and what to do."""
        X, likelihood = self.tables["X"], self.architecture.likelihood
        return likely_cause(X, self.units, self.feature_names, likelihood, self._peak_rate)

    def fitted_attributes(self, result, group=ALONE):
        """Return the attributes that the estimator has after a training.

        Without a group nothing is exchanged: a snapshot for a callback is of one rank.
        """
        module = result.module
        history = in_data_units(result.history, self.log_jacobians)
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
            "best_validation_score_": (
                None if best is None else best + self.log_jacobians.validation
            ),
        }
        if noise is not None:
            attributes["noise_variance_"] = noise * self.units.scale**2
        if self.architecture.posterior is not None:
            attributes["latent_kl_"] = mean_latent_kl(module, self.setup.rows, group)
        check_same_result(group, attributes)
        return attributes


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
