"""Rows of every kind that a user may pass, drawn by a generator of NumPy's."""

import tempfile

import numpy as np
import pandas as pd
import polars as pl
import torch
from scipy import sparse

# -- values: (rng, n, d) -> ndarray of float64 ---------------------------------------------


def _unit(rng, n, d):
    return rng.random((n, d))


def _one_hot(rng, n, d):
    return np.eye(d)[rng.integers(d, size=n)]


def _normal(rng, n, d):
    return rng.standard_normal((n, d)) * rng.choice([0.1, 1.0, 30.0], d) + rng.choice([0, 5], d)


def _column(change):
    """Return values of which one column is changed: ``change(rng, column) -> column``."""

    def values(rng, n, d):
        X = _normal(rng, n, d)
        place = rng.integers(d)
        X[:, place] = change(rng, X[:, place])
        return X

    return values


def _spoiled(value):
    """Return values of which one is this one."""

    def values(rng, n, d):
        X = _unit(rng, n, d)
        X[rng.integers(n), rng.integers(d)] = value
        return X

    return values


VALUES = {
    "normal": _normal,
    "unit": _unit,
    "binary": lambda rng, n, d: (rng.random((n, d)) < 0.4).astype(float),
    "one-hot": _one_hot,
    "counts": lambda rng, n, d: rng.poisson(rng.choice([0.1, 3, 1000], d), (n, d)) + 0.0,
    "zeros": lambda rng, n, d: np.zeros((n, d)),
    "duplicate rows": lambda rng, n, d: np.repeat(_normal(rng, 1, d), n, axis=0),
    "duplicate columns": lambda rng, n, d: np.repeat(_normal(rng, n, 1), d, axis=1),
    "constant column": _column(lambda rng, x: np.full_like(x, 7.3)),
    "huge column": _column(lambda rng, x: x * 1e30),
    "tiny column": _column(lambda rng, x: x * 1e-30),
    "subnormal column": _column(lambda rng, x: x * 1e-310),
    "too large column": _column(lambda rng, x: x * 1e300),
    "offset column": _column(lambda rng, x: x + 1e6),
    "far offset column": _column(lambda rng, x: x * 1e-3 + 1e12),
    "outlier": _spoiled(1e8),
    "large count": _spoiled(1e12),
    "slightly above one": _spoiled(1 + 1e-9),
    "nan": _spoiled(np.nan),
    "infinity": _spoiled(-np.inf),
    "float32 overflow": _spoiled(1e39),
}

# -- containers: (rng, X) -> what is passed ------------------------------------------------


class ArrayLike:
    """What only tells NumPy how to read it."""

    def __init__(self, X):
        self._X = X

    def __array__(self, dtype=None, copy=None):
        return np.array(self._X, dtype=dtype)


def _read_only(rng, X):
    X = X.copy()
    X.flags.writeable = False
    return X


def _strided(rng, X):
    n, d = X.shape
    wide = np.full((2 * n, 3 * d), np.nan)
    wide[::2, ::3] = X
    return wide[::2, ::3]


def _memory_map(rng, X):
    # The file goes with its last user, and so does the folder.
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    mapped.flags.writeable = bool(rng.integers(2))
    return mapped


def _masked(rng, X):
    return np.ma.masked_array(X, mask=rng.random(X.shape) < rng.choice([0.0, 0.2]))


def _with_strings(rng, X):
    X = X.astype(object)
    X[0, rng.integers(X.shape[1])] = "setosa"
    return X


def _names(X):
    return [f"column {k}" for k in range(X.shape[1])]


def _frame(rng, X):
    return pd.DataFrame(X, columns=_names(X))


def _frame_with(change):
    """Return a pandas frame of which one column is changed: ``change(series)``."""

    def container(rng, X):
        frame = _frame(rng, X)
        name = rng.choice(frame.columns)
        return frame.assign(**{name: change(frame[name])})

    return container


def _polars_with(change):
    def container(rng, X):
        frame = pl.DataFrame(dict(zip(_names(X), X.T, strict=True)))
        return frame.with_columns(change(pl.col(str(rng.choice(frame.columns)))))

    return container


def _same(dtype):
    def cast(rng, X):
        with np.errstate(all="ignore"):
            return X.astype(dtype)

    return cast


CONTAINERS = {
    "float64": _same(np.float64),
    "float32": _same(np.float32),
    "float16": _same(np.float16),
    "long double": _same(np.longdouble),
    "big-endian": _same(">f8"),
    "complex": _same(complex),
    "int8": _same(np.int8),
    "uint8": _same(np.uint8),
    "int64": _same(np.int64),
    "bool": _same(bool),
    "object": _same(object),
    "strings": _with_strings,
    "numeric strings": _same(str),
    "list": lambda rng, X: X.tolist(),
    "ragged list": lambda rng, X: [row[: 1 + k % 2] for k, row in enumerate(X.tolist())],
    "array-like": lambda rng, X: ArrayLike(X),
    "columns first": lambda rng, X: np.asfortranarray(X),
    "reversed": lambda rng, X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "strided": _strided,
    "read-only": _read_only,
    "memory map": _memory_map,
    "masked": _masked,
    "one dimension": lambda rng, X: X[:, 0],
    "three dimensions": lambda rng, X: X[:, :, None],
    "no rows": lambda rng, X: X[:0],
    "no columns": lambda rng, X: X[:, :0],
    "nothing": lambda rng, X: None,
    "dictionary": lambda rng, X: dict(enumerate(X)),
    "csr": lambda rng, X: sparse.csr_array(X),
    "csc matrix": lambda rng, X: sparse.csc_matrix(X.astype(np.float32)),
    "tensor": lambda rng, X: torch.tensor(X),
    "float32 tensor": lambda rng, X: torch.tensor(X, dtype=torch.float32),
    "bfloat16 tensor": lambda rng, X: torch.tensor(X, dtype=torch.bfloat16),
    "tensor with gradient": lambda rng, X: torch.tensor(X, requires_grad=True),
    "pandas": _frame,
    "pandas float32": lambda rng, X: _frame(rng, X.astype(np.float32)),
    "pandas without names": lambda rng, X: pd.DataFrame(X),
    "pandas mixed names": lambda rng, X: pd.DataFrame(X, columns=["a", *range(1, X.shape[1])]),
    "pandas doubled names": lambda rng, X: pd.DataFrame(X, columns=["a"] * X.shape[1]),
    "pandas category": _frame_with(lambda s: s.astype(str).astype("category")),
    "pandas number category": _frame_with(lambda s: s.astype("category")),
    "pandas missing": _frame_with(lambda s: s.astype("Float64").where(s.index > 0)),
    "pandas nullable": _frame_with(lambda s: s.astype("Float64")),
    "pandas dates": _frame_with(lambda s: pd.to_datetime(s.index)),
    "pandas strings": _frame_with(lambda s: "a" + s.astype(str)),
    "pandas bool": _frame_with(lambda s: s > 0),
    "polars": _polars_with(lambda c: c),
    "polars missing": _polars_with(lambda c: pl.when(pl.int_range(pl.len()) > 0).then(c)),
    "polars category": _polars_with(lambda c: c.cast(pl.String).cast(pl.Categorical)),
    "polars float32": _polars_with(lambda c: c.cast(pl.Float32)),
}
# Most cases have one of these: else most would end before the model.
USUAL = ("normal", "unit", "binary", "one-hot", "counts")
PLAIN = ("float64", "float32", "columns first", "strided", "pandas", "polars", "list")


def draw_rows(rng):
    """Return the kind of values, the number of features, a description, and the rows."""
    n, d = int(rng.choice([1, 2, 3, 4, 5, 8, 12, 13, 30, 31])), int(rng.choice([1, 2, 3, 4, 6]))
    values = str(rng.choice(USUAL if rng.random() < 0.5 else list(VALUES)))
    container = str(rng.choice(PLAIN if rng.random() < 0.7 else list(CONTAINERS)))
    X = VALUES[values](rng, n, d)
    return values, d, f"{values}, {n}x{d}, {container}", CONTAINERS[container](rng, X)
