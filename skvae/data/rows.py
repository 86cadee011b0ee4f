"""Rows that are read block by block, whatever holds them: arrays, files, sparse matrices."""

import mmap

import numpy as np
import torch
from scipy import sparse

# Elements of a block; what is computed of it in float64 takes 32 MB.
BLOCK_ELEMENTS = 2**22
# Of a batch: the feature maps of more leave the cache, and take up to three times as long.
BATCH_ROWS, BATCH_ELEMENTS = 128, 2**18
# Up to so many bytes a copy in model units costs little, and saves time at each batch.
_SMALL = 2**26


def spans(shape, most=None):
    """Iterate over slices of rows that hold a bounded number of elements.

    Parameters
    ----------
    shape : tuple of int
        Of the rows.
    most : int, default=None
        Rows that a slice may hold at most.
    """
    n_rows, n_features = shape
    size = max(1, BLOCK_ELEMENTS // max(1, n_features))
    size = size if most is None else min(size, most)
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def batches(rows):
    """Iterate over slices of rows that a network computes in its fastest time per row."""
    yield from spans(rows.shape, max(BATCH_ROWS, BATCH_ELEMENTS // rows.shape[1]))


def blocks(X, most=None):
    """Iterate over blocks of rows, each dense; those of an array are views."""
    for span in spans(X.shape, most):
        yield dense(X[span])


def dense(X):
    """Return a sparse matrix as an array, and others as they are."""
    return X.toarray() if sparse.issparse(X) else X


def as_float64(rows):
    """Return a tensor or an array as an array in float64."""
    rows = rows.cpu().numpy() if isinstance(rows, torch.Tensor) else rows
    return rows.astype(np.float64)


def extremes(X):
    """Return the lowest and the highest value of each feature."""
    lowest, highest = np.inf, -np.inf
    for block in blocks(X):
        lowest = np.minimum(lowest, block.min(axis=0))
        highest = np.maximum(highest, block.max(axis=0))
    return lowest, highest


def feature_sums(rows):
    """Return the sum of each feature of rows in model units, in float64 on the CPU."""
    return sum(block.double().sum(0) for block in blocks(rows)).cpu()


def feature_moments(rows):
    """Return the mean and the variance of each feature, in float64 on the CPU."""
    mean = feature_sums(rows) / len(rows)
    centre = mean.to(rows.device)
    squares = sum((block - centre).square().sum(0) for block in blocks(rows))
    return mean, squares.cpu() / len(rows)


def open_rows(X, units, device, support=(-np.inf, np.inf)):
    """Return rows in model units as what training reads.

    They are copied where that is cheap or cannot be avoided; a float32 array whose rows
    lie in one piece, a file and a sparse matrix are read batch by batch.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    units : Units
    device : torch.device
    support : tuple of float
        Values that are by rounding outside are moved to its edge.

    Returns
    -------
    Tensor or StreamedRows of shape (n, n_features), dtype float32
    """
    rows = StreamedRows(X, units, device, support)
    if device.type == "cpu" and rows.as_they_are:
        return torch.from_numpy(X)
    if not _is_kept(X, device):
        return rows
    kept = torch.empty(X.shape, dtype=torch.float32, device=device)
    for span in spans(X.shape):
        kept[span] = rows[span]
    return kept


def _is_kept(X, device):
    """Whether to keep a copy of the rows on the device."""
    n_bytes = 4 * X.shape[0] * X.shape[1]
    if device.type == "cuda":
        return n_bytes < torch.cuda.mem_get_info(device)[0] // 2
    return n_bytes < _SMALL or not _can_stream(X)


def _can_stream(X):
    if sparse.issparse(X):
        return True
    whole_rows = X.strides[1] == X.itemsize
    return whole_rows and (X.dtype == np.float32 or _is_mapped(X))


def _is_mapped(X):
    """Whether an array lies in a file: a copy may be larger than the memory."""
    while isinstance(X, np.ndarray):
        X = X.base
    return isinstance(X, mmap.mmap)


def indexed_from(rows):
    """Return the device that indices of rows belong on.

    Those of streamed rows stay on the CPU: to fetch them from a GPU would be to wait for it.
    """
    if isinstance(rows, Subset):
        return indexed_from(rows.rows)
    return rows.device if isinstance(rows, torch.Tensor) else torch.device("cpu")


class _RowsView:
    """What acts like a float32 tensor of rows, and reads those it is asked for."""

    shape: tuple[int, int]
    device: torch.device

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
        self._bounded = bool(np.isfinite(support).any())

    def __getitem__(self, index):
        """Return rows as a tensor; of indices (..., n) it is (..., n, n_features)."""
        if isinstance(index, slice):
            return self._read(index)
        rows = self._read(index.numpy().ravel())
        return rows.reshape(*index.shape, self.shape[1])

    def _read(self, index):
        block = dense(self.X[index])
        if self._bounded:
            block = np.clip(block, *self.support)
        rows = self.units.enter(block, np.float32)
        rows = torch.from_numpy(np.require(rows, requirements=["C", "W"]))
        if self.device.type == "cuda":
            rows = rows.pin_memory().to(self.device, non_blocking=True)
        return rows

    @property
    def as_they_are(self):
        """Whether the array can serve as the tensor itself."""
        X = self.X
        if sparse.issparse(X) or X.dtype != np.float32 or not self.units.is_identity:
            return False
        if not (X.flags.c_contiguous and X.flags.writeable):
            return False
        return not self._bounded or self._is_inside()

    def _is_inside(self):
        lowest, highest = extremes(self.X)
        return lowest.min() >= self.support[0] and highest.max() <= self.support[1]


class Subset(_RowsView):
    """Some rows of others, copied only when they are asked for.

    Parameters
    ----------
    rows : Tensor or StreamedRows of shape (n, n_features)
    indices : Tensor of int
    """

    def __init__(self, rows, indices):
        self.rows = rows
        self.indices = indices.to(indexed_from(rows))
        self.shape = (len(indices), rows.shape[1])

    @property
    def device(self):
        """Where the rows are given."""
        return self.rows.device

    def __getitem__(self, index):
        """Return rows as a tensor."""
        return self.rows[self.indices[index]]
