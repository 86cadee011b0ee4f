"""Detection of outliers as a scikit-learn estimator."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skvae.data.inputs import as_table
from skvae.data.kinds import NUMBER
from skvae.data.missing import check_has_values, has_missing
from skvae.data.rows import blocks
from skvae.data.units import Units
from skvae.estimators.fitting import Training
from skvae.estimators.parameters import NestedParameters
from skvae.estimators.state import restored_on_failure
from skvae.estimators.vae import VAETransformer, vae_with_parameters_of
from skvae.training.loop import training_mode

# Of breast_cancer, 24 dimensions find no more outliers than 8, and take longer.
_MAX_LATENT_DIM = 8


class VAEOutlierDetector(NestedParameters, OutlierMixin, BaseEstimator):
    """Detect outliers by the density of a variational autoencoder.

    A :class:`VAETransformer` is trained on the rows that are most alike, so that outliers among
    the training rows do not shape it. Rows that are improbable under it are outliers. It has
    units of its own, in which all columns have the same scale: there is no need of a scaler.

    Parameters
    ----------
    latent_dim : int or "auto", default="auto"
        Dimensions of the latent space. "auto" is half as many as there are columns, at most 8.
    contamination : float in (0, 0.5], default=0.1
        Share of the training rows that `predict` calls outliers: it sets `offset_`, and
        changes neither the model nor the order of the scores.
    support_fraction : float in (0, 1], default=0.8
        Share of the rows that the model is trained on, as in
        :class:`~sklearn.covariance.EllipticEnvelope`: those that are nearest to the mean, in
        standard deviations of the columns of numbers; flags and categories do not count.
        Set it to 1 if all rows are known to be inliers, or if there are no numbers.
    network, likelihood, categorical_features, posterior, objective, n_samples, beta, \
kl_warmup, init, image_shape, batch_size, max_iter, learning_rate_init, weight_decay, \
early_stopping, validation_fraction, n_iter_no_change, tol, device, precision, random_state, \
verbose
        As in :class:`VAETransformer`.

    Attributes
    ----------
    vae_ : VAETransformer
        The fitted model.
    offset_ : float
        What `decision_function` subtracts from `score_samples`.
    support_ : ndarray of shape (n_support,)
        Indices of the rows that the model is trained on, in rising order.
    n_iter_ : int
        Epochs of the model's training.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if all are strings.

    See Also
    --------
    sklearn.covariance.EllipticEnvelope : The same of one Gaussian.
    sklearn.ensemble.IsolationForest : By random splits.
    sklearn.neighbors.LocalOutlierFactor : By the distances of neighbours.

    Notes
    -----
    Missing values are filled with their conditional means before a row is scored: the row is
    as unusual as the values that are there.

    References
    ----------
    P. J. Rousseeuw and K. Van Driessen (1999), A fast algorithm for the minimum covariance
    determinant estimator, Technometrics.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAEOutlierDetector
    >>> X = load_iris().data
    >>> X[0] = [4.3, 4.4, 6.9, 0.1]  # each value occurs, but not together
    >>> detector = VAEOutlierDetector(latent_dim=2, max_iter=0).fit(X)
    >>> int(detector.score_samples(X).argmin())
    0
    >>> detector.predict(X[:1])
    array([-1])
    """

    _registries = VAETransformer._registries

    _parameter_constraints: dict = {
        **VAETransformer._parameter_constraints,
        "latent_dim": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "support_fraction": [Interval(Real, 0, 1, closed="right")],
    }
    _parameter_constraints.pop("warm_start")

    def __init__(
        self,
        latent_dim="auto",
        *,
        contamination=0.1,
        support_fraction=0.8,
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
        self.contamination = contamination
        self.support_fraction = support_fraction
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
        """Train the model on the rows that are most alike, and set the offset on all.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
            Rows, with outliers or without. NaN is a missing value.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            As in :meth:`VAETransformer.fit`. An earlier fit is then kept.
        """
        self._validate_params()
        vae, X = vae_with_parameters_of(self), as_table(X)
        rows = vae._validate(X, reset=True, training=True)
        check_has_values("X", rows)
        distances = _distances_from_mean(rows, vae._encoding)
        if self.latent_dim == "auto":
            vae.set_params(latent_dim=min(max(1, vae.n_features_in_ // 2), _MAX_LATENT_DIM))
        n_support = max(2, int(np.ceil(self.support_fraction * len(distances))))
        support = np.sort(np.argsort(distances, kind="stable")[:n_support])
        # Not `vae.fit`, for which categories that only the other rows have would be unknown.
        with training_mode(vae.precision):
            vae._train(Training(vae, _safe_indexing(rows, support), table=X), X)
        offset = np.percentile(_score_samples(vae, X), 100 * self.contamination)
        self.vae_, self.support_, self.offset_ = vae, support, float(offset)
        self.n_iter_, self.n_features_in_ = vae.n_iter_, vae.n_features_in_
        vars(self).pop("feature_names_in_", None)
        if hasattr(vae, "feature_names_in_"):
            self.feature_names_in_ = vae.feature_names_in_
        return self

    def score_samples(self, X):
        """Log-density of each row; the lower, the more of an outlier.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            Nats, in the units of the data. A row with missing values is scored with their
            conditional means.
        """
        check_is_fitted(self)
        return _score_samples(self.vae_, X)

    def decision_function(self, X):
        """Return `score_samples` minus `offset_`: negative for outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Return which rows are outliers.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
            -1 for outliers, 1 for inliers.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        return tags


def _distances_from_mean(rows, encoding):
    """Return the mean squared distance of each row's numbers, in standard deviations."""
    kinds = [NUMBER] * rows.shape[1] if encoding is None else encoding.kinds
    numbers = [j for j, kind in enumerate(kinds) if kind == NUMBER]
    units = Units.standardizing(rows)
    each = []
    for block in blocks(rows):
        squares = np.square(units.to_model(block, np.float64)[:, numbers])
        n_values = np.maximum(1, np.count_nonzero(~np.isnan(squares), axis=1))
        each.append(np.nansum(squares, axis=1) / n_values)
    return np.concatenate(each)


def _score_samples(vae, X):
    # Densities of unequal numbers of values cannot be compared.
    if has_missing(vae._validate(X)):
        X = vae.impute(X)
    return vae.score_samples(X)
