"""Data and small models that several test files share."""

import os
import warnings
from functools import partial

# Before torch is imported. With more threads than cores the processes of pytest-xdist would
# wait for each other most of the time.
if n_workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    n_threads = max(1, (os.cpu_count() or 1) // int(n_workers))
    os.environ.setdefault("OMP_NUM_THREADS", str(n_threads))

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skvae import AutoencoderTransformer, VAETransformer
from skvae.data import rows as rows_module


@pytest.fixture(scope="session")
def iris():
    return load_iris().data


@pytest.fixture(scope="session")
def digits():
    """Shuffled: the digits come in batches of one writer each."""
    return np.random.RandomState(0).permutation(load_digits().data)


@pytest.fixture(scope="session")
def quick():
    """Return a factory of estimators that train for three epochs only."""

    def build(estimator=VAETransformer, **parameters):
        defaults = {"max_iter": 3, "early_stopping": False, "random_state": 0}
        return estimator(**defaults | parameters)

    return build


@pytest.fixture(scope="session")
def autoencoder(quick):
    """Return such a factory of autoencoders."""
    return partial(quick, AutoencoderTransformer)


@pytest.fixture(scope="session")
def rows(digits):
    return digits[-200:]


@pytest.fixture(scope="session")
def model(quick, digits):
    """Return a model trained far enough to be nonlinear; `rows` are held out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return quick(max_iter=40, learning_rate_init=3e-3).fit(digits[:1000])


@pytest.fixture(scope="session")
def dask_client():
    """Return a client of a Dask cluster of two workers, which takes seconds to start."""
    from dask_cases import cluster_of_two

    with cluster_of_two() as client:
        yield client


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_ELEMENTS", 100)


@pytest.fixture
def copy_nothing(monkeypatch):
    """Return a function after which even small rows are read batch by batch."""
    return lambda: monkeypatch.setattr(rows_module, "_SMALL", 0)


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread():
    """Keep NumPy's linear algebra on one thread; torch keeps its own.

    Products this small gain nothing by a second, and on a busy machine wait for it: the
    factor analyses that the tests compare with are then 50 times slower.
    """
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def closed_figures():
    """Draw without a window, and close all figures after the test."""
    # Only the tests of displays need matplotlib.
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    yield
    plt.close("all")
