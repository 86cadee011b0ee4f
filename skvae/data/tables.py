"""The library of a table, and the reader of its columns.

Each library has a module with a class that reads a table's columns, and a function
`table_of` that makes a table. pandas and polars are imported only for their own tables.
"""

import sys
from importlib import import_module

from skvae.data.array_tables import ArrayTable

# Library -> its class of tables, our module and our class.
_FRAMES = {
    "pandas": ("DataFrame", "skvae.data.pandas_tables", "PandasTable"),
    "polars": ("DataFrame", "skvae.data.polars_tables", "PolarsTable"),
}
_MODULES = {name: module for name, (_, module, _) in _FRAMES.items()}
_MODULES["numpy"] = "skvae.data.array_tables"

LIBRARIES = tuple(_MODULES)


def library_of_frame(X):
    """Return the library of a frame, "pandas" or "polars", or None for anything else."""
    for library, (frame, _, _) in _FRAMES.items():
        # If the library is not loaded, X cannot be one of its frames.
        loaded = sys.modules.get(library)
        if loaded is not None and isinstance(X, getattr(loaded, frame, ())):
            return library
    return None


def open_table(X):
    """Return the reader of the columns of a frame or an array.

    Raises
    ------
    ValueError
        If two columns of a frame have the same name.
    """
    library = library_of_frame(X)
    if library is None:
        return ArrayTable(X)
    _, module, reader = _FRAMES[library]
    table = getattr(import_module(module), reader)(X)
    names = table.names
    seen = set()
    twice = [name for name in names if name in seen or seen.add(name)]
    if twice:
        raise ValueError(
            f"The columns of X must have different names, but more than one is {twice[0]!r}."
        )
    return table


def build_table(library, names, columns, layout, U, index):
    """Return a table of a library from a matrix of numbers and codes."""
    return import_module(_MODULES[library]).table_of(names, columns, layout, U, index)
