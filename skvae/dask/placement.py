"""Where the rows of a Dask array or dataframe are."""

from dataclasses import dataclass, field

import dask.array as da
from distributed import Future, futures_of, wait


@dataclass
class Rank:
    """A worker and the chunks of rows that it trains on.

    Parameters
    ----------
    address : str
    chunks : list of Future
        In the order of the rows.
    """

    address: str
    chunks: list[Future] = field(default_factory=list)


def rows_of(X):
    """Return a Dask array or dataframe of which each chunk has whole rows.

    Raises
    ------
    TypeError, ValueError
        If it is something else, or not a table.
    """
    if is_frame(X):
        return X
    if not isinstance(X, da.Array):
        raise TypeError(
            f"X must be a Dask array or dataframe, not {type(X).__name__}. Convert it with "
            "dask.array.from_array or dask.dataframe.from_pandas, or use the methods of the "
            "estimator itself."
        )
    if X.ndim != 2:
        raise ValueError(f"X must have rows and columns, but it has {X.ndim} dimensions.")
    if len(X.chunks[1]) == 1:
        return X
    return X.rechunk({1: -1})


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
    n_rows = client.gather(client.map(_n_rows, chunks, pure=False))
    if not any(n_rows):
        raise ValueError("X has no rows.")
    holders = client.who_has(chunks)
    ranks: dict[str, Rank] = {}
    for chunk, n in zip(chunks, n_rows, strict=True):
        if n == 0:
            continue
        address = min(
            holders[chunk.key], key=lambda a: len(ranks[a].chunks) if a in ranks else 0
        )
        ranks.setdefault(address, Rank(address)).chunks.append(chunk)
    return list(ranks.values())


def _n_rows(chunk):
    return chunk.shape[0]
