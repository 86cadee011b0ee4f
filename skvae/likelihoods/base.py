"""What every likelihood shares: its support, its units and its head."""

import warnings

import numpy as np
from scipy import sparse
from torch import nn

from skvae.components import Component
from skvae.data.columns import column_name
from skvae.data.rows import blocks, dense, extremes
from skvae.data.units import Units

# Values so little outside the support are taken for its edge.
_ROUNDING = 1e-6


class Likelihood(Component):
    """A family of distributions p(x|z); builds the decoder's head."""

    kind = "likelihood"

    #: The closed interval that holds the data; the message says how to get there.
    support = (-np.inf, np.inf)
    remedy = ""

    def head(self, rows, units) -> "LikelihoodHead":
        """Return the head for training rows (n, n_features) in model units.

        They may be too many to be held at once: :func:`skvae.data.rows.blocks` gives tensors.
        """
        raise NotImplementedError

    def units(self, X) -> Units:
        """Return the model's units for the training data."""
        return Units.identity(X.shape[1])

    def lens(self) -> nn.Module | None:
        """Return what the encoder sees the rows through, or None for the rows themselves."""
        return None

    def linear_start(self, rows, latent_dim, units):
        """Return the closed-form linear-Gaussian model of the rows, or None."""
        return None

    def check_support(self, X, feature_names=None, argument="X"):
        """Return training data, or raise ValueError where they leave the support.

        The message names the column that is furthest outside and its range. Rounding is
        forgiven: MinMaxScaler gives values of 1 + 2e-16. It is clipped as the rows are read.
        """
        low, high = self.support
        if not np.isfinite(self.support).any():
            return X
        lowest, highest = extremes(X)
        excess = np.maximum(low - lowest, highest - high)
        worst = int(np.argmax(excess))
        if excess[worst] > _ROUNDING:
            name = column_name(worst, feature_names)
            raise ValueError(
                f"The {type(self).__name__} likelihood needs values in [{low:g}, {high:g}], "
                f"but {name} of {argument} ranges from {lowest[worst]:.6g} to "
                f"{highest[worst]:.6g}. {self.remedy}"
            )
        return X

    def clip(self, X, name="X"):
        """Return `X` with values outside the support moved to its edge, and warn once.

        A held-out fold scaled by the training fold's minimum and maximum leaves the
        support slightly; an error there would break every grid search.
        """
        low, high = self.support
        if not np.isfinite(self.support).any():
            return X
        lowest, highest = extremes(X)
        if lowest.min() >= low and highest.max() <= high:
            return X
        outside = sum(
            np.count_nonzero((low - _ROUNDING > block) | (high + _ROUNDING < block))
            for block in blocks(X)
        )
        if outside:
            warnings.warn(
                f"{outside} of the {X.shape[0] * X.shape[1]} values of {name} lie outside "
                f"[{low:g}, {high:g}], the support of the {type(self).__name__} likelihood, "
                "and were clipped to it.",
                UserWarning,
                stacklevel=4,
            )
        return _clipped(X, low, high)

    def _inside(self, X):
        """Iterate over dense blocks of rows, with rounding outside the support clipped."""
        for block in blocks(X):
            yield np.clip(block, *self.support)


def _clipped(X, low, high):
    if not sparse.issparse(X) or not low <= 0 <= high:
        return np.clip(dense(X), low, high)
    X = X.copy()
    # An element may be stored in parts, and only their sum is the value.
    X.sum_duplicates()
    np.clip(X.data, low, high, out=X.data)
    return X


class LikelihoodHead(nn.Module):
    """Turns raw decoder output into p(x|z); holds the likelihood's own parameters.

    Attributes
    ----------
    n_raw : int
        Raw outputs that the decoder must give per row.
    start_bias : Tensor of shape (n_raw,)
        Raw output whose distribution has the mean of the training data.
    """

    n_raw: int

    #: Spread of a random start's raw output about that, relative to He's.
    start_gain = 1.0

    #: Whether a noise can be set from held-out residuals (`moments`, `set_noise`).
    has_noise = False

    def draw(self, p, rng):
        """Draw rows from `p` with NumPy's generator.

        torch's distributions draw from torch's global generator, which is the
        caller's.
        """
        raise NotImplementedError

    def affine_start(self, solution):
        """Take over a closed-form noise; return weight and bias of the raw output."""
        raise NotImplementedError

    def noise_variance(self):
        """Return the noise variance per feature in model units, or None."""
        return None
