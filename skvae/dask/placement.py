"""Where the rows of a Dask array or dataframe are."""

from dataclasses import dataclass, field
from itertools import pairwise

import dask.array as da
import numpy as np
from distributed import Future, futures_of, wait
from scipy.sparse import issparse

from skvae.data.inputs import as_table


@dataclass
class Rank:
    """A worker and the chunks of rows that it trains on.

    Parameters
    ----------
    address : str
    chunks : list of Future
        In the order of the rows.
    arguments : list
        What else this rank alone is given; futures are replaced by their results.
    """

    address: str
    chunks: list[Future] = field(default_factory=list)
    arguments: list = field(default_factory=list)


def rows_of(X, name="X"):
    """Return a Dask array or dataframe of which each chunk has whole rows; errors name it.

    Raises
    ------
    TypeError, ValueError
        If it is something else, or not a table.
    """
    if is_frame(X):
        return X
    if not isinstance(X, da.Array):
        raise TypeError(
            f"{name} must be a Dask array or dataframe, not {type(X).__name__}. Convert it "
            "with dask.array.from_array or dask.dataframe.from_pandas, or use the methods of "
            "the estimator itself."
        )
    if X.ndim != 2:
        raise ValueError(f"{name} must have rows and columns, but it has {X.ndim} dimensions.")
    if len(X.chunks[1]) == 1:
        return X
    return X.rechunk({1: -1})


def is_collection(X):
    """Whether X is a Dask array or dataframe."""
    return isinstance(X, da.Array) or is_frame(X)


def is_frame(X):
    """Whether X is a Dask dataframe, without importing its module."""
    return hasattr(X, "map_partitions") and hasattr(X, "columns")


def compute_chunks(client, X):
    """Compute the chunks on the workers and return their futures, in the order of the rows.

    An error in computing a chunk is raised.
    """
    # A key is a name and the place of the chunk.
    chunks = sorted(futures_of(client.persist(X)), key=lambda future: future.key[1:])
    wait(chunks)
    for chunk in chunks:
        if chunk.status == "error":
            chunk.result()
    return chunks


def ranks_of(client, chunks):
    """Return the workers that hold chunks with rows, in the order of their first chunk.

    A chunk that several workers hold is given to the one with the fewest chunks.
    """
    ranks: dict[str, Rank] = {}
    for chunk, holders in _with_rows(client, chunks, "X"):
        address = min(holders, key=lambda a: len(ranks[a].chunks) if a in ranks else 0)
        ranks.setdefault(address, Rank(address)).chunks.append(chunk)
    return list(ranks.values())


def give_validation_rows(client, ranks, X_val):
    """Give each rank its validation rows, a list of chunks, as an argument.

    A chunk goes to a rank that holds it, or else to the one with the fewest. Rows that are
    no Dask collection are divided into as many parts as there are ranks.
    """
    for rank in ranks:
        rank.arguments.append([])
    if is_collection(X_val):
        chunks = compute_chunks(client, rows_of(X_val, "X_val"))
        for chunk, holders in _with_rows(client, chunks, "X_val"):
            near = [rank for rank in ranks if rank.address in holders] or ranks
            min((rank.arguments[-1] for rank in near), key=len).append(chunk)
        return
    parts = _parts(as_table(X_val, "X_val"), len(ranks))
    for rank, part in zip(ranks, parts, strict=True):
        if part.shape[0] > 0:
            rank.arguments[-1].append(client.scatter(part, workers=[rank.address], hash=False))


def _with_rows(client, chunks, name):
    """Return the chunks that are not empty, each with the addresses that hold it."""
    n_rows = client.gather(client.map(_n_rows, chunks, pure=False))
    if not any(n_rows):
        raise ValueError(f"{name} has no rows.")
    holders = client.who_has(chunks)
    return [(chunk, holders[chunk.key]) for chunk, n in zip(chunks, n_rows, strict=True) if n]


def _parts(X, n_parts):
    """Return consecutive parts of the validation rows, of nearly equal sizes."""
    if issparse(X):
        X = X.tocsr()
    X = X if hasattr(X, "shape") else np.asarray(X)
    if len(X.shape) != 2 or X.shape[0] == 0:
        raise ValueError(f"X_val must be a table of at least one row, got shape {X.shape}.")
    rows = X.iloc if hasattr(X, "iloc") else X
    ends = np.linspace(0, X.shape[0], n_parts + 1).astype(int)
    return [rows[start:end] for start, end in pairwise(ends)]


def _n_rows(chunk):
    return chunk.shape[0]
