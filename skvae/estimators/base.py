"""What the estimators share: parameters, validation, fitting, coding and pickling."""

import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_feature_names,
    _get_feature_names,
    check_is_fitted,
    validate_data,
)

from skvae.components import resolve
from skvae.data.columns import errors_name_columns
from skvae.data.rows import apply_in_blocks
from skvae.estimators.trainable import TrainableMixin
from skvae.estimators.versions import present_versions, warn_of_other_versions
from skvae.training.diagnosis import not_finite, warn_of_overflow
from skvae.training.loop import trainable_mode

_DTYPES = [np.float64, np.float32]


class LatentTransformer(
    TrainableMixin,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Base of the estimators. Not to be used directly."""

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "network": [str, object],
        "likelihood": [str, object],
        "image_shape": [None, "array-like"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
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

    def set_params(self, **params):
        """Set the parameters of this estimator.

        As in scikit-learn, and ``likelihood__noise`` or ``network__activation`` also
        work while the component is still given by its name.

        Parameters
        ----------
        **params : dict
            Estimator parameters.

        Returns
        -------
        self : object
            This estimator.
        """
        for name, registry in self._registries.items():
            value = params.get(name, getattr(self, name))
            nested = any(key.startswith(f"{name}__") for key in params)
            if nested and isinstance(value, str):
                params[name] = resolve(value, registry)
        # The component first: BaseEstimator reads its parameters before it sets them.
        whole = {name: params.pop(name) for name in self._registries if name in params}
        super().set_params(**whole)
        return super().set_params(**params)

    def fit(self, X, y=None, X_val=None):
        """Fit the model to the rows of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows. Sparse ones are converted to CSR.
        y : None
            Ignored.
        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features), default=None
            Rows to validate on, in place of a part of `X`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, if `X` holds NaN or infinity, leaves the
            likelihood's support or has too few rows, or if training diverges before there is
            a state to keep. An earlier fit is then kept.

        Warns
        -----
        UserWarning
            If Ctrl-C ended the training; the best state so far is kept.
        ConvergenceWarning
            If the loss had not settled; if the training diverged, in which case the best
            finite state is kept (without held-out rows the last); or if the posterior
            collapsed.

        Notes
        -----
        Callbacks (``set_callbacks``, see :mod:`sklearn.callback`) see each epoch as a task;
        in "cv" mode the epochs are subtasks of "cross-validation" and "final training". The
        fitted estimator that a callback is given at the end of an epoch has the state that
        the training has reached, at the end of `fit` that which is kept. A callback may end
        the training; when one fails, an earlier fit is kept. `ScoringMonitor` needs some
        `y`, though it is not used here. `partial_fit` calls no callbacks.

        Ctrl-C ends the training after the step under way and keeps the best state so far:
        without held-out rows the one reached, else the best on these, which may be the
        start. In "cv" mode it is that of the first fold's model, which needs no further
        training, and `history_` is that of the folds. A second Ctrl-C ends `fit` with
        KeyboardInterrupt, and so does the first in the candidates of a search, which must
        not compare a fit that was cut short; an earlier fit is then kept.

        Training is in float32. An array of another dtype is copied once. A float32 array
        whose rows are contiguous, a memory-mapped file (``np.load(path, mmap_mode="r")``)
        and a sparse matrix are read batch by batch, and are not copied once they are large.
        """
        with self._all_or_nothing(), trainable_mode(self.precision):
            self._validate_params()
            continues = self.warm_start and hasattr(self, "_fitted")
            rows = self._validate(X, reset=not continues, training=True)
            if X_val is not None:
                X_val = self._validate_held_out(X_val)
            # Callbacks get X as it came, with the names of its columns.
            self._fit(rows, X_val, continues, {"X": X, "y": y})
        return self

    def partial_fit(self, X, y=None):
        """Make one pass over the rows given, from the present state.

        The first call starts the model from its rows, and takes their mean and scale for
        good: let it be a fair sample, or shuffle a stream that drifts. The learning rate
        is constant at a third of `learning_rate_init`, the one-cycle schedule's mean. The
        optimiser's moments go on from call to call: with a `random_state`, a model that is
        pickled between two calls goes on to the same bits as one that is not. Ctrl-C ends
        the call with KeyboardInterrupt, and the state before it stays.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The rows of one chunk.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing(), trainable_mode(self.precision):
            self._validate_params()
            first = not hasattr(self, "_fitted")
            X = self._validate(X, reset=first, training=True)
            self._partial_fit(X, first)
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
        X = self._validate(X, reset=False)
        return self._by_blocks(self._encode, X)

    def inverse_transform(self, X):
        """Decode latent codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Latent codes, as `transform` gives them.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The mean of p(x|z), in the units of the data and the dtype of the codes.
        """
        check_is_fitted(self)
        with errors_name_columns(X, "Z"):
            Z = check_array(X, dtype=_DTYPES, input_name="Z", estimator=self)
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but this {type(self).__name__} has "
                f"latent_dim={self._n_features_out}: pass codes as transform gives them."
            )
        return self._units.to_data(self._by_blocks(self._decode, Z))

    # -- validation ------------------------------------------------------------------

    def _validate(self, X, *, reset, training=False):
        """Validate rows: support is an error in training and clipped later."""
        with errors_name_columns(X, "X"):
            X = validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr",
                dtype=_DTYPES,
                ensure_min_samples=2 if training and reset else 1,
            )
        if not training:
            return self._likelihood.clip(X)
        return X

    def _validate_held_out(self, X_val):
        """Validate the caller's validation rows; messages name them."""
        with errors_name_columns(X_val, "X_val"):
            shape = np.shape(X_val)
        if len(shape) != 2 or shape[0] == 0:
            raise ValueError(f"X_val must be a table of at least one row, got shape {shape}.")
        try:
            named = _get_feature_names(X_val) is not None
            if named == hasattr(self, "feature_names_in_"):
                _check_feature_names(self, X_val, reset=False)
            else:
                # scikit-learn's own warning would name X.
                warnings.warn(
                    f"{'X_val' if named else 'X'} has feature names, but "
                    f"{'X' if named else 'X_val'} has none: their order is not checked.",
                    UserWarning,
                    stacklevel=4,
                )
        except ValueError as error:
            raise ValueError(f"X_val has other columns than X. {error}") from error
        with errors_name_columns(X_val, "X_val"):
            X_val = check_array(
                X_val, accept_sparse="csr", dtype=_DTYPES, input_name="X_val", estimator=self
            )
        if X_val.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X_val has {X_val.shape[1]} features, but X has {self.n_features_in_}: pass "
                "validation rows with the same columns."
            )
        return X_val

    # -- inference -------------------------------------------------------------------

    def _by_blocks(self, function, rows, n_draws=1):
        """Apply a function of a tensor to blocks of rows on the model's device."""
        width = self._width * n_draws
        apply = partial(apply_in_blocks, function, width=width, device=self.device_)
        with np.errstate(over="ignore", invalid="ignore"):
            out = apply(rows)
            lost = not_finite(out)
            if lost.any():
                # Far from the training rows float32 may only be too short on the way.
                out[lost] = apply(rows[lost].astype(np.float64))
        if lost.any() and not_finite(out).any():
            warn_of_overflow(rows, not_finite(out))
        return out

    def _enter(self, x):
        """Map rows in a tensor into model units."""
        if self._units.is_identity:
            return x
        return torch.from_numpy(self._units.to_model(x.cpu().numpy())).to(x.device)

    def _encode(self, x):
        return self._fitted(x.dtype).encoder(self._enter(x)).mean

    def _decode(self, z):
        return self._fitted(z.dtype).decoder(z).mean

    # -- scikit-learn's protocol -----------------------------------------------------

    @property
    def _n_features_out(self):
        return self._fitted.module.latent_dim

    def __getstate__(self):
        return {**super().__getstate__(), "_versions": present_versions()}

    def __setstate__(self, state):
        state = dict(state)
        warn_of_other_versions(type(self).__name__, state.pop("_versions", {}))
        super().__setstate__(state)
        if "device_" in state:
            # A model fitted on CUDA also loads where there is none.
            lost = self.device_ != "cpu" and not torch.cuda.is_available()
            self.device_ = "cpu" if lost else self.device_
            self._fitted.module.to(self.device_)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_fitted")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
