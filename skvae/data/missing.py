"""Missing values: NaN in the rows of a table."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from skvae.data.rows import blocks


@dataclass(frozen=True)
class IncompleteRows:
    """Rows with missing values, as a model takes them.

    Parameters
    ----------
    values : Tensor of shape (..., n, n_features)
        The rows in model units, with 0 for missing values.
    missing : Tensor of the same shape, dtype bool
    inputs : Tensor of shape (..., n, n_inputs)
        The rows for the encoder, with missing values filled.
    factor : Tensor of shape (..., n, latent_dim, latent_dim)
        Lower triangular factor by which a posterior of complete rows is wider without the
        missing values; the identity for a complete row, and for one without any value.
    """

    values: torch.Tensor
    missing: torch.Tensor
    inputs: torch.Tensor
    factor: torch.Tensor

    def fill(self, values):
        """Return the rows with those of other rows (n, n_features) for missing values."""
        return torch.where(self.missing, values, self.values)

    def side_by_side(self):
        """Return all of it as one tensor (..., n, width), from which rows are taken at once."""
        own = self.values.masked_fill(self.missing, torch.nan)
        shape = self.inputs.shape[:-1]
        parts = own, self.inputs, self.factor.flatten(-2)
        return torch.cat([part.expand(*shape, -1) for part in parts], dim=-1)

    @classmethod
    def from_side_by_side(cls, x, n_features, n_inputs):
        """Return the rows of a tensor that `side_by_side` gave."""
        rest = x.shape[-1] - n_features - n_inputs
        values, inputs, factor = x.split((n_features, n_inputs, rest), dim=-1)
        missing, k = values != values, math.isqrt(rest)
        known = torch.where(missing, 0.0, values)
        return cls(known, missing, inputs, factor.unflatten(-1, (k, k)))

    @property
    def is_empty(self):
        """Rows without any value, (..., n)."""
        return self.missing.all(-1)


def has_missing(X):
    """Whether an array, a CSR matrix, or rows in model units have NaN."""
    if sparse.issparse(X):
        return bool(np.isnan(X.data).any())
    # The sum of a block is NaN if one of its values is, and much faster than to test each.
    with np.errstate(over="ignore", invalid="ignore"):
        return any(np.isnan(float(block.sum())) and _any_nan(block) for block in blocks(X))


def _any_nan(block):
    # A sum is NaN too if there are infinities of both signs.
    return bool((block != block).any())


def is_missing_value(value):
    """Whether a cell of an array of objects has no value."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, (float, np.floating)) and value != value


def check_has_values(name, X):
    """Return whether values of a table are missing; raise ValueError if all are."""
    missing = has_missing(X)
    if missing and all((block != block).all() for block in blocks(X)):
        raise ValueError(f"All values of {name} are missing.")
    return missing


def masked_as_nan(X):
    """Return a masked array with NaN under its mask, and anything else unchanged."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    kind = X.dtype if X.dtype.kind == "f" else np.float64
    return X.astype(kind).filled(np.nan)
