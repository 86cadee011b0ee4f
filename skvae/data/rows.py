"""Rows that are read block by block: from arrays, files and sparse matrices."""

import math
import mmap
from contextlib import nullcontext

import numpy as np
import torch
from scipy import sparse
from torch.nn.functional import embedding

from skvae.group import joined
from skvae.machine import cuda_float32, explain_out_of_memory, limit_threads

# Elements of a block, or of the widest layer that is computed from it; 32 MB in float64.
BLOCK_ELEMENTS = 2**22
# Size of a batch: larger feature maps do not fit the cache, and take up to 3 times as long.
BATCH_ROWS, BATCH_ELEMENTS = 128, 2**18
# Bytes up to which rows are copied in model units, which saves time at each batch.
_SMALL = 2**26
_UNBOUNDED = (-np.inf, np.inf)


def row_slices(shape, most=None):
    """Iterate over slices of rows that hold at most `BLOCK_ELEMENTS` elements.

    Parameters
    ----------
    shape : tuple of int
        Number of rows, and of elements per row.
    most : int, default=None
        Maximum number of rows of a slice.
    """
    n_rows, width = shape
    size = max(1, BLOCK_ELEMENTS // max(1, width))
    size = size if most is None else min(size, most)
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def batches(shape):
    """Return slices of rows in the size at which a network takes the least time per row."""
    return row_slices(shape, max(BATCH_ROWS, BATCH_ELEMENTS // shape[1]))


def blocks(X, most=None):
    """Iterate over dense blocks of rows; those of an array are views."""
    return (dense(X[part]) for part in row_slices(X.shape, most))


def apply_in_blocks(function, X, *, width, device, units=None):
    """Apply a function of a tensor to blocks of rows, in their dtype.

    The memory needed does not grow with the number of rows.

    Parameters
    ----------
    function : callable
        Maps a tensor (n, n_columns) to a tensor whose first axis is n.
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
    width : int
        Elements per row of the widest intermediate result.
    device : str or torch.device
    units : Units, default=None
        If given, each block is mapped into these model units before it moves to the device.

    Returns
    -------
    ndarray
        The results, concatenated.
    """

    def result(block):
        block = block if units is None else units.to_model(block)
        return function(_as_tensor(block).to(device)).cpu().numpy()

    parts = list(row_slices((X.shape[0], width)))
    exact = cuda_float32() if torch.device(device).type == "cuda" else nullcontext()
    threads = limit_threads(parts[0].stop * width)
    with torch.inference_mode(), exact, threads, explain_out_of_memory():
        first = result(dense(X[parts[0]]))
        if len(parts) == 1:
            return first
        # Results kept one by one, each above freed memory, would keep it from being used again.
        results = np.empty((X.shape[0], *first.shape[1:]), first.dtype)
        results[parts[0]] = first
        for part in parts[1:]:
            results[part] = result(dense(X[part]))
    return results


def dense(X):
    """Return a sparse matrix as an array, and anything else unchanged."""
    return X.toarray() if sparse.issparse(X) else X


def clipped(X, low, high):
    """Return an array or a sparse matrix with its values in an interval."""
    if not sparse.issparse(X) or not low <= 0 <= high:
        return np.clip(dense(X), low, high)
    X = X.copy()
    # An element may be stored as several entries, and its value is their sum.
    X.sum_duplicates()
    np.clip(X.data, low, high, out=X.data)
    return X


def _as_tensor(X):
    """Return an array as a tensor; torch needs positive strides and writable memory."""
    return torch.from_numpy(np.require(X, requirements=["C", "W"]))


def as_float64(rows):
    """Return a tensor or an array as an array in float64."""
    rows = rows.cpu().numpy() if isinstance(rows, torch.Tensor) else rows
    return rows.astype(np.float64)


def extremes(X):
    """Return the lowest and the highest value of each feature; 0 if it has no values.

    In a group they are those of the rows of all ranks, as all statistics of rows here.
    """
    lowest, highest = np.full((2, X.shape[1]), [[np.inf], [-np.inf]])
    for block in blocks(X):
        # Unlike minimum and maximum these leave out missing values.
        lowest = np.fmin(lowest, np.fmin.reduce(block, axis=0))
        highest = np.fmax(highest, np.fmax.reduce(block, axis=0))
    lowest, highest = joined().fold(np.fmin, lowest), joined().fold(np.fmax, highest)
    has_values = lowest <= highest
    return np.where(has_values, lowest, 0), np.where(has_values, highest, 0)


def count_rows(rows):
    """Return the number of rows; in a group that of all ranks."""
    return joined().sum(len(rows))[0]


def evenly_spaced(n_rows, most, group=None):
    """Return a slice of at most so many rows; in a group of all ranks together.

    The rows of all ranks, one rank after the other, give the same ones as in one process.
    """
    before, n_all = (joined() if group is None else group).place(n_rows)
    step = -(-n_all // most)
    return slice(-before % step, None, step)


def open_rows(X, units, device, support=_UNBOUNDED):
    """Return rows in model units, for training.

    They are copied if that is cheap or cannot be avoided. Else a contiguous float32 array, a
    file and a sparse matrix are read batch by batch.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    units : Units
    device : torch.device
    support : tuple of float
        Values outside, which can only be rounding errors, are clipped to it.

    Returns
    -------
    Tensor or StreamedRows of shape (n, n_features), dtype float32
    """
    rows = StreamedRows(X, units, device, support)
    if device.type == "cpu" and _can_share(X, units, support):
        return torch.from_numpy(X)
    if not _should_copy(X, device):
        return rows
    kept = torch.empty(X.shape, dtype=torch.float32, device=device)
    for part in row_slices(X.shape):
        kept[part] = rows[part]
    return kept


def _can_share(X, units, support):
    """Whether the array can be used as a tensor without a copy."""
    if not isinstance(X, np.ndarray) or X.dtype != np.float32 or not X.flags.carray:
        return False
    if not units.is_identity:
        return False
    if support == _UNBOUNDED:
        return True
    lowest, highest = extremes(X)
    return lowest.min() >= support[0] and highest.max() <= support[1]


def _should_copy(X, device):
    """Whether to keep a copy of the rows on the device."""
    if device.type == "cuda":
        return fits(X.shape, device)
    can_stream = not isinstance(X, np.ndarray) or (
        X.strides[1] == X.itemsize and (X.dtype == np.float32 or _is_mapped(X))
    )
    return fits(X.shape, device) or not can_stream


def fits(shape, device):
    """Whether a float32 tensor is small enough to be kept on a device for a whole training."""
    most = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else _SMALL
    return 4 * math.prod(shape) < most


def _is_mapped(X):
    """Whether an array is memory-mapped: a copy may not fit into memory."""
    while isinstance(X, np.ndarray):
        X = X.base
    return isinstance(X, mmap.mmap)


def indexed_from(rows):
    """Return the device for indices of the rows.

    For streamed rows it is the CPU: copying indices from a GPU would wait for it.
    """
    if isinstance(rows, Subset | MappedRows | RowsOfModels):
        return indexed_from(rows.rows)
    return rows.device if isinstance(rows, torch.Tensor) else torch.device("cpu")


class _RowsView:
    """Base of classes that behave like a float32 tensor of rows, but read rows on demand."""

    def __len__(self):
        return self.shape[0]

    def numel(self):
        """Return the number of elements."""
        return self.shape[0] * self.shape[1]


class StreamedRows(_RowsView):
    """Rows of an array, file or sparse matrix, mapped into model units as they are read.

    Parameters
    ----------
    X, units, device, support
        As in :func:`open_rows`.
    """

    def __init__(self, X, units, device, support):
        self.X, self.units, self.device, self.support = X, units, device, support
        self.shape = X.shape

    def __getitem__(self, index):
        """Return rows as a tensor; for indices (..., n) it is (..., n, n_features)."""
        whole = isinstance(index, slice)
        block = dense(self.X[index if whole else index.numpy().ravel()])
        if self.support != _UNBOUNDED:
            block = np.clip(block, *self.support)
        rows = _as_tensor(self.units.to_model(block, np.float32))
        if self.device.type == "cuda":
            rows = rows.pin_memory().to(self.device, non_blocking=True)
        return rows if whole else rows.reshape(*index.shape, self.shape[1])


class Subset(_RowsView):
    """Some of the given rows, copied only when they are indexed.

    Parameters
    ----------
    rows : Tensor or StreamedRows of shape (n, n_features)
    indices : Tensor of int
    """

    def __init__(self, rows, indices):
        self.rows = rows
        self.indices = indices.to(indexed_from(rows))
        self.device = rows.device
        self.shape = (len(indices), rows.shape[1])

    def __getitem__(self, index):
        """Return rows as a tensor."""
        return self.rows[self.indices[index]]


class MappedRows(_RowsView):
    """Rows to which a function is applied as they are read.

    Parameters
    ----------
    rows : Tensor or StreamedRows of shape (n, n_features)
    function : callable
        Maps a tensor (..., n_features) to one (..., width).
    width : int
    """

    def __init__(self, rows, function, width):
        self.rows, self.function = rows, function
        self.device = rows.device
        self.shape = (len(rows), width)

    def __getitem__(self, index):
        """Return rows as a tensor."""
        return self.function(self.rows[index])


class RowsOfModels(_RowsView):
    """Rows of which each of several models that are trained together has its own version.

    Parameters
    ----------
    rows : Tensor of shape (n_models, n, width)
    """

    def __init__(self, rows):
        n_models, n_rows, width = rows.shape
        self.rows = rows.flatten(0, 1)
        self.device = rows.device
        self.shape = (n_rows, width)
        self._starts = torch.arange(n_models, device=rows.device)[:, None] * n_rows

    def __getitem__(self, index):
        """Return rows (n_some, n, width) of the first models for indices (n_some, n)."""
        return embedding(index.to(self.device) + self._starts[: len(index)], self.rows)
