"""The affine map between the caller's units and the model's."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from skvae.data.rows import blocks, dense, spans


@dataclass(frozen=True)
class Units:
    """Model units ``u = (x - loc) / scale``, one pair per feature.

    The map is a change of variables: a log-density in the units of the data is
    the one in model units plus `log_jacobian`.

    Parameters
    ----------
    loc, scale : ndarray of shape (n_features,), dtype float64
    constant : ndarray of shape (n_features,), dtype bool
        Features that do not vary in the data that the units were taken from.
    """

    loc: np.ndarray
    scale: np.ndarray
    constant: np.ndarray

    @classmethod
    def identity(cls, n_features):
        """Leave the data as they are."""
        return cls(np.zeros(n_features), np.ones(n_features), np.zeros(n_features, dtype=bool))

    @classmethod
    def standardizing(cls, X, shared=False):
        """Centre by the mean and divide by the standard deviation.

        With `shared`, one scale serves all features, which keeps an isotropic
        noise isotropic. A constant feature keeps the scale 1.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            loc = _mean(X)
            # The mean of equal values is off by rounding: more than a spike is wide.
            first = dense(X[:1])[0]
            loc = np.where(_always(first, X), first, loc)
            variance = _variance(X, loc)
            pooled = float(np.mean(variance))
        finite = np.isfinite(loc) & np.isfinite(variance)
        if not (finite.all() and np.isfinite(pooled)):
            worst = int(np.argmin(finite) if not finite.all() else np.argmax(variance))
            raise ValueError(
                f"The values of feature {worst} of X are too large: their variance "
                "overflows float64. Rescale it, for example with StandardScaler."
            )
        # As StandardScaler: what differs by rounding only is constant.
        eps = np.finfo(np.float64).eps
        n_rows = X.shape[0]
        constant = variance <= n_rows * eps * variance + (n_rows * loc * eps) ** 2
        if shared:
            scale = np.full(X.shape[1], np.sqrt(pooled) if not constant.all() else 1.0)
        else:
            scale = np.where(constant, 1.0, np.sqrt(variance))
        return cls(loc, scale, constant)

    def provisional(self):
        """Return units in which a constant feature may still come to vary.

        For a stream, whose first rows do not show every value: such a feature gets the
        mean scale of the others.
        """
        if not self.constant.any() or self.constant.all():
            return replace(self, constant=np.zeros_like(self.constant))
        typical = self.scale[~self.constant].mean()
        scale = np.where(self.constant, typical, self.scale)
        return Units(self.loc, scale, np.zeros_like(self.constant))

    @property
    def log_jacobian(self):
        """Log-determinant of ``du/dx``, in nats per row."""
        return -float(np.log(self.scale).sum())

    @property
    def is_identity(self):
        """Whether the map changes nothing."""
        return bool((self.loc == 0).all() and (self.scale == 1).all())

    def enter(self, X, dtype=None):
        """Map rows into model units; the difference is taken in float64.

        A float32 row of a column with a large offset loses its digits when the
        offset is rounded to float32 as well.
        """
        dtype = X.dtype if dtype is None else dtype
        if self.is_identity:
            return X.astype(dtype, copy=False)
        out = np.empty(X.shape, dtype=dtype)
        # By blocks, so that a large array is never doubled in float64.
        for span in spans(X.shape):
            centred = X[span] - self.loc
            np.divide(centred, self.scale, out=out[span], casting="same_kind")
        return out

    def leave(self, U):
        """Map rows back into the units of the data, in the dtype of `U`."""
        if self.is_identity:
            return U
        return (U * self.scale + self.loc).astype(U.dtype, copy=False)


def _always(row, X):
    """Whether each feature has that row's value in all rows."""
    same = np.ones(X.shape[1], dtype=bool)
    for block in blocks(X):
        same &= (row == block).all(axis=0)
    return same


def _mean(X):
    """Mean per feature in float64."""
    if not sparse.issparse(X):
        return X.mean(axis=0, dtype=np.float64)
    # Row after row, as NumPy sums the columns of an array: the same bits.
    sums = np.bincount(X.indices, weights=X.data, minlength=X.shape[1])
    return sums / X.shape[0]


def _variance(X, loc):
    """Two-pass variance in float64, by blocks."""
    total = np.zeros(X.shape[1])
    for block in blocks(X):
        total += np.square(block - loc).sum(axis=0)
    return total / X.shape[0]
