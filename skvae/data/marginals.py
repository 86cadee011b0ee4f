"""Units in which each column is normal: its values are mapped to normal scores."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skvae.data.column_map import ColumnMap
from skvae.data.rows import BLOCK_ELEMENTS, blocks, dense, evenly_spaced, row_slices
from skvae.data.unit_modules import OfScores, ToScores, straight_pieces
from skvae.data.units import Units
from skvae.group import joined

# Rows from which the maps are computed, evenly spaced: more would not change them visibly.
_SAMPLE_ROWS = 2**18
_LINES = {"values": np.float64, "scores": np.float64, "n_points": np.int64}
_COLUMNS = {"unseen": np.float64, "spread": np.float64, "whole": np.bool_}


@dataclass(frozen=True)
class NormalScores(Units):
    """Normal scores of columns, each by its own map.

    Parameters
    ----------
    loc, scale, constant : ndarray of shape (n_features,)
        As in :class:`Units` for columns without a map; for others 0, 1 and False.
    maps : tuple of (ColumnMap or None)
        None for columns that are only centred and scaled, as those without values are.
    """

    maps: tuple

    @classmethod
    def of_rows(cls, X):
        """Return the normal scores of each column of the training data."""
        # It refuses values whose variance overflows.
        Units.standardizing(X)
        return cls(**vars(Units.identity(X.shape[1])), maps=tuple(map(_map_of, _columns(X))))

    @classmethod
    def from_arrays(cls, arrays):
        """Return the units that `to_arrays` describes.

        Raises
        ------
        ValueError
            If the arrays are not valid units.
        """
        units = Units.from_arrays(arrays)
        parts = _checked_parts(arrays, units.n_features)
        ends = np.cumsum(parts["n_points"])[:-1]
        lines = [np.split(parts[name], ends) for name in ("values", "scores")]
        others = [parts[name].tolist() for name in _COLUMNS]
        maps = [
            ColumnMap(values, *rest) if len(values) else None
            for values, *rest in zip(*lines, *others, strict=True)
        ]
        for j, one in enumerate(maps):
            if one is not None and not one.is_valid:
                raise ValueError(f"the map of feature {j} is not a monotone line")
        return cls(units.loc, units.scale, units.constant, tuple(maps))

    def to_arrays(self):
        """Return the units as a dictionary of arrays."""
        none = ColumnMap(np.zeros(0), np.zeros(0), 0.0, 1.0, False)
        maps = [none if one is None else one for one in self.maps]
        arrays = super().to_arrays()
        for name in ("values", "scores"):
            arrays[name] = np.concatenate([getattr(one, name) for one in maps])
        arrays["n_points"] = np.array([len(one.values) for one in maps], dtype=np.int64)
        for name, dtype in _COLUMNS.items():
            arrays[name] = np.array([getattr(one, name) for one in maps], dtype=dtype)
        return arrays

    def provisional(self):
        """Return the units: the maps of the first rows hold for all later ones."""
        return self

    @property
    def is_identity(self):
        """Whether the map changes nothing."""
        return False

    def of_columns(self, columns):
        """Return the units of some of the columns."""
        return self._with_maps(super().of_columns(columns), [self.maps[j] for j in columns])

    @classmethod
    def joined(cls, parts, n_features):
        """Return the units of all features from those of some, of either kind."""
        maps = [None] * n_features
        for columns, own in parts:
            if isinstance(own, NormalScores):
                for j, one in zip(columns, own.maps, strict=True):
                    maps[j] = one
        return cls._with_maps(Units.joined(parts, n_features), maps)

    @classmethod
    def _with_maps(cls, units, maps):
        mapped = any(one is not None for one in maps)
        return cls(**vars(units), maps=tuple(maps)) if mapped else units

    def log_jacobian_of(self, X):
        """Return the log of the factor between the densities of values and of scores.

        The density of values is with respect to counting measure at tied ones.
        """
        return np.concatenate([self._log_jacobian(block) for block in blocks(X)])

    def _log_jacobian(self, block):
        columns = block.astype(np.float64).T
        return sum(one.log_jacobian(x) for one, x in zip(self._each, columns, strict=True))

    def to_model(self, X, dtype=None):
        """Map rows to scores, by default in their own dtype."""
        out = np.empty(X.shape, dtype=X.dtype if dtype is None else dtype)
        for part in row_slices(X.shape):
            for j, one in enumerate(self._each):
                out[part, j] = one.to_scores(X[part, j].astype(np.float64))
        return out

    def to_data(self, U):
        """Map scores back into the units of the data, in the dtype of `U`."""
        return self._by_column(lambda one: one.to_values, U)

    def means_to_data(self, means):
        """Return means that are in the units of the data already; of whole numbers, rounded."""
        return self._by_column(lambda one: one.rounded, means)

    def _by_column(self, function_of, U):
        out = np.empty_like(U)
        for j, one in enumerate(self._each):
            out[:, j] = function_of(one)(U[:, j])
        return out

    def modules(self):
        """Return torch modules that map rows to scores, and means as `means_to_data` does."""
        offsets = np.array([one.offset for one in self._each])
        to_scores = ToScores(offsets, [one.pieces() for one in self._each])
        mapped = np.array([one is not None for one in self.maps])
        loc, scale = np.where(mapped, 0.0, self.loc), np.where(mapped, 1.0, self.scale)
        return to_scores, OfScores(loc, scale, [one.whole for one in self._each])

    @cached_property
    def _each(self):
        parts = zip(self.maps, self.loc, self.scale, strict=True)
        return [_Scaled(loc, scale) if one is None else one for one, loc, scale in parts]


@dataclass(frozen=True)
class _Scaled:
    """A column that is only centred and scaled."""

    loc: float
    scale: float
    whole = False

    @property
    def offset(self):
        return self.loc

    def pieces(self):
        return straight_pieces(lambda x: x / self.scale, np.zeros(1), self.scale)

    def to_scores(self, x):
        return (x - self.loc) / self.scale

    def to_values(self, u):
        return u * self.scale + self.loc

    rounded = to_values

    def log_jacobian(self, x):
        return np.where(np.isnan(x), 0.0, -np.log(self.scale))


def units_from_arrays(arrays):
    """Return the units of either kind that `to_arrays` describes."""
    return (NormalScores if "n_points" in arrays else Units).from_arrays(arrays)


def _columns(X):
    """Iterate over the values of the columns, in float64; many rows are sampled."""
    sample = X[evenly_spaced(X.shape[0], _SAMPLE_ROWS)]
    width = max(1, BLOCK_ELEMENTS // max(1, sample.shape[0]))
    for start in range(0, X.shape[1], width):
        block = dense(sample[:, start : start + width])
        for column in block.T.astype(np.float64):
            yield joined().concatenate(column[~np.isnan(column)])


def _map_of(column):
    return ColumnMap.of_values(column) if len(column) else None


def _checked_parts(arrays, n_features):
    """Return the arrays of maps by name; raise ValueError if dtypes or lengths are wrong."""
    dtypes = {**_LINES, **_COLUMNS}
    parts = {name: np.array(arrays.get(name)) for name in dtypes}
    fits = {name: part.dtype for name, part in parts.items()} == dtypes
    fits &= all(parts[name].shape == (n_features,) for name in ("n_points", *_COLUMNS))
    if fits:
        sizes = parts["n_points"]
        fits = (sizes >= 0).all() and (sizes != 1).all()
        fits &= parts["values"].shape == parts["scores"].shape == (sizes.sum(),)
    if not fits:
        raise ValueError(
            f"Normal scores of {n_features} features need values and scores of the points of "
            f"each, and one number each of {', '.join(('n_points', *_COLUMNS))}."
        )
    return parts
