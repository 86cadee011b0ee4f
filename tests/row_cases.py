"""Rows in all the forms that they may come in."""

import numpy as np
import pytest
from scipy import sparse


def read_only(X, folder):
    X = X.copy()
    X.flags.writeable = False
    return X


def in_a_file(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


FORMS = {
    "array": lambda X, folder: X,
    "read-only": read_only,
    "columns of a wider array": lambda X, folder: np.hstack([X, X])[:, : X.shape[1]],
    "file": in_a_file,
    "float64 file": lambda X, folder: in_a_file(X.astype(np.float64), folder),
    "csr_array": lambda X, folder: sparse.csr_array(X),
    "csr_matrix": lambda X, folder: sparse.csr_matrix(X),
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def table(n=60, n_features=5):
    """Rows with many zeros, at offsets and scales of all sizes."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((n, n_features)) * np.logspace(-2, 2, n_features) + 3
    return np.where(rng.uniform(size=X.shape) < 0.4, 0, X).astype(np.float32)
