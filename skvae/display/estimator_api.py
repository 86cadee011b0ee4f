"""Calls of an estimator's public methods, also through a Pipeline or a search."""

from numbers import Integral

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skvae.data.frames import missing_cells
from skvae.data.inputs import as_table
from skvae.data.missing import masked_as_nan
from skvae.display.columns import is_mixed


def steps_of(estimator):
    """Return all steps of a Pipeline, or of a search's best one; the model is last."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    return [inner for step in steps for inner in steps_of(step)]


def model_of(estimator):
    """Return the last step, which has the latent space."""
    check_is_fitted(estimator)
    return steps_of(estimator)[-1]


def encode(estimator, X):
    """Return the codes of X, (n_samples, latent_dim)."""
    check_is_fitted(estimator)
    codes = np.asarray(_ask(estimator, "transform", "to find the codes of X")(X))
    if codes.ndim != 2:
        raise ValueError(f"transform of {_name(estimator)} gave codes of shape {codes.shape}.")
    return codes


def decode(estimator, codes):
    """Return decoded rows, (n_samples, n_features), in the units of X."""
    check_is_fitted(estimator)
    return _rows(_ask(estimator, "inverse_transform", "to decode codes")(codes))


def impute(estimator, X):
    """Return X with missing values filled, in the units of X; None if none can be filled."""
    *before, model = steps_of(estimator)
    mixed = is_mixed(X)
    missing = missing_cells(X) if mixed else np.isnan(check_rows(X))
    if not missing.any() or not hasattr(model, "impute"):
        return None
    rows = X
    for step in before:
        rows = step.transform(rows)
    rows = model.impute(rows)
    for step in reversed(before):
        rows = _ask(step, "inverse_transform", "to go back to the units of X")(rows)
    if mixed:
        return rows
    # The way there and back may change the others by rounding, or more.
    return np.where(missing, check_rows(rows), check_rows(X))


def draw(estimator, n_samples, mean, random_state):
    """Return samples of the model, transformed back by the steps before it."""
    check_is_fitted(estimator)
    *before, model = steps_of(estimator)
    # Options are only passed if given: other density estimators have fewer.
    options = {"mean": True} if mean else {}
    if random_state is not None:
        options["random_state"] = random_state
    samples = _ask(model, "sample", "to draw from its prior")(n_samples, **options)
    # Mixtures also return the components.
    rows = samples[0] if isinstance(samples, tuple) else samples
    for step in reversed(before):
        rows = _ask(step, "inverse_transform", "to go back to the units of X")(rows)
    return _rows(rows)


def posterior_scale(estimator, X):
    """Return the scales of the posterior of each row, or their Cholesky factors."""
    check_is_fitted(estimator)
    *before, model = steps_of(estimator)
    ask = _ask(model, "latent_posterior", "for ellipses; pass ellipses=False")
    for step in before:
        X = step.transform(X)
    return ask(X)[1]


def has_normal_prior(estimator):
    """Whether codes have a standard normal prior; those of autoencoders and PCA have none."""
    return hasattr(model_of(estimator), "latent_posterior")


def n_codes_of(estimator):
    """Return the number of latent dimensions."""
    return len(_ask(model_of(estimator), "get_feature_names_out", "to count its codes")())


def n_features_of(estimator):
    """Return the width of the rows that an estimator was fitted on."""
    check_is_fitted(estimator)
    # Stateless first steps may not store it.
    known = [step for step in steps_of(estimator) if hasattr(step, "n_features_in_")]
    return getattr(estimator, "n_features_in_", None) or known[0].n_features_in_


def read_rows(X, name="X"):
    """Return a table with columns of several kinds as it is, rows of numbers as an array."""
    return X if is_mixed(X) else check_rows(X, name)


def _rows(rows):
    """Return rows that a model gave, of numbers as an array."""
    if is_mixed(rows):
        return rows
    return check_rows(rows) if hasattr(rows, "columns") else np.asarray(rows)


def check_rows(X, name="X"):
    """Return rows as a numeric array, with NaN for missing values."""
    X = masked_as_nan(as_table(X, name))
    return check_array(X, ensure_all_finite="allow-nan", input_name=name)


def feature_names_of(estimator, X, n_features):
    """Return the names of the columns of X, or x0, x1, ..."""
    for names in (getattr(X, "columns", None), getattr(estimator, "feature_names_in_", None)):
        if names is not None and len(names) == n_features:
            return np.asarray([str(name) for name in names], dtype=object)
    return np.asarray([f"x{i}" for i in range(n_features)], dtype=object)


def choose_dimensions(estimator, dimensions, n_codes, codes=None):
    """Return the two latent dimensions to show, or the only one.

    By default those with the largest KL divergence from the prior; without a prior those with
    the largest variance of the codes, or without codes the first.
    """
    if dimensions is not None:
        return check_dimensions(dimensions, n_codes)
    weight = getattr(model_of(estimator), "latent_kl_", None)
    if weight is None or len(weight) != n_codes:
        weight = -np.arange(n_codes) if codes is None else np.var(codes, axis=0)
    largest = np.argsort(-np.asarray(weight, dtype=float), kind="stable")[:2]
    return tuple(sorted(int(i) for i in largest))


def check_dimensions(dimensions, n_codes):
    """Return the caller's choice as a tuple of ints."""
    chosen = tuple(dimensions) if np.iterable(dimensions) else (dimensions,)
    whole = all(isinstance(i, Integral) and 0 <= i < n_codes for i in chosen)
    if not whole or len(chosen) != min(2, n_codes) or len(set(chosen)) != len(chosen):
        verb = "is" if n_codes == 1 else "are"
        wanted = "(0,)" if n_codes == 1 else f"two different integers from 0 to {n_codes - 1}"
        raise ValueError(
            f"dimensions={dimensions!r} must be {wanted}: there {verb} {n_codes} latent "
            f"dimension{'s' * (n_codes > 1)}."
        )
    return tuple(int(i) for i in chosen)


def _name(estimator):
    return type(estimator).__name__


def _ask(estimator, method, purpose):
    """Return a method; if it is missing say in which step and what it is for."""
    if hasattr(estimator, method):
        return getattr(estimator, method)
    lacking = [step for step in steps_of(estimator) if not hasattr(step, method)]
    who = _name(lacking[0]) if lacking else _name(estimator)
    within = f" in the {_name(estimator)}" if who != _name(estimator) else ""
    raise AttributeError(f"{who}{within} has no method {method}, needed {purpose}.")
