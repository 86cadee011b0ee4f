"""What the estimators share: parameters, validation, fitting, coding and pickling."""

import warnings
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names, check_is_fitted, validate_data

from skvae.components import resolve
from skvae.fitting import FEW_ROWS, Recipe, Stopping, epoch_printer, fit_all, fit_in_mode
from skvae.model import Fitted
from skvae.training import Plan, make_optimizer, on_cpu

_DTYPES = [np.float64, np.float32]

# Elements of the widest layer that one block of inference may hold.
_BLOCK_ELEMENTS = 2**22


class LatentTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base of the estimators. Not to be used directly.

    A subclass names its components in `_registries` and gives `_objective` and
    `_start`.
    """

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "network": [str, object],
        "likelihood": [str, object],
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
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Parameters that hold a component, with the names that stand for one.
    _registries: dict = {}

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
        X : array-like of shape (n_samples, n_features)
            Training rows.
        y : None
            Ignored.
        X_val : array-like of shape (n_val_samples, n_features), default=None
            Rows to validate on, in place of a part of `X`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter is out of range, if `X` holds NaN or infinity, leaves the
            likelihood's support or has too few rows. An earlier fit is then kept.
        """
        with self._all_or_nothing():
            self._validate_params()
            continues = self.warm_start and hasattr(self, "_fitted")
            X = self._validate(X, reset=not continues, training=True)
            if X_val is not None:
                X_val = self._validate(X_val, reset=False, training=True)
            self._fit(X, X_val, continues)
        return self

    def partial_fit(self, X, y=None):
        """Make one pass over the rows given, from the present state.

        The first call starts the model from its rows. The learning rate is constant at
        a third of `learning_rate_init`, the one-cycle schedule's mean.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows of one chunk.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._validate_params()
            first = not hasattr(self, "_fitted")
            X = self._validate(X, reset=first, training=True)
            self._partial_fit(X, first)
        return self

    def transform(self, X):
        """Encode the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, latent_dim)
            The mean of the posterior q(z|x), in the dtype of `X`.
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
        Z = check_array(X, dtype=_DTYPES, input_name="Z", estimator=self)
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but this {type(self).__name__} has "
                f"latent_dim={self._n_features_out}: pass codes as transform gives them."
            )
        return self._units.leave(self._by_blocks(self._decode, Z))

    # -- what a subclass gives -------------------------------------------------------

    def _objective(self):
        """Return the objective, ``(module, x, eps) -> Bound``."""
        raise NotImplementedError

    def _start(self, components, units):
        """Return the recipe's start, ``(rows, seed) -> module``."""
        raise NotImplementedError

    # -- validation ------------------------------------------------------------------

    def _validate(self, X, *, reset, training=False):
        """Validate rows: support is an error in training and clipped later."""
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype=_DTYPES,
            ensure_min_samples=2 if training and reset else 1,
        )
        if not training:
            return self._likelihood.clip(X)
        return X

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

    def _resolve_device(self):
        device = str(self.device)
        if device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind, _, number = device.partition(":")
        if kind not in ("cpu", "cuda") or not (number.isdigit() or number == ""):
            raise ValueError(
                f"Unknown device {device!r}. Use 'auto', 'cpu', 'cuda' or 'cuda:<number>'."
            )
        if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
            raise ValueError(
                f"device={device!r} was asked for, but torch finds "
                f"{torch.cuda.device_count()} CUDA devices. Use device='auto' or 'cpu', or "
                "install a CUDA build of torch."
            )
        return torch.device(device)

    # -- fitting ---------------------------------------------------------------------

    def _components(self):
        return {name: resolve(getattr(self, name), reg) for name, reg in self._registries.items()}

    def _prepare(self, X, continues, growing=False):
        """Return what a training needs; everything that can be refused is refused here."""
        device = self._resolve_device()
        components = self._components()
        likelihood = self._likelihood if continues else components["likelihood"]
        likelihood.check_support(X, getattr(self, "feature_names_in_", None))
        units = self._units if continues else likelihood.units(X)
        if growing and not continues:
            units = units.provisional()
        rows = torch.from_numpy(np.require(units.enter(X, np.float32), requirements=["C", "W"]))
        rows = rows.to(device)
        # Not check_random_state(None): that would draw from NumPy's global generator.
        rng = self.random_state
        if rng is None or isinstance(rng, Integral):
            rng = np.random.RandomState(rng)
        recipe = Recipe(
            start=self._start(components, units),
            objective=self._objective(),
            n_samples=self.n_samples,
            plan=self._plan(len(X)),
            rows=rows,
            seed=int(rng.randint(2**31 - 1)),
            report=epoch_printer(units.log_jacobian) if self.verbose else None,
        )
        return recipe, likelihood, units

    def _plan(self, n_rows):
        few = n_rows < FEW_ROWS
        size = (64 if few else 128) if self.batch_size == "auto" else self.batch_size
        size = min(size, n_rows)
        epochs = self.max_iter
        if epochs == "auto":
            steps = 800 if few else 6000
            epochs = int(np.clip(steps // -(-n_rows // size), 10, 200))
        return Plan(epochs, size, self.learning_rate_init, self.weight_decay)

    def _fit(self, X, X_val, continues):
        recipe, likelihood, units = self._prepare(X, continues)
        rows_val = None
        if X_val is not None:
            likelihood.check_support(X_val, getattr(self, "feature_names_in_", None))
            rows_val = torch.as_tensor(units.enter(X_val, np.float32)).to(recipe.rows.device)
        module = self._fitted.trainable_copy().to(recipe.rows.device) if continues else None
        stopping = Stopping(
            self.early_stopping, self.validation_fraction, self.n_iter_no_change, self.tol
        )
        outcome = fit_in_mode(recipe, stopping, rows_val, module)
        if recipe.plan.epochs > 0 and not outcome.converged:
            warnings.warn(
                f"{type(self).__name__} did {recipe.plan.epochs} epochs and the loss was still "
                "falling: training has not converged. Raise max_iter.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._store(recipe, likelihood, units, outcome, extend=continues)

    def _partial_fit(self, X, first):
        recipe, likelihood, units = self._prepare(X, continues=not first, growing=True)
        plan = replace(
            recipe.plan,
            epochs=1,
            learning_rate=self.learning_rate_init / 3,
            one_cycle=False,
        )
        recipe = replace(recipe, plan=plan)
        if first:
            module = recipe.start(recipe.rows, recipe.seed)
        else:
            module = self._fitted.trainable_copy().to(recipe.rows.device)
        optimizer = make_optimizer(module, plan)
        if getattr(self, "_optimizer_state", None) is not None:
            optimizer.load_state_dict(self._optimizer_state)
        outcome = fit_all(recipe, module, optimizer)
        self._store(recipe, likelihood, units, outcome, extend=not first)
        self._optimizer_state = on_cpu(optimizer.state_dict())

    def _store(self, recipe, likelihood, units, outcome, extend):
        """Set the fitted attributes, all at once and after everything that can fail."""
        shift = units.log_jacobian
        history = {name: np.asarray(values) for name, values in outcome.history.items()}
        for name, values in history.items():
            if name.endswith("loss"):
                history[name] = values - shift
            elif name.endswith("reconstruction"):
                history[name] = values + shift
        if extend:
            history = {
                name: np.concatenate([self.history_.get(name, []), values])
                for name, values in history.items()
            }
        self._likelihood, self._units = likelihood, units
        self._fitted = Fitted(outcome.module)
        self._optimizer_state = None
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

    # -- inference -------------------------------------------------------------------

    def _by_blocks(self, function, rows, width=None):
        """Apply a function of a tensor to blocks of rows, in their dtype.

        Memory stays bounded whatever the number of rows.
        """
        width = self.n_features_in_ if width is None else width
        block = max(1, _BLOCK_ELEMENTS // max(width, 1))
        with torch.inference_mode():
            parts = [
                function(self._tensor(rows[start : start + block])).cpu().numpy()
                for start in range(0, len(rows), block)
            ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _tensor(self, rows):
        # torch warns of arrays that it could write to, but must not.
        writeable = rows if rows.flags.writeable else rows.copy()
        return torch.from_numpy(np.ascontiguousarray(writeable)).to(self.device_)

    def _enter(self, x):
        """Map rows in a tensor into model units."""
        if self._units.is_identity:
            return x
        return torch.from_numpy(self._units.enter(x.cpu().numpy())).to(x.device)

    def _encode(self, x):
        return self._fitted(x.dtype).encoder(self._enter(x)).mean

    def _decode(self, z):
        return self._fitted(z.dtype).decoder(z).mean

    # -- scikit-learn's protocol -----------------------------------------------------

    @property
    def _n_features_out(self):
        return self._fitted.module.latent_dim

    def __setstate__(self, state):
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
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
