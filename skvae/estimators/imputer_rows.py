"""The rows that VAEImputer is given, and where their values are missing."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    validate_data,
)

from skvae.data.columns import column_labels, column_name, errors_name_columns, shortened
from skvae.data.frames import missing_cells
from skvae.estimators.validation import DTYPES, fit_encoding, is_encoded


def has_other_kinds(imputer, X):
    """Return whether X has categories or flags, which its model takes as they are.

    Raises
    ------
    ValueError
        If it has other columns than those and numbers, or a placeholder is to be replaced.
    """
    placeholder = imputer.missing_values
    # A string among numbers makes objects of a column, and not categories.
    if isinstance(placeholder, str):
        return False
    is_mixed = is_encoded(fit_encoding(X, imputer.categorical_features))
    if is_mixed and not (placeholder is None or is_nan(placeholder)):
        raise ValueError(
            f"missing_values={placeholder!r} is for tables of numbers, but X has categories or "
            "flags: put NaN or None in its place, for example with X.replace in pandas."
        )
    return is_mixed


def read_rows(imputer, X, is_mixed, *, reset):
    """Return rows as the model takes them, and where values are missing.

    Those of numbers are a new array of floats with NaN for missing values.
    """
    if is_mixed:
        _check_feature_names(imputer, X, reset=reset)
        _check_n_features(imputer, X, reset=reset)
        return X, missing_cells(X)
    placeholder = imputer.missing_values
    holds_nan = placeholder is None or is_nan(placeholder)
    with errors_name_columns(X, "X"):
        if not holds_nan:
            _check_placeholder(X, placeholder, in_fit=reset)
        rows = validate_data(
            imputer,
            X,
            reset=reset,
            dtype=DTYPES if not isinstance(placeholder, str) else object,
            ensure_all_finite="allow-nan" if holds_nan else True,
            ensure_min_samples=2 if reset else 1,
        )
    if not holds_nan:
        rows = _with_nan(rows, placeholder)
    return rows, np.isnan(rows)


def counts_as_missing(vae, X):
    """Return where a fitted model finds no value in X, or a category that it has not seen."""
    with warnings.catch_warnings():
        # `impute` warns of them.
        warnings.filterwarnings("ignore", "X has categories that fit did not see", UserWarning)
        return np.isnan(vae._encoding.encode(X))


def _check_placeholder(X, placeholder, in_fit):
    """Raise ValueError if X has NaN besides a placeholder, or is of a kind without it."""
    if np.ndim(X) != 2 or np.size(X) == 0 or sparse.issparse(X):
        return
    X = X if hasattr(X, "dtype") or hasattr(X, "columns") else np.array(X, dtype=object)
    columns = np.flatnonzero(missing_cells(X).any(axis=0))
    if len(columns):
        names = column_labels(X)
        listed = [column_name(j, None if names is None else list(names)) for j in columns]
        raise ValueError(
            f"X has NaN or None besides missing_values={placeholder!r}, in "
            f"{shortened(listed)}: use one of them for all."
        )
    if in_fit and isinstance(placeholder, str) and np.asarray(X).dtype.kind in "biuf":
        raise ValueError(
            f"missing_values={placeholder!r} is a string, but X has only numbers: use "
            "the number that stands for missing values."
        )


def _with_nan(rows, placeholder):
    """Return validated rows as floats, with NaN in place of a placeholder."""
    rows = np.where(rows == placeholder, np.nan, rows)
    try:
        with errors_name_columns(rows, "X"):
            return rows.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{error}. With missing_values={placeholder!r} all other values must be numbers: "
            "for columns of categories or flags put None or NaN in its place, for example with "
            "X.replace in pandas."
        ) from error


def as_nan(missing):
    """Return zeros, with NaN where values are missing."""
    return np.where(missing, np.nan, 0.0)


def is_nan(value):
    """Whether a placeholder of missing values is NaN or pandas.NA."""
    return is_scalar_nan(value) or is_pandas_na(value)
