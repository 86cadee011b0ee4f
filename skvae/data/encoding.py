"""Tables of columns of every kind as a matrix of numbers and codes, and back."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import (
    _check_categorical_features,
    _check_feature_names,
    _get_feature_names,
)

from skvae.callers import stacklevel_of_user
from skvae.data.array_tables import ArrayTable
from skvae.data.coding import encode_categories, encode_numbers, fit_column
from skvae.data.columns import shortened
from skvae.data.frames import fill_missing, missing_cells
from skvae.data.kinds import CATEGORY, NUMBER, Column, is_float32
from skvae.data.stored_columns import columns_from_arrays, columns_to_arrays, packed, unpacked
from skvae.data.tables import LIBRARIES, build_table, library_of_frame, open_table

# How many categories a warning lists for a column.
_MAX_LISTED = 5


class TableEncoding:
    """The columns of a table as they were in `fit`, to and from a matrix of floats.

    A number stays as it is, a flag is 0 or 1, a category is its code 0, 1, ..., and a missing
    value is NaN. There is one column for each column of the table.

    Parameters
    ----------
    library : {"pandas", "polars", "numpy"}
        Of the table that `decode` returns.
    columns : list of Column
    names : list or None
        The labels of the columns; None for an array.
    layout : dict
        What else a table of the library is made from.

    Examples
    --------
    >>> import pandas as pd
    >>> from skvae.data.encoding import TableEncoding
    >>> frame = pd.DataFrame({"age": [31, 64], "job": pd.Categorical(["cook", None])})
    >>> encoding = TableEncoding.fit(frame)
    >>> encoding.kinds
    ['number', 'category']
    >>> encoding.encode(frame)
    array([[31.,  0.],
           [64., nan]])
    >>> encoding.decode([[31.4, 0.0]])
       age   job
    0   31  cook
    """

    def __init__(self, library, columns, names=None, layout=None):
        self.library = library
        self.columns = columns
        self.names = names
        self.layout = layout or {}
        if names is not None and all(isinstance(name, str) for name in names):
            # Under this name for scikit-learn's check of names.
            self.feature_names_in_ = np.array(names, dtype=object)

    @classmethod
    def fit(cls, X, categorical_features="from_dtype", *, keep_declared=False):
        """Return the encoding of a table.

        Parameters
        ----------
        X : {array-like, sparse matrix, pandas or polars frame} of shape (n, n_columns)
        categorical_features : array-like of bool, int or str, "from_dtype" or None
            As in :class:`~sklearn.ensemble.HistGradientBoostingClassifier`: a mask, indices or
            names; or the columns of a frame whose dtype is one of categories. Integers and
            strings are not taken for categories unless they are listed here.
        keep_declared : bool, default=False
            Whether categories that a dtype declares are known even if they do not occur.

        Raises
        ------
        ValueError
            If a column cannot be used; the message names it and says what to do.
        """
        if library_of_frame(X) is None:
            X = X if sparse.issparse(X) else ArrayTable(X).X
            check_array(X, accept_sparse=True, dtype=None, ensure_all_finite=False)
            if _check_categorical_features(X, categorical_features) is None:
                # The estimators' own validation converts these values, or names the columns.
                return cls("numpy", [Column(NUMBER, str(X.dtype))] * X.shape[1])
            if sparse.issparse(X):
                raise ValueError(
                    "X is a sparse matrix, which has no categories: pass X.toarray(), or leave "
                    "out categorical_features."
                )
        table = open_table(X)
        if 0 in table.shape:
            raise ValueError(f"X has no rows or no columns: its shape is {table.shape}.")
        listed = _check_categorical_features(X, categorical_features)
        if listed is None:
            listed = np.zeros(table.shape[1], dtype=bool)
        columns = [fit_column(table, j, listed, keep_declared) for j in range(table.shape[1])]
        return cls(table.library, columns, table.names, table.layout())

    def encode(self, X):
        """Return a table as a matrix.

        Parameters
        ----------
        X : array-like or frame of shape (n, n_columns)
            With the columns of `fit`, from any of the libraries.

        Returns
        -------
        ndarray of shape (n, n_columns), dtype float64
            float32 if all columns of numbers are. `X` itself if it was an array of numbers
            in `fit`.

        Warns
        -----
        UserWarning
            If there are categories that `fit` did not see: they count as missing values.
        """
        if self.is_identity:
            return X
        table = open_table(X)
        self._check_columns(X, table)
        kinds = [is_float32(table.dtype(j)) for j in self._columns_of(NUMBER)]
        dtype = np.float32 if kinds and all(kinds) else np.float64
        U = np.empty(table.shape, dtype=dtype)
        unseen = {}
        for j, column in enumerate(self.columns):
            if column.kind == CATEGORY:
                U[:, j], unseen[table.place(j)] = encode_categories(table, j, column)
            else:
                U[:, j] = encode_numbers(table, j, column)
        _warn_unseen(unseen)
        return U

    def decode(self, U, index=None):
        """Return a matrix of numbers and codes as a table of the kind of `fit`.

        Parameters
        ----------
        U : ndarray of shape (n, n_columns)
            Numbers are rounded for columns of integers and kept within the dtype's range, and
            codes are rounded. NaN becomes a missing value.
        index : pandas Index, optional
            Of a pandas frame; by default 0, 1, ....

        Returns
        -------
        pandas or polars frame, or ndarray
            With the names, the order and the dtypes of `fit`.

        Raises
        ------
        ValueError
            If values are missing in a column whose dtype has no missing values.
        """
        U = np.asarray(U)
        if U.ndim != 2 or U.shape[1] != len(self.columns):
            raise ValueError(
                f"U must have {len(self.columns)} columns, one for each column of the table, "
                f"but its shape is {U.shape}."
            )
        if self.is_identity:
            return U
        return build_table(self.library, self.names, self.columns, self.layout, U, index)

    def fill(self, X, U, missing=None):
        """Return a copy of a table in which missing values are those of a matrix.

        Parameters
        ----------
        X : array-like, sparse matrix or frame of shape (n, n_columns)
            From any of the libraries. Its index and dtypes are kept. A category that its
            dtype lacks is added to it.
        U : ndarray of shape (n, n_columns)
            As for `decode`.
        missing : ndarray of shape (n, n_columns), dtype bool, default=None
            The cells to fill, for example also those of categories that `fit` did not see.
            By default those without a value.
        """
        if sparse.issparse(X):
            return fill_missing(X, missing, U)
        table = open_table(X)
        self._check_columns(X, table)
        missing = missing_cells(X) if missing is None else missing
        values = np.where(missing, U, np.nan)
        return table.filled(
            {
                j: (column, values[:, j])
                for j, column in enumerate(self.columns)
                if missing[:, j].any()
            }
        )

    def to_arrays(self):
        """Return the encoding as a dictionary of plain values and arrays."""
        return {
            "library": self.library,
            "names": packed(self.names),
            "layout": self.layout,
            **columns_to_arrays(self.columns),
        }

    @classmethod
    def from_arrays(cls, arrays):
        """Return the encoding that `to_arrays` describes.

        Raises
        ------
        ValueError
            If the arrays do not describe one.
        """
        library, names, layout = (arrays.get(key) for key in ("library", "names", "layout"))
        names = unpacked(names)
        columns = columns_from_arrays(arrays)
        if library not in LIBRARIES or not isinstance(layout, dict):
            raise ValueError("an encoding needs the library of its table, and a layout")
        if (names is None) != (library == "numpy") or len(names or columns) != len(columns):
            raise ValueError("an encoding needs one name for each column of a frame")
        return cls(library, columns, names, layout)

    @property
    def kinds(self):
        """The kind of each column: "number", "flag" or "category"."""
        return [column.kind for column in self.columns]

    @property
    def levels(self):
        """The categories of each column, in the order of their codes; None for others."""
        return [column.levels for column in self.columns]

    @property
    def n_levels(self):
        """The number of categories of each column; 0 for others."""
        return [len(column.levels or ()) for column in self.columns]

    @property
    def feature_names(self):
        """The labels of the columns; None for an array."""
        return self.names

    @property
    def only_numbers(self):
        """Whether all columns are numbers, which need no `encode`."""
        return set(self.kinds) == {NUMBER}

    @property
    def is_identity(self):
        """Whether the table is an array of numbers, which `encode` returns as it is."""
        return self.library == "numpy" and CATEGORY not in self.kinds

    def _columns_of(self, kind):
        return [j for j, column in enumerate(self.columns) if column.kind == kind]

    def _check_columns(self, X, table):
        """Raise ValueError if the columns of a table are not those of `fit`."""
        if _get_feature_names(X) is not None and hasattr(self, "feature_names_in_"):
            _check_feature_names(self, X, reset=False)
        if len(table.shape) != 2 or table.shape[1] != len(self.columns):
            raise ValueError(
                f"X has shape {table.shape}, but {len(self.columns)} columns are expected, as "
                "in fit."
            )


def _warn_unseen(unseen):
    """Warn of categories that `fit` did not see, by column, if there are any."""
    listed = []
    for place, values in unseen.items():
        if values:
            listed.append(f"{shortened(list(map(repr, values)), _MAX_LISTED)} in {place}")
    if listed:
        warnings.warn(
            f"X has categories that fit did not see: {'; '.join(listed)}. They count as "
            "missing values.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )
