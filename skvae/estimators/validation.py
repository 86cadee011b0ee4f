"""Checks of arguments, beyond those of scikit-learn."""

import warnings
from functools import partial
from numbers import Integral

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _get_feature_names,
    validate_data,
)

from skvae.callers import stacklevel_of_user
from skvae.data.chunks import Chunks, map_parts, parts_of
from skvae.data.columns import column_name, errors_name_columns, shortened
from skvae.data.encoding import TableEncoding
from skvae.data.inputs import as_table, check_rows_only
from skvae.data.joint_columns import join_encodings
from skvae.data.kinds import NUMBER
from skvae.data.missing import masked_as_nan
from skvae.data.tables import library_of_frame
from skvae.group import joined

DTYPES = [np.float64, np.float32]


def check_positive_integer(value, name):
    """Raise ValueError unless value is a positive integer."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")


def check_bool(value, name):
    """Raise ValueError unless value is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}.")


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


def fit_encoding(X, categorical_features, *, keep_declared=False):
    """Return the encoding of a frame, or of an array with categories; else None.

    Parameters
    ----------
    X : array-like, frame or Chunks of these
    categorical_features : array-like, "from_dtype" or None
        As in :class:`skvae.VAETransformer`.
    keep_declared : bool, default=False
        As in :meth:`TableEncoding.fit`.
    """
    listed = not isinstance(categorical_features, (str, type(None)))
    encodings = []
    for part in parts_of(X):
        encoding = None
        if listed or library_of_frame(part) is not None:
            encoding = TableEncoding.fit(
                part, categorical_features, keep_declared=keep_declared
            )
            encoding = None if encoding.is_identity else encoding
        encodings.append(encoding)
    own = join_encodings(encodings, "chunk")
    return join_encodings(joined().gather(own))


def is_encoded(encoding):
    """Whether rows of a table with this encoding, or None, are not just its numbers."""
    return encoding is not None and not encoding.only_numbers


def likelihood_for_columns(likelihood, encoding, n_features):
    """Return a likelihood for the columns of a table with this encoding, or of numbers."""
    if encoding is None:
        return likelihood.for_columns(
            [NUMBER] * n_features, [0] * n_features, range(n_features)
        )
    names = encoding.names or range(n_features)
    return likelihood.for_columns(encoding.kinds, encoding.n_levels, names)


def validate_rows(estimator, X, *, reset, min_rows, keep_declared=False):
    """Return rows as numbers; a table with columns of other kinds is encoded.

    With `reset` the estimator's attributes of the columns are set, else they are compared.
    """
    X = as_table(X)
    if estimator._allow_missing:
        X = map_parts(masked_as_nan, X)
    if reset:
        listed = estimator.categorical_features
        estimator._encoding = fit_encoding(X, listed, keep_declared=keep_declared)
    if not isinstance(X, Chunks):
        return _validate_part(estimator, X, reset=reset, min_rows=min_rows)
    if len(X) < min_rows:
        raise ValueError(f"X has {len(X)} rows, but at least {min_rows} are needed.")
    # The names of the first part are those of all.
    first, *others = X.parts
    parts = [_validate_part(estimator, first, reset=reset, min_rows=1)]
    parts += [_validate_part(estimator, part, reset=False, min_rows=1) for part in others]
    return Chunks(parts)


def _validate_part(estimator, X, *, reset, min_rows):
    """Return the rows of one table as numbers; its encoding has been set."""
    options = {
        "accept_sparse": "csr",
        "dtype": DTYPES,
        "ensure_all_finite": "allow-nan" if estimator._allow_missing else True,
        "ensure_min_samples": min_rows,
    }
    if not is_encoded(estimator._encoding):
        with errors_name_columns(X, "X"):
            return validate_data(estimator, X, reset=reset, **options)
    rows = _encode(estimator, X, "X")
    _check_feature_names(estimator, X, reset=reset)
    X = check_array(rows, input_name="X", estimator=estimator, **options)
    _check_n_features(estimator, X, reset=reset)
    return X


def _encode(estimator, X, name):
    """Return a table as a matrix; raise ValueError for gaps if they are not accepted."""
    rows = estimator._encoding.encode(X)
    gaps = np.isnan(rows).sum(axis=0)
    if gaps.any() and not estimator._allow_missing:
        names = estimator._encoding.names or range(len(gaps))
        listed = [f"{column_name(j, names)} ({gaps[j]})" for j in np.flatnonzero(gaps)]
        raise ValueError(
            f"{name} has missing values, or categories that fit did not see, in "
            f"{shortened(listed)}; {type(estimator).__name__} does not accept them. Fill them "
            "first, for example by VAEImputer."
        )
    return rows


def validate_codes(estimator, Z, n_codes):
    """Return codes as an array; errors call it Z."""
    Z = as_table(Z, "Z", codes=True)
    with errors_name_columns(Z, "Z"):
        Z = check_array(Z, dtype=DTYPES, input_name="Z", estimator=estimator)
    if Z.shape[1] != n_codes:
        raise ValueError(
            f"Z has {Z.shape[1]} columns, but this {type(estimator).__name__} has "
            f"latent_dim={n_codes}: pass codes as returned by transform."
        )
    return Z


def check_validation_rows(estimator, X_val, *, min_rows=1):
    """Validate `X_val`, which may be Chunks; error messages name it."""
    check_rows_only(X_val, "X_val")
    X_val = as_table(X_val, "X_val")
    if estimator._allow_missing:
        X_val = map_parts(masked_as_nan, X_val)
    with errors_name_columns(X_val, "X_val"):
        shape = np.shape(X_val)
    if len(shape) != 2 or shape[0] < min_rows:
        raise ValueError(f"X_val must be a table of at least one row, got shape {shape}.")
    for part in parts_of(X_val):
        _check_validation_names(estimator, part)
    return map_parts(partial(_check_validation_part, estimator), X_val)


def _check_validation_names(estimator, X_val):
    """Compare names of columns with those of X; warn if only one of the tables has them."""
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
                stacklevel=stacklevel_of_user(),
            )
    except ValueError as error:
        raise ValueError(f"X_val has other columns than X. {error}") from error


def _check_validation_part(estimator, X_val):
    """Return the validation rows of one table as numbers."""
    with errors_name_columns(X_val, "X_val"):
        if is_encoded(estimator._encoding):
            X_val = _encode(estimator, X_val, "X_val")
        X_val = check_array(
            X_val,
            accept_sparse="csr",
            dtype=DTYPES,
            ensure_all_finite="allow-nan" if estimator._allow_missing else True,
            ensure_min_samples=0,
            input_name="X_val",
            estimator=estimator,
        )
    if X_val.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X_val has {X_val.shape[1]} features, but X has {estimator.n_features_in_}: pass "
            "validation rows with the same columns."
        )
    return X_val
