"""Imputation of missing values as a scikit-learn transformer."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval, MissingValues, StrOptions
from sklearn.utils.validation import (
    _check_categorical_features,
    _check_feature_names_in,
    check_is_fitted,
)

from skvae.callers import stacklevel_of_user
from skvae.data.columns import shortened
from skvae.data.frames import append_columns, fill_missing
from skvae.data.inputs import as_table
from skvae.data.missing import masked_as_nan
from skvae.estimators.imputer_rows import (
    as_nan,
    counts_as_missing,
    has_other_kinds,
    is_nan,
    read_rows,
)
from skvae.estimators.latent_dim import choose_latent_dim
from skvae.estimators.parameters import NestedParameters
from skvae.estimators.state import restored_on_failure
from skvae.estimators.vae import VAETransformer, vae_with_parameters_of


class VAEImputer(NestedParameters, TransformerMixin, BaseEstimator):
    """Fill missing values by a variational autoencoder.

    A :class:`VAETransformer` is trained on the values that are there. Missing ones are filled
    with their conditional mean given the others of the row, or with a draw. Frames may have
    columns of categories and flags, whose gaps are filled with the most likely value or a draw.

    Parameters
    ----------
    latent_dim : int or "auto", default="auto"
        Dimensions of the latent space. "auto" hides a fifth of the values and takes the
        number with which a factor analysis predicts them best.
    missing_values : int, float, str, np.nan, None or pandas.NA, default=np.nan
        The placeholder of missing values.
    sample_posterior : bool, default=False
        Whether to fill in draws and not conditional means, for multiple imputation.
    add_indicator : bool, default=False
        Whether to append indicators of the missing values, as
        :class:`~sklearn.impute.MissingIndicator` gives them.
    keep_empty_features : bool, default=False
        Whether to keep features without any value in `fit`, filled with 0. Else they are
        dropped, with a warning.
    network, likelihood, categorical_features, posterior, objective, n_samples, beta, \
kl_warmup, init, image_shape, batch_size, max_iter, learning_rate_init, weight_decay, \
early_stopping, validation_fraction, n_iter_no_change, tol, device, precision, verbose
        As in :class:`VAETransformer`.
    random_state : int, RandomState instance or None, default=None
        Seeds the training, and the draws of `transform` if `sample_posterior` is True. With an
        integer each call gives the same draws; with a RandomState instance or None each gives
        new ones, for multiple imputation.

    Attributes
    ----------
    vae_ : VAETransformer
        The fitted model, of the features that are kept.
    n_iter_ : int
        Epochs of the model's training.
    indicator_ : MissingIndicator or None
        Fitted if `add_indicator` is True.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if all are strings.

    See Also
    --------
    VAETransformer.impute : The same of a fitted model; keeps frames as they are.
    sklearn.impute.IterativeImputer : A regression for each feature.
    sklearn.impute.KNNImputer : Means of similar rows.

    References
    ----------
    P.-A. Mattei and J. Frellsen (2019), MIWAE: deep generative modelling and imputation of
    incomplete data sets, ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAEImputer
    >>> X = load_iris().data
    >>> X[::3, 2] = np.nan
    >>> filled = VAEImputer(latent_dim=1, max_iter=0).fit_transform(X)
    >>> bool(np.isnan(filled).any())
    False
    """

    _registries = VAETransformer._registries

    _parameter_constraints: dict = {
        **VAETransformer._parameter_constraints,
        "latent_dim": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "missing_values": [MissingValues()],
        "sample_posterior": ["boolean"],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
    }
    _parameter_constraints.pop("warm_start")

    def __init__(
        self,
        latent_dim="auto",
        *,
        missing_values=np.nan,
        sample_posterior=False,
        add_indicator=False,
        keep_empty_features=False,
        network="mlp",
        likelihood="auto",
        categorical_features="from_dtype",
        posterior="diagonal",
        objective="elbo",
        n_samples=1,
        beta=1.0,
        kl_warmup=0,
        init="factor_analysis",
        image_shape=None,
        batch_size="auto",
        max_iter="auto",
        learning_rate_init="auto",
        weight_decay=0.01,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=25,
        tol=1e-4,
        device="auto",
        precision="float32",
        random_state=None,
        verbose=False,
    ):
        self.latent_dim = latent_dim
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.network = network
        self.likelihood = likelihood
        self.categorical_features = categorical_features
        self.posterior = posterior
        self.objective = objective
        self.n_samples = n_samples
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.init = init
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.verbose = verbose

    @restored_on_failure
    def fit(self, X, y=None):
        """Train the model on the values of X that are there.

        Parameters
        ----------
        X : array-like or frame of shape (n_samples, n_features)
            Rows with missing values.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted imputer.

        Raises
        ------
        ValueError
            If a parameter is out of range, or `X` has infinity or no value at all.
        """
        self._validate_params()
        X = masked_as_nan(as_table(X))
        is_mixed = has_other_kinds(self, X)
        rows, missing = read_rows(self, X, is_mixed, reset=True)
        if missing.all():
            raise ValueError("All values of X are missing.")
        is_empty = missing.all(axis=0)
        kept = np.flatnonzero(self.keep_empty_features | ~is_empty)
        if is_empty.any() and not self.keep_empty_features:
            self._warn(
                "Features without any value are dropped: {}. To keep them, filled with 0, use "
                "keep_empty_features=True.",
                is_empty,
            )
        known = _safe_indexing(rows, kept, axis=1)
        vae = self._model(X, kept, is_mixed)
        if self.latent_dim == "auto":
            vae.set_params(latent_dim=choose_latent_dim(vae, known))
        with warnings.catch_warnings():
            # That it learns nothing of them is why they are filled with 0.
            warnings.filterwarnings("ignore", "X has columns without any value", UserWarning)
            vae.fit(known)
        indicator = None
        if self.add_indicator:
            # It imports half of scikit-learn.
            from sklearn.impute import MissingIndicator

            indicator = MissingIndicator(error_on_new=False).fit(as_nan(missing))
        self.vae_, self.indicator_, self._kept = vae, indicator, kept
        self._is_mixed, self._is_empty = is_mixed, is_empty[kept]
        self.n_iter_ = vae.n_iter_
        return self

    def _warn(self, message, is_meant):
        """Warn of features; `message` has a place for their names."""
        names = _check_feature_names_in(self)[is_meant]
        message = message.format(shortened([str(name) for name in names]))
        warnings.warn(message, UserWarning, stacklevel=stacklevel_of_user())

    def _model(self, X, kept, is_mixed):
        """Return the model for the columns that are kept."""
        vae = vae_with_parameters_of(self)
        if is_mixed:
            # A mask: positions would be others after a column is dropped.
            listed = _check_categorical_features(X, self.categorical_features)
            vae.set_params(categorical_features=None if listed is None else listed[kept])
        return vae

    def transform(self, X):
        """Fill the missing values of X.

        Parameters
        ----------
        X : array-like or frame of shape (n_samples, n_features)

        Returns
        -------
        ndarray or frame of shape (n_samples, n_features_out)
            The values, without features that had none in `fit` unless
            `keep_empty_features` is True; then the indicators, if there are any. A frame as
            `X` if columns are categories or flags; of numbers an array, if `set_output` is
            not used.
        """
        check_is_fitted(self)
        rows, missing = read_rows(self, masked_as_nan(as_table(X)), self._is_mixed, reset=False)
        known = _safe_indexing(rows, self._kept, axis=1)
        has_values = ~missing.all(axis=0)
        has_values[self._kept] = False
        if has_values.any():
            self._warn(
                "Features without any value in fit have some now; they are dropped: {}.",
                has_values,
            )
        filled = self.vae_.impute(
            known, sample=self.sample_posterior, random_state=self.random_state
        )
        if self._is_empty.any():
            of_empty = missing[:, self._kept] & self._is_empty
            filled = fill_missing(filled, of_empty, np.zeros(of_empty.shape))
        if self.indicator_ is None:
            return filled
        if self._is_mixed:
            missing[:, self._kept] |= counts_as_missing(self.vae_, known)
        names = self.get_feature_names_out()[known.shape[1] :]
        return append_columns(filled, names, self.indicator_.transform(as_nan(missing)))

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns of `transform`.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features, if they had none in `fit`.

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        if self.indicator_ is None:
            return names[self._kept]
        return np.concatenate([names[self._kept], self.indicator_.get_feature_names_out(names)])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_nan(self.missing_values)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
