"""The likelihood of columns of several kinds."""

from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import _safe_indexing
from sklearn.utils._indexing import _get_column_indices
from sklearn.utils.metaestimators import _BaseComposition

from skvae.components import resolve
from skvae.data.columns import column_name
from skvae.data.marginals import NormalScores
from skvae.data.rows import MappedRows
from skvae.likelihoods.base import Likelihood
from skvae.likelihoods.mixed_heads import Columns, MixedHead, MixedInputs
from skvae.likelihoods.mixed_start import ScaledInputs
from skvae.likelihoods.registry import LIKELIHOODS


class Mixed(Likelihood, _BaseComposition):
    """Columns of several kinds, each with its own likelihood.

    Given the code the parts of a row are independent: the log-density is the sum of theirs.

    Parameters
    ----------
    parts : list of tuple
        ``(name, likelihood, columns)``, as the transformers of a
        :class:`~sklearn.compose.ColumnTransformer`. A likelihood is an object or a name;
        columns are positions, a slice, a mask, names, or a callable such as
        :func:`~sklearn.compose.make_column_selector`. Each column is in one part.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> from skvae.likelihoods import Gaussian, Mixed
    >>> mixed = Mixed([("sizes", Gaussian(), [0, 1]), ("counts", "poisson", [2])])
    >>> VAETransformer(likelihood=mixed).get_params()["likelihood__sizes__noise"]
    'auto'
    """

    _parameter_constraints = {"parts": [list, tuple]}

    has_closed_form = True
    can_corrupt = False

    def __init__(self, parts):
        self.parts = parts

    # -- parameters ------------------------------------------------------------------------

    @property
    def _named(self):
        return [(name, likelihood) for name, likelihood, _ in self.parts]

    @_named.setter
    def _named(self, value):
        self.parts = [
            (*named, columns) for named, (_, _, columns) in zip(value, self.parts, strict=True)
        ]

    def get_params(self, deep=True):
        """Return the parameters, and with `deep` those of the parts as ``name__parameter``."""
        return self._get_params("_named", deep=deep)

    def set_params(self, **params):
        """Set parameters, also those of the parts as ``name__parameter``."""
        if "parts" in params:
            self.parts = params.pop("parts")
        nested = {key.partition("__")[0] for key in params if "__" in key}
        self._named = [
            (
                name,
                resolve(part, LIKELIHOODS)
                if name in nested and isinstance(part, str)
                else part,
            )
            for name, part in self._named
        ]
        return self._set_params("_named", **params)

    def check(self):
        """Raise ValueError or TypeError when a parameter is out of range."""
        super().check()
        if not self.parts or any(len(part) != 3 for part in self.parts):
            raise ValueError(
                "The parts of the Mixed likelihood must be tuples (name, likelihood, columns), "
                f"at least one; got {self.parts!r}."
            )
        self._validate_names([name for name, *_ in self.parts])
        for name, likelihood, _ in self.parts:
            with _naming_part(name):
                resolve(likelihood, LIKELIHOODS)

    # -- the columns of the parts ----------------------------------------------------------

    def resolve_columns(self, table, feature_names=None):
        """Return a Mixed with likelihood objects, and lists of positions for all columns.

        Parameters
        ----------
        table : ndarray, sparse matrix or frame of shape (n, n_features)
            In which columns are looked up.
        feature_names : array-like of str, default=None
            Names for errors.

        Raises
        ------
        ValueError
            If a column is in two parts or in none, a part has no column, or there are no such
            columns.
        """
        parts = [
            (name, resolve(likelihood, LIKELIHOODS), _positions(name, columns, table))
            for name, likelihood, columns in self.parts
        ]
        _check_partition(parts, table.shape[1], feature_names)
        return Mixed([_resolve_inner(*part, table, feature_names) for part in parts])

    def members(self):
        """Return name, likelihood and columns of each part, after `resolve_columns`."""
        return [
            (name, part, np.asarray(columns, dtype=np.intp))
            for name, part, columns in self.parts
        ]

    @property
    def is_density(self):
        """Whether that of every part is one."""
        return all(part.is_density for _, part, _ in self.members())

    def for_columns(self, kinds, n_levels, names):
        """Return the likelihood with its parts for the kinds of their columns."""
        parts = []
        for name, part, columns in self.members():
            own = [[values[j] for j in columns] for values in (kinds, n_levels, names)]
            with _naming_part(name):
                part = resolve(part, LIKELIHOODS).for_columns(*own)
            parts.append((name, part, columns.tolist()))
        return Mixed(parts)

    def for_data(self, X, image_shape=None):
        """Return the likelihood with columns by position, and its parts for their columns."""
        members = self.resolve_columns(X).members()
        parts = []
        for name, part, columns in members:
            with _naming_part(name):
                parts.append((name, part.for_data(X[:, columns]), columns.tolist()))
        return Mixed(parts)

    # -- the model of the parts ------------------------------------------------------------

    @property
    def start_gain(self):
        """The smallest of the parts."""
        return min(part.start_gain for _, part, _ in self.members())

    def units(self, X):
        """Return the units of the parts."""
        parts = []
        for name, part, columns in self.members():
            with _naming_part(name):
                parts.append((columns, part.units(X[:, columns])))
        return NormalScores.joined(parts, X.shape[1])

    def n_raw(self, n_features):
        """Return the sum over the parts."""
        return sum(part.n_raw(len(columns)) for _, part, columns in self.members())

    def n_inputs(self, n_features):
        """Return the sum over the parts."""
        return sum(part.n_inputs(len(columns)) for _, part, columns in self.members())

    def input_groups(self, n_features):
        """Return the groups of the parts, one after the other."""
        groups = (part.input_groups(len(columns)) for _, part, columns in self.members())
        return tuple(size for part in groups for size in part)

    def scaled_inputs(self, n_features):
        """Return those of the parts, one after the other."""
        parts = (part.scaled_inputs(len(columns)) for _, part, columns in self.members())
        return np.concatenate(list(parts))

    def input_transform(self):
        """Return the module that gives the inputs of the parts."""
        _, parts, columns = zip(*self.members(), strict=True)
        return MixedInputs([part.input_transform() for part in parts], columns)

    def mean_as_inputs(self, mean):
        """Return the means of the parts as their inputs."""
        return torch.cat([part.mean_as_inputs(own) for part, own in self._means(mean)], dim=-1)

    def collapse(self, mean):
        """Return rows for means of the parts."""
        rows = mean.new_empty((*mean.shape[:-1], sum(len(c) for *_, c in self.members())))
        for (part, own), (*_, columns) in zip(self._means(mean), self.members(), strict=True):
            rows[..., columns] = part.collapse(own)
        return rows

    def _means(self, mean):
        """Return the parts with their own columns of a mean, which has those of the inputs."""
        _, parts, columns = zip(*self.members(), strict=True)
        widths = [part.n_inputs(len(own)) for part, own in zip(parts, columns, strict=True)]
        return list(zip(parts, mean.split(widths, dim=-1), strict=True))

    def head(self, units):
        """Return the head of the parts."""
        return MixedHead(self, units)

    # -- the start -------------------------------------------------------------------------

    def start(self, head, rows):
        """Return the raw output of the parts, and set their parameters."""
        # The head itself is on the CPU, wherever the rows are.
        pairs = zip(self.members(), head.heads, strict=True)
        return torch.cat(
            [
                part.start(
                    own, MappedRows(rows, Columns(columns).to(rows.device), own.n_features)
                )
                for (_, part, columns), own in pairs
            ]
        )

    def closed_form(self, rows, latent_dim, units):
        """Return the factor analysis of the inputs of complete rows."""
        return self._scaled_inputs(rows).complete_model(latent_dim)

    def model_of_observed(self, rows, latent_dim, units, tol=1e-4):
        """Return the factor analysis of the inputs that are there."""
        return self._scaled_inputs(rows).observed_model(latent_dim, tol)

    def _scaled_inputs(self, rows):
        n_features = rows.shape[1]
        transform = self.input_transform().to(rows.device)
        inputs = MappedRows(rows, transform, self.n_inputs(n_features))
        groups, is_scaled = self.input_groups(n_features), self.scaled_inputs(n_features)
        return ScaledInputs(inputs, groups, is_scaled)

    # -- the support -----------------------------------------------------------------------

    def check_support(self, X, feature_names=None, argument="X"):
        """Return the rows, or raise ValueError if a part has values outside its support."""
        names = np.arange(X.shape[1]) if feature_names is None else np.asarray(feature_names)
        for _, part, columns in self.members():
            part.check_support(X[:, columns], names[columns], argument)
        return X

    def clip(self, X, name="X"):
        """Return the rows, with values outside the support of their part moved to its edge."""
        for _, part, columns in self.members():
            own = X[:, columns]
            clipped = part.clip(own, name)
            if clipped is not own:
                X = X.copy()
                X[:, columns] = clipped
        return X


def _positions(name, columns, table):
    """Return the positions of columns that are given in any way."""
    with _naming_part(name):
        columns = columns(table) if callable(columns) else columns
        if isinstance(columns, slice) and columns == slice(None):
            return list(range(table.shape[1]))
        return [int(j) for j in _get_column_indices(table, columns)]


def _resolve_inner(name, part, columns, table, feature_names):
    """Return a part; if it is Mixed itself, its parts have positions among its own columns."""
    if isinstance(part, Mixed):
        own = _safe_indexing(table, columns, axis=1)
        names = None if feature_names is None else np.asarray(feature_names)[columns]
        with _naming_part(name):
            part = part.resolve_columns(own, names)
    return name, part, columns


def _check_partition(parts, n_features, feature_names):
    """Raise ValueError unless each column is in exactly one part, and no part is empty."""
    owners = [[] for _ in range(n_features)]
    for name, _, columns in parts:
        if not columns:
            raise ValueError(f"The part {name!r} of the Mixed likelihood has no columns.")
        for j in columns:
            owners[j].append(name)
    for j, names in enumerate(owners):
        if len(names) == 1:
            continue
        where = f"in the parts {' and '.join(map(repr, names))}" if names else "in no part"
        raise ValueError(
            f"{column_name(j, feature_names)} of X is {where} of the Mixed likelihood: each "
            "column must be in exactly one."
        )


@contextmanager
def _naming_part(name):
    """Name the part in errors that the body raises."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"In the part {name!r} of the Mixed likelihood: {error}") from error
