"""Train one model on the rows that the workers of a Dask cluster hold."""

import copy
import warnings
from functools import partial
from inspect import signature

from dask.utils import parse_timedelta
from distributed import get_client
from sklearn.base import clone

from skvae.callers import stacklevel_of_user
from skvae.dask.placement import (
    compute_chunks,
    give_validation_rows,
    ranks_of,
    rows_of,
)
from skvae.dask.runs import run_in_group
from skvae.data.chunks import Chunks
from skvae.training.progress import stopping_when


def fit(estimator, X, client=None, *, X_val=None, timeout="5 minutes"):
    """Fit an estimator to a Dask array or dataframe, where its rows are.

    The workers that hold the chunks train one model together, as
    ``estimator.fit(X, group=...)`` does; no rows move. Chunks that are not in memory yet are
    computed first, and stay there if `X` is persisted.

    Parameters
    ----------
    estimator : VAETransformer or AutoencoderTransformer
        It is not changed. With ``warm_start=True`` the training goes on from its fitted state.
    X : dask array or dataframe of shape (n_samples, n_features)
        Numbers of rows may be unknown, and chunks may be empty. Chunks that do not have whole
        rows are merged, which moves them. Categories may be unknown: they are joined.
    client : distributed.Client, default=None
        By default the current one.
    X_val : dask array or dataframe, or {array-like, sparse matrix}, default=None
        Validation rows, in place of a part of `X`. Each worker evaluates some of them: the
        chunks that it holds and a share of those that only workers without rows of `X` hold,
        or a share of the rows that are passed as they are.
    timeout : float, str or timedelta, default="5 minutes"
        How long a worker waits for the others, as text such as "30s" or in seconds: at the
        beginning for those that are busy with other tasks, and in each step.

    Returns
    -------
    estimator
        A fitted clone. It needs no cluster, and is stored and used like any other.

    Raises
    ------
    RuntimeError
        If a worker leaves or does not answer; the message names it. The cluster stays usable:
        fit again, and Dask computes the lost chunks on the workers that are there.
    ValueError, TypeError
        If `X` or the estimator cannot be used, as in the estimator's own `fit`.

    Warns
    -----
    UserWarning, ConvergenceWarning
        As in the estimator's own `fit`. Ctrl-C ends the training after the current step and
        returns the best state so far; the second Ctrl-C raises KeyboardInterrupt.

    Notes
    -----
    With an integer `random_state` the result is the same if the chunks are on the workers in
    the same way: which chunks are together, and how many threads a worker has, is part of the
    seed. Callbacks are called, and `verbose` prints, on the worker with the first chunk.
    Fits that share a worker run one after the other.
    """
    client, seconds = _checked(estimator, client, timeout)
    ranks = ranks_of(client, compute_chunks(client, rows_of(X)))
    if X_val is not None:
        give_validation_rows(client, ranks, X_val)
    model = estimator if estimator.warm_start else clone(estimator)
    return _trained(model, "fit", client, ranks, seconds)


def partial_fit(estimator, X, client=None, *, timeout="5 minutes"):
    """Make one pass over the rows of a Dask array or dataframe, where they are.

    For rows of which a cluster holds a part at a time: ``vae = skvae.dask.partial_fit(vae, X)``
    for each part. As the estimator's own `partial_fit`, the first call sets units and start.

    Parameters
    ----------
    estimator : VAETransformer or AutoencoderTransformer
        It is not changed. The pass begins with its fitted state, if it has one.
    X, client, timeout
        As for :func:`fit`.

    Returns
    -------
    estimator
        A fitted clone, as from :func:`fit`.

    Raises
    ------
    RuntimeError, ValueError, TypeError
        As :func:`fit`.
    KeyboardInterrupt
        At Ctrl-C.
    """
    client, seconds = _checked(estimator, client, timeout)
    ranks = ranks_of(client, compute_chunks(client, rows_of(X)))
    return _trained(estimator, "partial_fit", client, ranks, seconds)


def _trained(estimator, method, client, ranks, seconds):
    """Return a copy of an estimator that the ranks have trained by one of its methods."""
    # Not as a part of each task, which a large model would make slow to send.
    model = client.scatter(estimator, hash=False)
    fitted, issued = run_in_group(
        client,
        ranks,
        _train_rank,
        model,
        method,
        timeout=seconds,
        ends_early=method == "fit",
    )[0]
    for message, category in issued:
        warnings.warn(message, category, stacklevel=stacklevel_of_user())
    return fitted


def _checked(estimator, client, timeout):
    """Return client and timeout in seconds; raise TypeError if something cannot be used."""
    client = get_client() if client is None else client
    if "group" not in signature(estimator.fit).parameters:
        raise TypeError(
            "skvae.dask trains a VAETransformer or an AutoencoderTransformer, not a "
            f"{type(estimator).__name__}. In place of a Pipeline, apply its first steps to the "
            "chunks with X.map_blocks or X.map_partitions, and pass the last one."
        )
    if client.asynchronous:
        raise TypeError("skvae.dask needs a client with asynchronous=False.")
    return client, parse_timedelta(timeout, default="s")


def _train_rank(chunks, group, should_stop, model, method, validation_chunks=None):
    """Train on the chunks of one worker, by a method of the estimator.

    Return the fitted estimator and the warnings for the user; None on ranks other than 0.
    """
    # The worker's own object would be trained.
    estimator = copy.deepcopy(model)
    options = {"group": group}
    if validation_chunks is not None:
        # This worker may have none, but all of them validate.
        options["X_val"] = Chunks(validation_chunks or [chunks[0][:0]])
    train = partial(getattr(estimator, method), Chunks(chunks), **options)
    with stopping_when(should_stop):
        if group.rank() > 0:
            train()
            return None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            train()
    issued = [each for each in caught if issubclass(each.category, UserWarning)]
    # Several ranks in one process have the same warnings.
    return estimator, list({(str(each.message), each.category) for each in issued})
