"""The map between units of the data and of the model as torch modules, for export.

They compute in the dtype of their buffers. That is float32 by default, so the offset of a
column is kept in two parts: else the rows of one far from zero would lose their last digits.
"""

import numpy as np
import torch
from torch import nn

# A float32 differs from the number that it stands for by less, relative to it.
_ROUNDING = 1.5e-7


class ToModel(nn.Module):
    """Base of the maps of rows to model units.

    Parameters
    ----------
    loc : ndarray of shape (n_features,)
        Subtracted first.
    """

    def __init__(self, loc):
        super().__init__()
        register_float32(self, "loc", loc)
        register_float32(self, "loc_rest", loc - np.float32(loc))

    def centred(self, x):
        """Return rows (n, n_features) of any dtype without their offset."""
        return (x - self.loc - self.loc_rest).to(self.loc.dtype)


class Standardizing(ToModel):
    """Maps rows to ``(x - loc) / scale``.

    Parameters
    ----------
    loc, scale : ndarray of shape (n_features,)
    """

    def __init__(self, loc, scale):
        super().__init__(loc)
        register_float32(self, "factor", 1 / scale)

    def forward(self, x):
        """Return rows in model units."""
        return self.centred(x) * self.factor


class Unstandardizing(nn.Module):
    """Maps rows in model units back to ``u * scale + loc``.

    Parameters
    ----------
    loc, scale : ndarray of shape (n_features,)
    """

    def __init__(self, loc, scale):
        super().__init__()
        register_float32(self, "loc", loc)
        register_float32(self, "scale", scale)

    def forward(self, u):
        """Return rows in the units of the data."""
        return u * self.scale + self.loc


class Pieces(nn.Module):
    """Maps each column by a line of straight pieces, which may jump from one to the next.

    Parameters
    ----------
    columns : list of tuple of ndarray
        Of each column what `straight_pieces` returns.

    Attributes
    ----------
    ends : Tensor of shape (n_features * width,)
        Where the pieces of each column end, one column after the other; then infinite.
    origin, value, slope : Tensor of shape (n_features * (width + 1),)
        The line of a piece is ``value + slope * (x - origin)``.
    """

    def __init__(self, columns):
        super().__init__()
        ends, *lines = zip(*columns, strict=True)
        # One less than a power of two, for the search.
        self.n_steps = max(map(len, ends)).bit_length()
        width = 2**self.n_steps - 1
        register_float32(self, "ends", _joined(ends, width, np.inf))
        for name, parts in zip(("origin", "value", "slope"), lines, strict=True):
            register_float32(self, name, _joined(parts, width + 1, 0.0))
        self.register_buffer("column", torch.arange(len(columns)), persistent=False)

    def forward(self, x):
        """Return the values of rows (n, n_features)."""
        width = 2**self.n_steps - 1
        # A binary search: ONNX has no operator for torch.searchsorted.
        n_before = torch.zeros_like(x, dtype=torch.int64)
        for step in reversed(range(self.n_steps)):
            further = n_before + 2**step
            passed = x >= self.ends[self.column * width + further - 1]
            n_before = torch.where(passed, further, n_before)
        piece = self.column * (width + 1) + n_before
        return self.value[piece] + self.slope[piece] * (x - self.origin[piece])


class ToScores(ToModel):
    """Maps rows to normal scores.

    Parameters
    ----------
    loc : ndarray of shape (n_features,)
    columns : list of tuple of ndarray
        As for :class:`Pieces`, for columns without their offset.
    """

    def __init__(self, loc, columns):
        super().__init__(loc)
        self.pieces = Pieces(columns)

    def forward(self, x):
        """Return the scores."""
        return self.pieces(self.centred(x))


class OfScores(Unstandardizing):
    """Maps means of rows back where `ToScores` mapped the rows.

    Those of columns with scores are in the units of the data already.

    Parameters
    ----------
    loc, scale : ndarray of shape (n_features,)
        0 and 1 for columns with scores.
    whole : list of bool
        The columns that have whole numbers only.
    """

    def __init__(self, loc, scale, whole):
        super().__init__(loc, scale)
        self.register_buffer("whole", torch.tensor(whole), persistent=False)

    def forward(self, u):
        """Return rows in the units of the data."""
        x = super().forward(u)
        return torch.where(self.whole, x.round(), x)


def straight_pieces(function, ends, reach):
    """Return the pieces of a function which is straight between points.

    Parameters
    ----------
    function : callable
        Of an array.
    ends : ndarray of shape (n,)
        The points, sorted.
    reach : float
        The first and the last piece are computed from points at most so far outside.

    Returns
    -------
    ends : ndarray of shape (n,)
    origin, value, slope : ndarray of shape (n + 1,)
        A point of each piece, the function there, and its slope.
    """
    low = np.append(ends[0] - reach, ends)
    high = np.append(ends, ends[-1] + reach)
    origin, other = low + (high - low) / 3, low + (high - low) / 1.5
    value, run = function(origin), other - origin
    slope = np.divide(function(other) - value, run, out=np.zeros_like(run), where=run > 0)
    return ends, origin, value, slope


def pieces_to_scores(column_map):
    """Return the pieces of the map from values less their offset to scores.

    Parameters
    ----------
    column_map : ColumnMap
    """
    tied, loc = column_map.tied, column_map.offset
    around = _ROUNDING * (np.abs(tied) + np.abs(tied - loc)) + np.finfo(np.float32).tiny
    middles = tied[:-1] + np.diff(tied) / 2
    ends = np.unique([*column_map.values, *tied - around, *tied + around, *middles])
    ends, origin, value, slope = straight_pieces(column_map.to_scores, ends, column_map.spread)
    # A tied value is the end of one piece and the start of another.
    start = np.searchsorted(ends, tied, side="right")
    for piece in (start - 1, start):
        value[piece], slope[piece] = column_map.tied_scores, 0.0
    return ends - loc, origin - loc, value, slope


def register_float32(module, name, values):
    """Register an array as a buffer of float32, to which ``module.to(dtype)`` applies."""
    with np.errstate(over="ignore"):
        value = np.asarray(values, dtype=np.float32)
    if (np.isinf(value) & np.isfinite(values)).any():
        raise ValueError(
            "The units of X are beyond the range of float32, in which an exported module "
            "computes. Rescale X before fit, for example with StandardScaler."
        )
    module.register_buffer(name, torch.from_numpy(value), persistent=False)


def _joined(parts, width, padding):
    padded = [np.append(part, np.full(width - len(part), padding)) for part in parts]
    return np.concatenate(padded)
