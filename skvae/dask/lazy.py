"""Methods of a fitted estimator, applied lazily to the chunks of a Dask collection."""

from functools import partial

import numpy as np
from dask import delayed
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from skvae.dask.placement import is_frame, rows_of
from skvae.randomness import random_generator


def transform(estimator, X):
    """Encode the rows of a Dask array or dataframe.

    Parameters
    ----------
    estimator : VAETransformer or AutoencoderTransformer
        Fitted, by :func:`skvae.dask.fit` or by its own `fit`.
    X : dask array or dataframe of shape (n_samples, n_features)

    Returns
    -------
    dask array of shape (n_samples, latent_dim)
        Lazy, with the chunks of `X`; for a dataframe of unknown sizes. A dataframe after
        ``estimator.set_output(transform="pandas")`` if `X` is one.
    """
    X = _checked(estimator, X)
    names = estimator.get_feature_names_out()
    meta = np.empty((0, len(names)), _float_dtype(X))
    as_frame = is_frame(X) and _get_output_config("transform", estimator)["dense"] == "pandas"
    if as_frame:
        meta = type(X._meta)(meta, columns=names, index=X._meta.index)
    return _map(estimator, "transform", X, meta)


def score_samples(estimator, X, **options):
    """Log-likelihood of each row of a Dask array or dataframe.

    Parameters
    ----------
    estimator, X
        As for :func:`transform`.
    **options
        Of the estimator's own `score_samples`, such as ``n_samples``.

    Returns
    -------
    dask array of shape (n_samples,)
        Lazy, with the chunks of `X`; nats per row.
    """
    X = _checked(estimator, X)
    return _map(estimator, "score_samples", X, np.empty(0, _float_dtype(X)), **options)


def inverse_transform(estimator, Z):
    """Decode latent codes.

    Parameters
    ----------
    estimator
        As for :func:`transform`.
    Z : dask array or dataframe of shape (n_samples, latent_dim)

    Returns
    -------
    dask array or dataframe of shape (n_samples, n_features)
        Lazy, with the chunks of `Z`. A dataframe if in `fit` there were columns of
        categories or flags; each of its partitions has the index 0, 1, ....
    """
    check_is_fitted(estimator)
    Z = rows_of(Z)
    example = np.zeros((1, Z.shape[1]), _float_dtype(Z))
    meta = estimator.inverse_transform(example)[:0]
    if isinstance(meta, np.ndarray) or is_frame(Z):
        return _map(estimator, "inverse_transform", Z, meta)
    # Only here, as it needs pandas.
    from dask.dataframe import from_delayed

    call, model = delayed(_call), delayed(estimator)
    parts = Z.to_delayed().ravel()
    return from_delayed(
        [call(part, model, "inverse_transform", {}, meta) for part in parts], meta=meta
    )


def impute(estimator, X, *, sample=False, random_state=None):
    """Fill the missing values of a Dask array or dataframe.

    Parameters
    ----------
    estimator : VAETransformer
        Fitted, by :func:`skvae.dask.fit` or by its own `fit`.
    X : dask array or dataframe of shape (n_samples, n_features)
    sample : bool, default=False
        As in :meth:`skvae.VAETransformer.impute`.
    random_state : int or None, default=None
        Seeds the draws, which also depend on the chunks. Also with None they are the same
        each time that one result is computed.

    Returns
    -------
    dask array or dataframe of shape (n_samples, n_features)
        Lazy, with the chunks, columns and dtypes of `X`.
    """
    X = _checked(estimator, X)
    # With one seed for all, chunks of the same size would get the same draws.
    seeds = random_generator(random_state).randint(2**31 - 1, size=X.npartitions)
    if is_frame(X):
        call = partial(_impute_partition, seeds, sample)
        return X.map_partitions(call, delayed(estimator), meta=X._meta)
    call = partial(_impute_block, seeds, sample)
    return X.map_blocks(call, delayed(estimator), dtype=X.dtype, meta=X._meta)


def _checked(estimator, X):
    """Return X with whole rows in its chunks; raise an error if it is not as in `fit`."""
    check_is_fitted(estimator)
    X = rows_of(X)
    if X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    return X


def _float_dtype(X):
    """Return the dtype of results: float32 for rows of float32, else float64."""
    dtypes = set(X.dtypes) if is_frame(X) else {X.dtype}
    return np.float32 if dtypes == {np.dtype(np.float32)} else np.float64


def _map(estimator, method, X, meta, **options):
    """Apply a method to each chunk of rows."""
    call = partial(_call, method=method, options=options, meta=meta)
    if is_frame(X):
        return X.map_partitions(call, delayed(estimator), meta=meta)
    if meta.ndim == 1:
        shape = {"chunks": X.chunks[:1], "drop_axis": 1}
    else:
        shape = {"chunks": (X.chunks[0], meta.shape[1:])}
    return X.map_blocks(call, delayed(estimator), dtype=meta.dtype, meta=meta, **shape)


def _call(chunk, model, method, options, meta):
    """Apply a method to one chunk; it may be empty."""
    if chunk.shape[0] == 0:
        return meta
    result = getattr(model, method)(chunk, **options)
    return np.asarray(result, meta.dtype) if isinstance(meta, np.ndarray) else result


def _impute_block(seeds, sample, chunk, model, block_id):
    return _imputed(chunk, model, sample, seeds[block_id[0]])


def _impute_partition(seeds, sample, chunk, model, partition_info):
    return _imputed(chunk, model, sample, seeds[partition_info["number"]])


def _imputed(chunk, model, sample, seed):
    if chunk.shape[0] == 0:
        return chunk
    return model.impute(chunk, sample=sample, random_state=int(seed))
