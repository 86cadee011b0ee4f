"""What users pass as rows: tensors become arrays, and what is no table is refused by name."""

import datetime
import re
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import torch
from sklearn import get_config
from torch.utils.data import DataLoader, Dataset

from skvae.data.columns import column_labels
from skvae.data.kinds import refuse

# Names of dtypes in NumPy, pandas, polars and Arrow, by their kind.
_TEMPORAL = {
    "duration": re.compile(r"(timedelta|duration)", re.IGNORECASE),
    "date": re.compile(r"(date|time|period)", re.IGNORECASE),
}
_TEMPORAL_TYPES = {
    "duration": (datetime.timedelta, np.timedelta64),
    "date": (datetime.date, datetime.time, np.datetime64),
}


def as_table(X, name="X", *, codes=False):
    """Return rows, with a tensor as an array; refuse what has none and columns of dates.

    Parameters
    ----------
    X : object
        As the caller passed it.
    name : str, default="X"
        Name of the argument, for errors.
    codes : bool, default=False
        Whether the rows are codes, which cannot be images.

    Returns
    -------
    object
        `X` itself unless it is a tensor. That is detached and copied to the CPU; numbers of
        less than four bytes become float32.

    Raises
    ------
    TypeError
        For generators and other iterators, torch's datasets and their loaders; and, if
        scikit-learn's array API dispatch is enabled, for arrays of other libraries.
    ValueError
        For lazy frames, arrays of more than two dimensions, and columns of dates or durations.
    """
    if isinstance(X, (Iterator, DataLoader, Dataset)):
        raise TypeError(
            f"{name} is a {type(X).__name__}, but rows must be an array or a frame. To train "
            "on one batch after the other, call partial_fit of VAETransformer with each."
        )
    if type(X).__name__ == "LazyFrame":
        raise ValueError(
            f"{name} is a lazy frame, which has no values yet: call .collect() and pass the "
            "frame that it returns."
        )
    _refuse_dispatch(X, name)
    if isinstance(X, torch.Tensor):
        X = _array_of(X)
    if not codes:
        check_rows_only(X, name)
        _refuse_images(X, name)
    _refuse_dates(X, name)
    return X


def check_rows_only(X, name):
    """Raise ValueError for a pair of rows and targets."""
    if _is_pair(X):
        raise ValueError(
            f"{name} is a {type(X).__name__} of two: pass the rows only, {name}={name}[0]. "
            "The model has no targets."
        )


def _is_pair(X):
    """Whether X is a tuple or list of a table and as many targets."""
    is_pair = isinstance(X, (tuple, list)) and len(X) == 2 and _n_dimensions(X[0]) == 2
    return is_pair and _n_dimensions(X[1]) < 2


def _array_of(tensor):
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    # NumPy has no bfloat16.
    if tensor.is_floating_point() and tensor.element_size() < 4:
        tensor = tensor.float()
    return tensor.numpy(force=True)


def _refuse_dispatch(X, name):
    """Raise TypeError for an array whose kind the results should have."""
    foreign = isinstance(X, torch.Tensor) or (
        hasattr(X, "__array_namespace__") and not isinstance(X, np.ndarray)
    )
    if foreign and get_config()["array_api_dispatch"]:
        kind = f"{type(X).__module__.partition('.')[0]}.{type(X).__name__}"
        raise TypeError(
            f"{name} is a {kind}, and with array_api_dispatch=True the results should be so "
            "too, but those of this estimator are NumPy arrays. Call it within "
            "sklearn.config_context(array_api_dispatch=False), or pass a NumPy array."
        )


def _n_dimensions(X):
    return len(getattr(X, "shape", ()))


def _refuse_images(X, name):
    """Raise ValueError for an array of more than two dimensions."""
    if isinstance(X, (list, tuple)) and len(X) and _n_dimensions(X[0]) > 1:
        shape = (len(X), *X[0].shape)
    else:
        shape = tuple(getattr(X, "shape", ()))
    if len(shape) < 3:
        return
    rows, image = name, shape[1:]
    if len(image) == 3 and image[0] in (1, 3) and image[2] not in (1, 3):
        # Channels first, as torch has them.
        rows, image = f"np.moveaxis({name}, 1, -1)", (*image[1:], image[0])
    if len(image) == 3 and image[2] == 1:
        image = image[:2]
    hint = f" Set image_shape={image} of the estimator." if len(image) < 4 else ""
    raise ValueError(
        f"{name} has shape {shape}, but must have one row for each image or other array: pass "
        f"{rows}.reshape(len({name}), -1).{hint}"
    )


def _refuse_dates(X, name):
    """Raise ValueError for columns of dates or durations, which would become numbers."""
    columns = _temporal_columns(X)
    if columns:
        place, first = columns[0]
        others = [other for other, kind in columns[1:] if kind == first]
        refuse(place, first, others=others, name=name)


def _temporal_columns(X):
    """Return places and kinds of the columns of dates, as far as they are known."""
    if isinstance(X, (list, tuple)):
        first = X[0] if len(X) and isinstance(X[0], (list, tuple)) else ()
        kinds = [_temporal_kind_of_value(value) for value in first]
    elif hasattr(X, "dtype"):
        kinds = [_temporal_kind(X.dtype)]
    else:
        kinds = [_temporal_kind(dtype) for dtype in _dtypes_of_columns(X)]
        names = column_labels(X) if any(kinds) else None
        if names is not None:
            return [(f"column {names[j]!r}", kind) for j, kind in enumerate(kinds) if kind]
    return [(f"feature {j}", kind) for j, kind in enumerate(kinds) if kind]


def _dtypes_of_columns(X):
    """Return the dtypes of a frame of pandas or polars or a table of Arrow; else none."""
    # Reading another library's table must not fail where its values could be read.
    with suppress(Exception):
        return list(X.dtypes if hasattr(X, "dtypes") else X.schema.types)
    return []


def _temporal_kind(dtype):
    name = str(dtype)
    return next((kind for kind, names in _TEMPORAL.items() if names.match(name)), None)


def _temporal_kind_of_value(value):
    types = _TEMPORAL_TYPES.items()
    return next((kind for kind, each in types if isinstance(value, each)), None)
