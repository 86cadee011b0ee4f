"""Scorers that compare Pipelines with different scalers, for ``scoring=`` of a search.

The `score` of a model after a scaler is in the units of the scaled rows, and a search over
scalers always prefers the one that shrinks most. These scorers are in the units of the rows
that the Pipeline is given.
"""

import numpy as np
from scipy import sparse
from sklearn.base import is_outlier_detector
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils import check_array

from skvae.data.columns import errors_name_columns
from skvae.estimators.autoencoder import AutoencoderTransformer
from skvae.estimators.validation import DTYPES

__all__ = ["log_density", "log_likelihood_scorer", "reconstruction_scorer"]


def log_likelihood_scorer(estimator, X, y=None):
    """Mean log-likelihood of the rows of X, in their own units.

    Parameters
    ----------
    estimator : estimator
        As in :func:`log_density`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : None
        Ignored.

    Returns
    -------
    float
        The mean of :func:`log_density`: nats per row, higher is better.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn.preprocessing import MinMaxScaler, PowerTransformer
    >>> from skvae import VAETransformer
    >>> from skvae.metrics import log_likelihood_scorer
    >>> X = load_iris().data
    >>> vae = VAETransformer(latent_dim=1, max_iter=0, random_state=0)
    >>> search = GridSearchCV(
    ...     Pipeline([("scale", "passthrough"), ("vae", vae)]),
    ...     {"scale": ["passthrough", MinMaxScaler(), PowerTransformer()]},
    ...     scoring=log_likelihood_scorer,
    ... )
    >>> search.fit(X).cv_results_["mean_test_score"].round(2).shape
    (3,)
    """
    return float(np.mean(log_density(estimator, X), dtype=np.float64))


def log_density(estimator, X):
    """Log-density of each row of X, in the units of X.

    It is the model's `score_samples` of the rows that the scalers return, plus the logarithm
    of the scalers' Jacobian determinant. If values are missing, it is the density of those
    that are there.

    Parameters
    ----------
    estimator : estimator
        A fitted VAETransformer, PCA, FactorAnalysis, GaussianMixture or another estimator
        whose `score_samples` is a log-density, a Pipeline that ends with one, or a search over
        these. The steps before may be StandardScaler, MinMaxScaler, MaxAbsScaler,
        RobustScaler, PowerTransformer and "passthrough".
    X : {array-like, sparse matrix} of shape (n_samples, n_features)

    Returns
    -------
    ndarray of shape (n_samples,)
        Nats per row.

    Raises
    ------
    TypeError
        If there is another step, or the model has no density.
    ValueError
        If a scaler clips, or is before a likelihood of flags, counts or categories, whose
        probabilities have no units.

    Examples
    --------
    Standardised columns have other densities, but the same in the units of the data:

    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.decomposition import FactorAnalysis
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skvae.metrics import log_density
    >>> X = load_wine().data
    >>> scaled = make_pipeline(StandardScaler(), FactorAnalysis(1, svd_method="lapack")).fit(X)
    >>> by_hand = scaled.score_samples(X) - np.log(scaled[0].scale_).sum()
    >>> bool(np.allclose(log_density(scaled, X), by_hand))
    True
    """
    steps, model = _steps_and_model(estimator)
    _check_has_density(model, steps)
    log_jacobian = 0.0
    for name, step in steps:
        log_jacobian = log_jacobian + _log_jacobian(name, step, X)
        X = step.transform(X)
    return model.score_samples(X) + log_jacobian


def reconstruction_scorer(estimator, X, y=None):
    """Minus the mean squared error of the reconstruction, in the units of X.

    Rows go through all steps of a Pipeline and back. Missing values are left out. Columns are
    not weighted: those of large units count most.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator with `transform` and `inverse_transform`, a Pipeline of such, or a
        search over these. Its last step may also be a FactorAnalysis, or a GaussianMixture,
        whose reconstruction is the mean of its components, weighted by their probabilities.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Numbers.
    y : None
        Ignored.

    Returns
    -------
    float
        The mean over all values; higher is better, at most 0.

    Raises
    ------
    TypeError
        If a step has no `inverse_transform`.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skvae.metrics import reconstruction_scorer
    >>> model = make_pipeline(StandardScaler(), PCA(2))
    >>> cross_val_score(model, load_wine().data, scoring=reconstruction_scorer).shape
    (5,)
    """
    steps, model = _steps_and_model(estimator)
    rows = X
    for _, step in steps:
        rows = step.transform(rows)
    rows = _reconstruct(model, rows)
    for name, step in reversed(steps):
        if not hasattr(step, "inverse_transform"):
            raise TypeError(
                f"The step {name!r} ({type(step).__name__}) has no inverse_transform, which "
                "reconstruction_scorer needs to come back to the units of X."
            )
        rows = step.inverse_transform(rows)
    try:
        rows, X = _numbers(rows), _numbers(X)
    except ValueError as error:
        raise ValueError(
            "reconstruction_scorer compares numbers, and X has columns that are none. Use the "
            f"estimator's own `score`, a log-likelihood. {error}"
        ) from error
    if sparse.issparse(X):
        X = X.toarray()
    return -float(np.nanmean(np.square(X - rows, dtype=np.float64)))


def _steps_and_model(estimator):
    """Return the (name, step) before the model, and the model, of nested Pipelines too."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return [], estimator
    steps = []
    for name, step in estimator.steps:
        if isinstance(step, Pipeline):
            inner, last = _steps_and_model(step)
            steps += [(f"{name}__{each}", part) for each, part in inner]
            name, step = f"{name}__{step.steps[-1][0]}", last
        if step is not None and not isinstance(step, str):
            steps.append((name, step))
    if not steps:
        raise TypeError("The Pipeline has no model: all its steps are 'passthrough'.")
    return steps[:-1], steps[-1][1]


def _check_has_density(model, steps):
    """Raise TypeError or ValueError unless `score_samples` is a log-density."""
    name = type(model).__name__
    is_other_score = is_outlier_detector(model) or isinstance(model, AutoencoderTransformer)
    if is_other_score or not hasattr(model, "score_samples"):
        raise TypeError(
            f"{name} has no log-density: log_likelihood_scorer is for VAETransformer, PCA, "
            "FactorAnalysis, GaussianMixture and Pipelines that end with one."
        )
    likelihood = getattr(model, "likelihood_", None)
    if steps and likelihood is not None and not likelihood.is_density:
        raise ValueError(
            f"The likelihood {likelihood} gives values a probability and not a density. A "
            "scaler before it leaves nothing to compare: leave out the step "
            f"{steps[0][0]!r}, or use likelihood='gaussian'."
        )


def _log_jacobian(name, step, X):
    """Return the log-Jacobian of a scaler for each row, over the values that are there."""
    # A subclass may transform in another way.
    if type(step) not in _LOG_JACOBIANS:
        known = ", ".join(each.__name__ for each in _LOG_JACOBIANS)
        raise TypeError(
            f"The step {name!r} ({type(step).__name__}) has no log-Jacobian here, so the "
            f"density in the units of X is not known. Steps before the model may be {known} "
            "and 'passthrough'."
        )
    if getattr(step, "clip", False):
        raise ValueError(
            f"The step {name!r} ({type(step).__name__}) gives all values beyond its range the "
            "same value, which has no density. Set clip=False."
        )
    return _LOG_JACOBIANS[type(step)](step, _numbers(X))


def _of_slopes(slopes, X):
    """Sum the logarithms of the columns' slopes over the values that are there."""
    if sparse.issparse(X):
        missing = X.copy()
        missing.data = np.isnan(X.data)
    else:
        missing = np.isnan(X)
    log_slopes = np.log(slopes)
    return log_slopes.sum() - missing @ log_slopes


def _of_divisor(step, X):
    return 0.0 if step.scale_ is None else _of_slopes(1 / step.scale_, X)


def _of_minmax(step, X):
    return _of_slopes(step.scale_, X)


def _of_power(step, X):
    """Sum the logarithms of the slopes of both transformations, and of the scaler after."""
    X = X.astype(np.float64)
    # Box-Cox: x ** (lambda - 1). Yeo-Johnson: the same of |x| + 1, below 0 its inverse.
    log_slopes = np.log(X) if step.method == "box-cox" else np.sign(X) * np.log1p(np.abs(X))
    log_jacobian = np.nansum(log_slopes * (step.lambdas_ - 1), axis=1)
    return log_jacobian + (_of_divisor(step._scaler, X) if step.standardize else 0.0)


_LOG_JACOBIANS = {
    StandardScaler: _of_divisor,
    MinMaxScaler: _of_minmax,
    MaxAbsScaler: _of_divisor,
    RobustScaler: _of_divisor,
    PowerTransformer: _of_power,
}


def _reconstruct(model, X):
    """Return the rows that the model's codes of X stand for."""
    if isinstance(model, FactorAnalysis):
        return model.transform(X) @ model.components_ + model.mean_
    if isinstance(model, GaussianMixture | BayesianGaussianMixture):
        return model.predict_proba(X) @ model.means_
    if not (hasattr(model, "transform") and hasattr(model, "inverse_transform")):
        raise TypeError(
            f"{type(model).__name__} has no transform and inverse_transform: "
            "reconstruction_scorer is for estimators that encode rows and decode them, "
            "FactorAnalysis and GaussianMixture."
        )
    return model.inverse_transform(model.transform(X))


def _numbers(X):
    """Return X as an array or CSR matrix of numbers, with NaN for missing values."""
    with errors_name_columns(X, "X"):
        return check_array(X, accept_sparse="csr", dtype=DTYPES, ensure_all_finite="allow-nan")
