"""Rows that lie in several arrays, as on a worker of a cluster."""

import numpy as np

from skvae.data.rows import blocks, dense


class Chunks:
    """Several tables one below the other, read like one array; they are never joined.

    Parameters
    ----------
    parts : list of {ndarray, sparse matrix, frame} of shape (n_part, n_features)
        At least one. Only of arrays and CSR matrices can rows be read.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.data.chunks import Chunks
    >>> X = Chunks([np.zeros((2, 3)), np.ones((4, 3))])
    >>> X.shape
    (6, 3)
    >>> X[np.array([5, 0])]
    array([[1., 1., 1.],
           [0., 0., 0.]])
    """

    def __init__(self, parts):
        self.parts = list(parts)
        self._ends = np.cumsum([part.shape[0] for part in self.parts])
        self.shape = (int(self._ends[-1]), self.parts[0].shape[1])

    @property
    def dtype(self):
        """The dtype that holds the values of all parts."""
        return np.result_type(*{part.dtype for part in self.parts})

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        """Return rows as a dense array; for (:, columns), the columns as `Chunks`.

        Rows that lie in one part are a view of it, if NumPy gives one.
        """
        if isinstance(key, tuple):
            return Chunks([part[key] for part in self.parts])
        if not isinstance(key, slice):
            return self._gather(key)
        start, stop, step = key.indices(len(self))
        if step != 1:
            return self._gather(np.arange(start, stop, step))
        first, last = np.searchsorted(self._ends, [start, max(start, stop - 1)], side="right")
        pieces = [
            dense(part[max(0, start - begin) : max(0, stop - begin)])
            for part, begin in self._placed(slice(first, last + 1))
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def sum(self, axis, dtype):
        """Return the sum of each column, for ``axis=0``."""
        return sum(block.sum(axis=axis, dtype=dtype) for block in blocks(self))

    def _gather(self, indices):
        """Return the rows at the indices, which are read part by part."""
        owners = np.searchsorted(self._ends, indices, side="right")
        order = np.argsort(owners, kind="stable")
        used, firsts = np.unique(owners[order], return_index=True)
        rows = np.empty((len(indices), self.shape[1]), dtype=self.dtype)
        lasts = np.append(firsts, len(order))[1:]
        for owner, first, last in zip(used, firsts, lasts, strict=True):
            places = order[first:last]
            ((part, begin),) = self._placed(slice(owner, owner + 1))
            rows[places] = dense(part[indices[places] - begin])
        return rows

    def _placed(self, which):
        """Iterate over some of the parts, each with the number of its first row."""
        for part, end in zip(self.parts[which], self._ends[which], strict=True):
            yield part, end - part.shape[0]


def parts_of(X):
    """Return the list of the tables in `X`, which may be one table."""
    return X.parts if isinstance(X, Chunks) else [X]


def map_parts(function, X):
    """Apply a function to each table in `X`, which may be one table."""
    if not isinstance(X, Chunks):
        return function(X)
    return Chunks([function(part) for part in X.parts])
