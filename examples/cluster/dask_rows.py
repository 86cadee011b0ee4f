"""
One model of rows that Dask holds
=================================

The workers that hold the rows train it; no rows move.
"""

import dask.array as da
import joblib
from distributed import Client

import skvae.dask
from skvae import VAETransformer

if __name__ == "__main__":
    client = Client("tcp://scheduler:8786")
    X = da.from_zarr("/shared/rows.zarr").persist()
    vae = skvae.dask.fit(VAETransformer(latent_dim=8, random_state=0), X)
    joblib.dump(vae, "vae.joblib")  # an ordinary estimator, which needs no cluster
    skvae.dask.transform(vae, X).to_zarr("/shared/codes.zarr")  # chunk by chunk
