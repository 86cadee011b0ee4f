"""Checks of arguments, beyond those of scikit-learn."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _get_feature_names,
    validate_data,
)

from skvae.data.chunks import Chunks
from skvae.data.columns import errors_name_columns
from skvae.data.encoding import TableEncoding
from skvae.data.kinds import NUMBER
from skvae.data.missing import masked_as_nan
from skvae.data.tables import library_of_frame

DTYPES = [np.float64, np.float32]


def check_positive_integer(value, name):
    """Raise ValueError unless value is a positive integer."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")


def check_image_shape(image_shape, n_features):
    """Return (H, W, C) or None; raise ValueError if the shape does not fit the rows."""
    if image_shape is None:
        return None
    shape = tuple(image_shape)
    whole = all(isinstance(side, Integral) and side > 0 for side in shape)
    if len(shape) not in (2, 3) or not whole or np.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} must be (H, W) or (H, W, C) with a product "
            f"equal to the {n_features} features of X."
        )
    shape = tuple(int(side) for side in shape)
    return (*shape, 1) if len(shape) == 2 else shape


def fit_encoding(X, categorical_features):
    """Return the encoding of a table whose columns are not all numbers, or None.

    Parameters
    ----------
    X : array-like or frame
    categorical_features : array-like, "from_dtype" or None
        As in :class:`skvae.VAETransformer`; with None there is no encoding.
    """
    from_dtype = isinstance(categorical_features, str)
    if categorical_features is None or (from_dtype and library_of_frame(X) is None):
        return None
    encoding = TableEncoding.fit(X, categorical_features)
    return None if set(encoding.kinds) == {NUMBER} else encoding


def validate_rows(estimator, X, *, reset, min_rows):
    """Return rows as numbers; a table with columns of other kinds is encoded.

    With `reset` the estimator's attributes of the columns are set, else they are compared.
    """
    if isinstance(X, Chunks):
        return _validate_chunks(estimator, X, reset=reset, min_rows=min_rows)
    if estimator._allow_missing:
        X = masked_as_nan(X)
    if reset:
        estimator._encoding = fit_encoding(X, estimator.categorical_features)
    options = {
        "accept_sparse": "csr",
        "dtype": DTYPES,
        "ensure_all_finite": "allow-nan" if estimator._allow_missing else True,
        "ensure_min_samples": min_rows,
    }
    if estimator._encoding is None:
        with errors_name_columns(X, "X"):
            return validate_data(estimator, X, reset=reset, **options)
    _check_feature_names(estimator, X, reset=reset)
    X = estimator._encoding.encode(X)
    X = check_array(X, input_name="X", estimator=estimator, **options)
    _check_n_features(estimator, X, reset=reset)
    return X


def _validate_chunks(estimator, X, *, reset, min_rows):
    """Return chunks of numbers; the columns of the first chunk are those of all."""
    if len(X) < min_rows:
        raise ValueError(f"X has {len(X)} rows, but at least {min_rows} are needed.")
    parts = []
    for i, part in enumerate(X.parts):
        parts.append(validate_rows(estimator, part, reset=reset and i == 0, min_rows=1))
    return Chunks(parts)


def check_validation_rows(estimator, X_val):
    """Validate `X_val`; error messages name it."""
    if estimator._allow_missing:
        X_val = masked_as_nan(X_val)
    with errors_name_columns(X_val, "X_val"):
        shape = np.shape(X_val)
    if len(shape) != 2 or shape[0] == 0:
        raise ValueError(f"X_val must be a table of at least one row, got shape {shape}.")
    try:
        named = _get_feature_names(X_val) is not None
        if named == hasattr(estimator, "feature_names_in_"):
            _check_feature_names(estimator, X_val, reset=False)
        else:
            # The warning of scikit-learn would name X.
            warnings.warn(
                f"{'X_val' if named else 'X'} has feature names, but "
                f"{'X' if named else 'X_val'} has none: their order is not checked.",
                UserWarning,
                stacklevel=5,
            )
    except ValueError as error:
        raise ValueError(f"X_val has other columns than X. {error}") from error
    with errors_name_columns(X_val, "X_val"):
        if estimator._encoding is not None:
            X_val = estimator._encoding.encode(X_val)
        X_val = check_array(
            X_val,
            accept_sparse="csr",
            dtype=DTYPES,
            ensure_all_finite="allow-nan" if estimator._allow_missing else True,
            input_name="X_val",
            estimator=estimator,
        )
    if X_val.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X_val has {X_val.shape[1]} features, but X has {estimator.n_features_in_}: pass "
            "validation rows with the same columns."
        )
    return X_val
