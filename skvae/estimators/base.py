"""Base class of the estimators: parameters, fitting, transforming and scikit-learn's API."""

from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skvae.data.rows import apply_in_blocks
from skvae.estimators.agreement import in_group
from skvae.estimators.export import ExportMixin
from skvae.estimators.fit_warnings import warn_of_result
from skvae.estimators.fitting import Training
from skvae.estimators.parameters import NestedParameters
from skvae.estimators.state import FittedState, restored_on_failure
from skvae.estimators.validation import (
    check_validation_rows,
    validate_codes,
    validate_rows,
)
from skvae.group import ALONE
from skvae.training.diagnosis import not_finite, warn_of_overflow
from skvae.training.fit import fit_model
from skvae.training.loop import training_mode


class LatentTransformer(
    NestedParameters,
    FittedState,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ExportMixin,
    BaseEstimator,
):
    """Base of the estimators. Not to be used directly."""

    # Whether rows may have missing values.
    _allow_missing = False

    # Of a frame, or an array with categories.
    _encoding = None

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "network": [str, object],
        "likelihood": [str, object],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "init": [StrOptions({"factor_analysis", "random"})],
        "image_shape": [None, "array-like"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "learning_rate_init": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean", StrOptions({"auto", "cv"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "tf32", "bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @restored_on_failure
    def fit(self, X, y=None, X_val=None, group=None):
        """Fit the model to the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows. Sparse ones are converted to CSR, tensors of torch to arrays.
            `VAETransformer` accepts NaN, and what a frame or masked array has in its place,
            as missing values.
        y : None
            Ignored.
        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features), default=None
            Validation rows, in place of a part of `X`. In a group those of all ranks count
            together; a rank without any passes a table of no rows.
        group : None, "world" or torch.distributed.ProcessGroup, default=None
            The processes that train one model, each on its own `X`: see :mod:`skvae.group`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, if `X` has infinity, values outside the
            likelihood's support, no values or too few rows, or (in an autoencoder) NaN, or if
            training diverges before there is a state to keep. An earlier fit is then kept.

        Warns
        -----
        UserWarning
            If Ctrl-C ended the training; the best state so far is kept.
        ConvergenceWarning
            If the training has not converged; if it diverged, in which case the best finite
            state is kept (without held-out rows the last); or if the posterior collapsed.

        Notes
        -----
        For callbacks (``set_callbacks``, see :mod:`sklearn.callback`) each epoch is a task;
        with ``early_stopping="cv"``, as "auto" is for small tables, the epochs are subtasks
        of "cross-validation" and then of "final training", that of the model on all rows. At
        the end of an epoch ``context.epoch_history`` has its values of `history_`, in
        "cross-validation" the means of the folds (examples in :mod:`skvae.callbacks`). The
        fitted estimator that a callback is given has the current state at the end of an
        epoch, and the state that is kept at the end of `fit`; in "cross-validation" it is
        None. A callback ends the training by returning True from ``on_fit_task_end``; if it
        raises an error, the training is lost, and an earlier fit is kept.
        `ScoringMonitor` needs a `y`, which is not used here. `partial_fit` calls no callbacks.

        Ctrl-C ends the training after the current step and keeps the best state on held-out
        rows, which may be the start, or without these the current state. In "cv" mode it is
        that of the first fold's model, and `history_` is that of the folds. A second Ctrl-C
        raises KeyboardInterrupt, and so does the first one in a candidate of a search, since
        an interrupted fit must not be compared; an earlier fit is then kept.

        Training is in float32. An array of another dtype is copied once. A float32 array
        whose rows are contiguous, a memory-mapped file (``np.load(path, mmap_mode="r")``) of
        float32 or float64 and a sparse matrix are read batch by batch, and are not copied
        once they are large. A file of integers is copied whole, as float64.
        """
        continues = bool(self.warm_start) and hasattr(self, "_fitted")
        with training_mode(self.precision), in_group(self, group, continues) as group:
            self._validate_params()
            rows = self._validate(X, reset=not continues, training=True, group=group)
            rows_val = None
            if X_val is not None:
                # In a group it is enough that one rank has some.
                least = 1 if group.size == 1 else 0
                rows_val = check_validation_rows(self, X_val, min_rows=least)
            training = Training(self, rows, rows_val, table=X, continues=continues, group=group)
            self._train(training, X, y)
        return self

    @restored_on_failure
    def partial_fit(self, X, y=None, group=None):
        """Make one pass over the given rows, from the current state.

        The first call initialises the model and sets the mean and scale of the features for
        all calls: its rows should be a random sample. The learning rate is constant, a third
        of `learning_rate_init` ("auto" is 5e-3 here), the mean of the one-cycle schedule, and
        the KL term has its full weight: `kl_warmup` is for `fit`. The optimiser's moments are
        kept between calls: with a `random_state`, a model that is pickled between two
        calls continues to exactly the same result as one that is not. Ctrl-C raises
        KeyboardInterrupt, and the state before the call is kept.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of one chunk.
        y : None
            Ignored.
        group : None, "world" or torch.distributed.ProcessGroup, default=None
            As in `fit`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        continues = hasattr(self, "_fitted")
        with training_mode(self.precision), in_group(self, group, continues) as group:
            self._validate_params()
            # Later chunks may have categories that the first one only declares.
            rows = self._validate(
                X, reset=not continues, training=True, keep_declared=True, group=group
            )
            training = Training(
                self, rows, table=X, continues=continues, one_pass=True, group=group
            )
            with training.explaining_divergence():
                result = fit_model(training.start, training.setup, resumed=training.resumed)
            self._set_fitted(training.fitted_attributes(result, group))
        return self

    def transform(self, X):
        """Encode the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, latent_dim)
            The mean of the posterior q(z|x), for an autoencoder the code itself; in the
            dtype of `X`.
        """
        check_is_fitted(self)
        return self._apply(lambda model, x: model.posterior(x).mean, self._validate(X))

    def inverse_transform(self, X):
        """Decode latent codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Latent codes, as returned by `transform`.

        Returns
        -------
        ndarray or frame of shape (n_samples, n_features)
            The mean of p(x|z), of coded categories the most likely, in the units of the data.
            If `fit` was given a pandas or polars frame, such a frame with its columns and
            dtypes (numbers are rounded for those of integers), else in the codes' dtype.
        """
        check_is_fitted(self)
        Z = validate_codes(self, X, self._n_features_out)
        means = self._apply(lambda model, z: model.decoded_rows(z), Z, units=None)
        return self._decode(means, are_means=True)

    def score(self, X, y=None):
        """Mean of `score_samples` over the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : None
            Ignored.

        Returns
        -------
        float
            Nats per row; higher is better.
        """
        return float(np.mean(self.score_samples(X), dtype=np.float64))

    # -- private parts -----------------------------------------------------------------

    @with_callbacks
    def _train(self, training, X, y=None):
        """Train, and set the fitted attributes; X is what callbacks are given."""
        context = self._init_callback_context(max_subtasks=training.n_tasks)
        # Callbacks get the original X, with its column names.
        with training.reporting(context, {"estimator": self, "X": X, "y": y}):
            result = fit_model(
                training.start,
                training.setup,
                training.stopping,
                training.rows_val,
                training.resumed,
            )
            self._set_fitted(training.fitted_attributes(result, training.group))
        warn_of_result(training, result)

    def _objective(self, epochs_before, one_pass):
        """Return the Objective of a training; that of one pass has no KL warm-up."""
        raise NotImplementedError

    def _validate(self, X, *, reset=False, training=False, keep_declared=False, group=ALONE):
        """Validate rows; if not for training, clip them to the likelihood's support."""
        least = 2 if training and reset else 1
        with group.joining():
            X = validate_rows(self, X, reset=reset, min_rows=least, keep_declared=keep_declared)
        return X if training else self._architecture.likelihood.clip(X)

    def _decode(self, U, are_means):
        """Return rows in model units, or means, as a table of the kind of `fit`."""
        rows = self._units.means_to_data(U) if are_means else self._units.to_data(U)
        return rows if self._encoding is None else self._encoding.decode(rows)

    def _apply(self, function, X, units="own", n_draws=1):
        """Apply ``function(module, rows)`` to blocks of rows in their own precision.

        Rows of X are in the units of the data; with ``units=None`` they are codes.
        """
        apply = partial(
            apply_in_blocks,
            lambda x: function(self._fitted(x.dtype), self._fitted.complete(x)),
            width=self._fitted.width * n_draws,
            device=self.device_,
            units=self._units if units == "own" else None,
        )
        with np.errstate(over="ignore", invalid="ignore"):
            out = apply(X)
            lost = not_finite(out)
            if lost.any():
                # float32 may overflow in intermediate results only.
                out[lost] = apply(X[lost].astype(np.float64))
        if lost.any() and not_finite(out).any():
            warn_of_overflow(X, not_finite(out))
        return out

    # -- scikit-learn's protocol ---------------------------------------------------------

    @property
    def _n_features_out(self):
        return self._fitted.module.latent_dim

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self._allow_missing
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
