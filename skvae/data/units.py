"""The affine map between the units of the data and those of the model."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from skvae.data.missing import has_missing
from skvae.data.rows import blocks, extremes, row_slices
from skvae.data.unit_modules import Standardizing, Unstandardizing
from skvae.group import joined


@dataclass(frozen=True)
class Units:
    """Model units ``u = (x - loc) / scale``, one pair per feature.

    The map is a change of variables: a log-density in the units of the data is
    the one in model units plus `log_jacobian`.

    Parameters
    ----------
    loc, scale : ndarray of shape (n_features,), dtype float64
    constant : ndarray of shape (n_features,), dtype bool
        Features that are constant in the data from which the units were computed.

    Examples
    --------
    >>> import numpy as np
    >>> from skvae.data.units import Units
    >>> units = Units.standardizing(np.array([[1.0], [3.0]]))
    >>> units.to_model(np.array([[2.0], [5.0]])).tolist()
    [[0.0], [3.0]]
    """

    loc: np.ndarray
    scale: np.ndarray
    constant: np.ndarray

    @classmethod
    def identity(cls, n_features):
        """Return units that do not change the data."""
        return cls(np.zeros(n_features), np.ones(n_features), np.zeros(n_features, dtype=bool))

    @classmethod
    def standardizing(cls, X, shared=False):
        """Return units that subtract the mean and divide by the standard deviation.

        With `shared`, all features have the same scale, so that isotropic noise stays
        isotropic. A constant feature has the scale 1.
        """
        own = count_values(X)
        (n_values,) = joined().sum(own)
        with np.errstate(over="ignore", invalid="ignore"):
            lowest, highest = extremes(X)
            # The rounding error of the mean of equal values exceeds a constant's noise.
            loc = np.where(lowest == highest, lowest, _mean(X, own, n_values))
            (squares,) = joined().sum(sum(_sum(np.square(block - loc)) for block in blocks(X)))
            variance = squares / np.maximum(n_values, 1)
            pooled = float(np.mean(variance[n_values > 0])) if n_values.any() else 0.0
        finite = np.isfinite(loc) & np.isfinite(variance)
        if not (finite.all() and np.isfinite(pooled)):
            worst = int(np.argmin(finite) if not finite.all() else np.argmax(variance))
            raise ValueError(
                f"The values of feature {worst} of X are too large: their variance "
                "overflows float64. Rescale it, for example with StandardScaler."
            )
        # As in StandardScaler, a feature that varies by rounding errors only is constant.
        eps = np.finfo(np.float64).eps
        constant = variance <= n_values * eps * variance + (n_values * loc * eps) ** 2
        # Of a feature without values nothing is known.
        constant &= n_values > 0
        unscaled = constant | (n_values == 0)
        if shared:
            scale = np.full(X.shape[1], np.sqrt(pooled) if not unscaled.all() else 1.0)
        else:
            scale = np.where(unscaled, 1.0, np.sqrt(variance))
        return cls(loc, scale, constant)

    @classmethod
    def from_arrays(cls, arrays):
        """Return the units that `to_arrays` describes.

        Raises
        ------
        ValueError
            If the arrays are not valid units.
        """
        parts = loc, scale, constant = [
            np.array(arrays.get(name)) for name in ("loc", "scale", "constant")
        ]
        if not (
            [part.dtype for part in parts] == [np.float64, np.float64, np.bool_]
            and loc.ndim == 1
            and loc.shape == scale.shape == constant.shape
            and np.isfinite([loc, scale]).all()
            and (scale > 0).all()
        ):
            raise ValueError(
                "Units need 1-D arrays of one length: loc and scale of finite float64, scale "
                "positive, and constant of bool."
            )
        return cls(*parts)

    def to_arrays(self):
        """Return the units as a dictionary of arrays."""
        return {"loc": self.loc, "scale": self.scale, "constant": self.constant}

    def provisional(self):
        """Return units in which no feature is constant, as it may vary in later rows.

        For `partial_fit`: such a feature gets the mean scale of the others.
        """
        if not self.constant.any() or self.constant.all():
            return replace(self, constant=np.zeros_like(self.constant))
        typical = self.scale[~self.constant].mean()
        scale = np.where(self.constant, typical, self.scale)
        return Units(self.loc, scale, np.zeros_like(self.constant))

    def of_columns(self, columns):
        """Return the units of some of the columns."""
        return Units(self.loc[columns], self.scale[columns], self.constant[columns])

    @staticmethod
    def joined(parts, n_features):
        """Return the units of all features from those of some.

        Parameters
        ----------
        parts : list of tuple of (ndarray of int, Units)
            The columns of each part, and their units.
        n_features : int
        """
        whole = Units.identity(n_features)
        for columns, units in parts:
            for name in ("loc", "scale", "constant"):
                getattr(whole, name)[columns] = getattr(units, name)
        return whole

    @property
    def n_features(self):
        """Number of features."""
        return len(self.loc)

    @property
    def log_jacobian(self):
        """Log-determinant of ``du/dx``, in nats per row."""
        return -float(np.log(self.scale).sum())

    def log_jacobian_of(self, X):
        """Return `log_jacobian`, or that of each row's values if some are missing."""
        if not has_missing(X):
            return self.log_jacobian
        logs = np.log(self.scale)
        return -np.concatenate([~np.isnan(block) @ logs for block in blocks(X)])

    @property
    def is_identity(self):
        """Whether the map changes nothing."""
        return bool((self.loc == 0).all() and (self.scale == 1).all())

    def to_model(self, X, dtype=None):
        """Map rows into model units, by default in their own dtype.

        The difference is taken in float64: if the offset of a column were rounded to
        float32, its rows would lose their last digits.
        """
        dtype = X.dtype if dtype is None else dtype
        if self.is_identity:
            return X.astype(dtype, copy=False)
        out = np.empty(X.shape, dtype=dtype)
        # In blocks, so that a large array is never copied in float64.
        for part in row_slices(X.shape):
            centred = X[part] - self.loc
            np.divide(centred, self.scale, out=out[part], casting="same_kind")
        return out

    def to_data(self, U):
        """Map rows back into the units of the data, in the dtype of `U`."""
        if self.is_identity:
            return U
        return (U * self.scale + self.loc).astype(U.dtype, copy=False)

    def means_to_data(self, means):
        """Map means of p(x|z), as the likelihood's head gives them, into those of the data."""
        return self.to_data(means)

    def modules(self):
        """Return torch modules that map rows to model units, and means as `means_to_data`."""
        return Standardizing(self.loc, self.scale), Unstandardizing(self.loc, self.scale)


def column_maps(units):
    """Return the map of each column to normal scores; None for those without one."""
    return getattr(units, "maps", (None,) * units.n_features)


def count_values(X):
    """Return the number of values of each feature that are not missing."""
    if not has_missing(X):
        return np.full(X.shape[1], X.shape[0])
    return sum(np.count_nonzero(~np.isnan(block), axis=0) for block in blocks(X))


def _mean(X, own, n_values):
    """Return the mean of each feature in float64; 0 without values.

    `own` are the numbers of values in `X`, and `n_values` those of all ranks of a group.
    """
    if (own < X.shape[0]).any():
        total = sum(np.nansum(block, axis=0, dtype=np.float64) for block in blocks(X))
    elif not sparse.issparse(X):
        total = X.sum(axis=0, dtype=np.float64)
    else:
        # Row by row, like NumPy sums the columns of an array: the result is the same.
        total = np.bincount(X.indices, weights=X.data, minlength=X.shape[1])
    (total,) = joined().sum(total)
    return total / np.maximum(n_values, 1)


def _sum(block):
    """Return the sum of the values of each feature."""
    total = block.sum(axis=0)
    return np.nansum(block, axis=0) if np.isnan(total).any() else total
