"""The second moment of rows: a matrix, or for many features its leading part.

References
----------
N. Halko, P.-G. Martinsson and J. A. Tropp (2011), Finding structure with randomness,
SIAM Review 53(2), algorithms 4.4 (by scikit-learn) and 5.5.
"""

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.utils.extmath import randomized_svd

from skvae.data.rows import as_float64, blocks, count_rows, evenly_spaced
from skvae.group import joined

# Below this width LAPACK's dense solver is faster than Lanczos iteration.
_DENSE_WIDTH = 200
# Above this width the matrix takes longer to compute than its leading part to find and use.
_WIDEST_MATRIX = 2000
# Size of the sample of rows in which the leading part is found.
_SAMPLE_ROWS = 4096
_SAMPLE_ELEMENTS = 2**25


def second_moment(rows, latent_dim, tol=0.0):
    """Return the second moment of centred rows, or the part that `latent_dim` factors need.

    Parameters
    ----------
    rows : Tensor or StreamedRows of shape (n, n_features)
    latent_dim : int
    tol : float, default=0.0
        Relative error of the eigenvalues of wide matrices; 0 is machine precision. Equal ones,
        as those of the categories of one variable, take very long to tell apart.

    Returns
    -------
    DenseSecondMoment or LowRankSecondMoment
    """
    width = rows.shape[1]
    # More than `latent_dim`, as scaling by the noise changes the order of the directions.
    rank = 2 * latent_dim + 40
    if width <= _WIDEST_MATRIX or rank > width // 2:
        return DenseSecondMoment.of_rows(rows, tol=tol)
    return LowRankSecondMoment.of_rows(rows, rank, tol)


class DenseSecondMoment:
    """A second moment as a matrix.

    Parameters
    ----------
    matrix : ndarray of shape (n_features, n_features)
    tol : float, default=0.0
        As in :func:`second_moment`.
    """

    def __init__(self, matrix, tol=0.0):
        self.matrix, self.tol = matrix, tol

    @classmethod
    def of_rows(cls, X, block=8192, tol=0.0):
        """Compute ``X' X / n`` in float64, without a float64 copy of `X`."""
        parts = (as_float64(rows) for rows in blocks(X, most=block))
        total, n_rows = joined().sum(sum(rows.T @ rows for rows in parts), len(X))
        return cls(total / n_rows, tol)

    def diagonal(self):
        """Return the second moment of each feature."""
        return np.diag(self.matrix).copy()

    def leading(self, count, scale=1.0):
        """Return the largest `count` eigenvalues, descending, and their vectors.

        They are those of the features divided by `scale`.
        """
        matrix = self.matrix / np.outer(scale, scale)
        width = len(matrix)
        count = min(count, width)
        if not matrix.any():
            return np.zeros(count), np.eye(width, count)
        if width <= _DENSE_WIDTH or count > width // 10:
            values, vectors = eigh(matrix, subset_by_index=(width - count, width - 1))
            if len(values) < count:
                # LAPACK's driver for a part of the eigenvalues can miss equal ones.
                values, vectors = eigh(matrix)
            return values[: -count - 1 : -1], vectors[:, : -count - 1 : -1]
        return _lanczos(matrix, count, self.tol)


class LowRankSecondMoment:
    """Leading directions of a second moment, and the diagonal of the rest.

    The matrix ``axes diag(values) axes' + P diag(rest) P`` is never computed. ``P`` projects
    onto the orthogonal complement of the axes, and `rest` adds the remaining variances: as a
    plain diagonal they would count twice along the axes.

    Parameters
    ----------
    variance : ndarray of shape (n_features,)
        The exact diagonal.
    axes : ndarray of shape (n_features, rank)
        Orthonormal columns.
    values : ndarray of shape (rank,)
        Second moments along the axes.
    tol : float, default=0.0
        As in :func:`second_moment`.
    """

    def __init__(self, variance, axes, values, tol=0.0):
        self.variance, self.axes, self.values, self.tol = variance, axes, values, tol
        squares = np.square(axes)
        missing = np.maximum(variance - squares @ values, 0)
        self.rest = missing / np.maximum(1 - squares.sum(axis=1), 1e-6)

    @classmethod
    def of_rows(cls, rows, rank, tol=0.0):
        """Compute that of all rows, along directions found in evenly spaced ones.

        In a sample with fewer rows than features the largest variances are too large: only
        their directions are used, and one pass over all rows gives the Nystroem approximation
        ``S V (V' S V)^-1 V' S`` (algorithm 5.5), which never exceeds `S` itself.
        """
        directions = _leading_directions(rows, rank)
        variance, image = _image(rows, directions)
        values, vectors = eigh(directions.T @ image)
        found = values > values[-1] * len(image) * np.finfo(np.float32).eps
        root = image @ (vectors[:, found] / np.sqrt(values[found]))
        axes, scale, _ = np.linalg.svd(root, full_matrices=False)
        return cls(variance, axes, np.square(scale), tol)

    def diagonal(self):
        """Return the second moment of each feature."""
        return self.variance.copy()

    def leading(self, count, scale=1.0):
        """Return the largest `count` eigenvalues, descending, and their vectors.

        They are those of the features divided by `scale`.
        """
        width = len(self.variance)
        if not self.variance.any():
            return np.zeros(count), np.eye(width, count)

        def product(x):
            return self.times(x.ravel() / scale) / scale

        operator = LinearOperator((width, width), matvec=product, dtype=np.float64)
        return _lanczos(operator, count, self.tol)

    def times(self, x):
        """Return the product with a vector."""
        along = self.axes.T @ x
        beside = self.rest * (x - self.axes @ along)
        return self.axes @ (self.values * along - self.axes.T @ beside) + beside


def _leading_directions(rows, rank):
    """Return orthonormal columns that span the leading directions of a sample of rows."""
    n_rows, width = rows.shape
    most = min(_SAMPLE_ROWS, max(_SAMPLE_ELEMENTS // width, 2 * rank))
    sample = joined().concatenate(rows[evenly_spaced(n_rows, most)].cpu().numpy())
    rank = min(rank, len(sample))
    _, _, directions = randomized_svd(sample, rank, random_state=0)
    return np.linalg.qr(directions.T.astype(np.float64)).Q


def _image(rows, directions):
    """Return the variance of each feature and the second moment times `directions`."""
    columns = torch.as_tensor(directions, dtype=torch.float32, device=rows.device)
    variance = image = 0
    for block in blocks(rows):
        variance = variance + block.double().square().sum(0)
        image = image + (block.T @ (block @ columns)).double()
    variance, image = joined().sum(variance.cpu().numpy(), image.cpu().numpy())
    n_rows = count_rows(rows)
    return variance / n_rows, image / n_rows


def _lanczos(matrix, count, tol):
    """Return the largest eigenvalues, descending, and their vectors."""
    # The iteration starts from a random vector, and may restart from another: both are seeded.
    rng = np.random.default_rng(0)
    start = rng.standard_normal(matrix.shape[0])
    values, vectors = eigsh(matrix, k=count, v0=start, tol=tol, rng=rng)
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]
