"""Train one model on the rows that the workers of a Dask cluster hold."""

import copy
import warnings
from inspect import signature

from dask.utils import parse_timedelta
from distributed import get_client
from sklearn.base import clone

from skvae.dask.placement import compute_chunks, ranks_of, rows_of
from skvae.dask.runs import run_in_group
from skvae.data.chunks import Chunks
from skvae.training.progress import stopping_when


def fit(estimator, X, client=None, *, timeout="5 minutes"):
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
    client = get_client() if client is None else client
    _check(estimator, client)
    X = rows_of(X)
    seconds = parse_timedelta(timeout, default="s")
    ranks = ranks_of(client, compute_chunks(client, X))
    # Not as a part of each task, which a large model would make slow to send.
    model = client.scatter(estimator if estimator.warm_start else clone(estimator), hash=False)
    fitted, issued = run_in_group(client, ranks, _fit_rank, model, timeout=seconds)[0]
    for message, category in issued:
        warnings.warn(message, category, stacklevel=2)
    return fitted


def _check(estimator, client):
    """Raise TypeError if they cannot be used."""
    if "group" not in signature(estimator.fit).parameters:
        raise TypeError(
            "skvae.dask.fit trains a VAETransformer or an AutoencoderTransformer, not a "
            f"{type(estimator).__name__}. In place of a Pipeline, apply its first steps to the "
            "chunks with X.map_blocks or X.map_partitions, and pass the last one."
        )
    if client.asynchronous:
        raise TypeError("skvae.dask.fit needs a client with asynchronous=False.")


def _fit_rank(chunks, group, should_stop, model):
    """Train on the chunks of one worker.

    Return the fitted estimator and the warnings for the user; None on ranks other than 0.
    """
    # The worker's own object would be trained.
    estimator = copy.deepcopy(model)
    with stopping_when(should_stop):
        if group.rank() > 0:
            estimator.fit(Chunks(chunks), group=group)
            return None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator.fit(Chunks(chunks), group=group)
    issued = [each for each in caught if issubclass(each.category, UserWarning)]
    # Several ranks in one process have the same warnings.
    return estimator, list({(str(each.message), each.category) for each in issued})
