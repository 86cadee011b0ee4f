"""Applying a model to rows: blocks, layouts, and arrays that may not be written."""

import numpy as np
import pytest
import torch

from skvae import inference
from skvae.data.inference import by_blocks


def double(x):
    return 2 * x


@pytest.mark.parametrize("n", [1, 7, 8, 9])
@pytest.mark.parametrize("width", [0, 1, 3, 8, 10**9])
def test_blocks_join_to_the_whole(n, width, monkeypatch):
    monkeypatch.setattr(inference, "BLOCK_ELEMENTS", 8)
    X = np.arange(3.0 * n).reshape(n, 3)
    np.testing.assert_array_equal(by_blocks(double, X, width, "cpu"), 2 * X)


def test_no_block_is_wider_than_its_share(monkeypatch):
    monkeypatch.setattr(inference, "BLOCK_ELEMENTS", 12)
    seen = []
    by_blocks(lambda x: seen.append(len(x)) or x, np.ones((7, 3)), 4, "cpu")
    assert seen == [3, 3, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype):
    assert by_blocks(double, np.ones((4, 3), dtype), 3, "cpu").dtype == dtype


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1][::-1],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "columns of a wider array": lambda X: np.c_[X, X][:, : X.shape[1]],
    "read-only": read_only,
    "broadcast": lambda X: np.broadcast_to(X[:1], X.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_memory_layout_is_accepted_without_a_warning(layout):
    X = LAYOUTS[layout](np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(by_blocks(double, X, 3, "cpu"), 2 * X)


def test_the_rows_are_left_as_they_were():
    X = np.arange(12.0).reshape(4, 3)
    by_blocks(double, X, 3, "cpu")
    np.testing.assert_array_equal(X, np.arange(12.0).reshape(4, 3))


def test_no_gradients_are_recorded():
    weight = torch.ones(3, requires_grad=True)
    result = by_blocks(lambda x: x * weight, np.ones((4, 3), np.float32), 3, "cpu")
    assert isinstance(result, np.ndarray)
