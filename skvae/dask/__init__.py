"""Models of rows that a Dask cluster holds. Needs ``pip install "skvae[dask]"``.

One model is trained by the workers that hold the rows; no rows move::

    import dask.array as da
    from distributed import Client
    from skvae import VAETransformer
    import skvae.dask

    client = Client("tcp://scheduler:8786")
    X = da.random.random((20_000, 10), chunks=(5_000, 10)).persist()
    vae = skvae.dask.fit(VAETransformer(latent_dim=2, max_iter=5), X)
    codes = skvae.dask.transform(vae, X)  # lazy, chunk by chunk
    print(codes.mean(axis=0).compute())

Functions, not a class of estimators for Dask beside each estimator: what `fit` returns is an
ordinary `VAETransformer`, which holds no client and no cluster, can be pickled and used where
there is no Dask, and whose own methods take arrays. Nothing of it needs to be converted or
wrapped again, and a new estimator works here at once.

Early stopping holds out rows of each worker, or takes ``fit(..., X_val=...)``. Rows of which
the cluster holds a part at a time go through :func:`skvae.dask.partial_fit`.

For many small models, as in a search, rows are better sent to the workers:
``with joblib.parallel_config("dask"): GridSearchCV(...).fit(X)`` needs nothing from here.
"""

from importlib.util import find_spec

if find_spec("dask") is None or find_spec("distributed") is None:
    raise ImportError(
        "skvae.dask needs Dask and its distributed scheduler: pip install 'skvae[dask]'"
    )

from skvae.dask.lazy import impute, inverse_transform, score_samples, transform
from skvae.dask.training import fit, partial_fit

__all__ = [
    "fit",
    "impute",
    "inverse_transform",
    "partial_fit",
    "score_samples",
    "transform",
]
