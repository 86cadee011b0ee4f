"""
Rows on a Dask cluster
======================

Rows that a cluster holds in chunks train one model where they are: each of the two workers here
reads its own chunks, and none moves. The codes are a Dask array again, which the workers
compute. The model is an ordinary estimator that knows nothing of Dask.

The workers here are threads of this process. With a process for each, which
``LocalCluster(n_workers=2, threads_per_worker=1)`` starts, a script needs
``if __name__ == "__main__":`` before it.
"""

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits

import skvae.dask
from skvae import VAETransformer
from skvae.display import LatentSpaceDisplay

digits, labels = load_digits(return_X_y=True)
options = {"n_workers": 2, "threads_per_worker": 1, "processes": False}

with LocalCluster(**options, dashboard_address=None) as cluster, Client(cluster) as client:
    X = client.persist(da.from_array(digits, chunks=(300, -1)))
    vae = VAETransformer(2, image_shape=(8, 8), max_iter=30, random_state=0)
    vae = skvae.dask.fit(vae, X)
    codes = skvae.dask.transform(vae, X).compute()
    chunks = X.to_delayed().ravel()
    holders = client.who_has(X)
    workers = [holders[chunk.key][0] for chunk in chunks]

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
LatentSpaceDisplay.from_estimator(vae, digits, labels, ax=axes[0])
axes[0].set_title("all digits, one model")
of_rows = np.repeat(workers, X.chunks[0])
for number, worker in enumerate(np.unique(of_rows), start=1):
    own = codes[of_rows == worker]
    axes[1].scatter(*own.T, s=8, label=f"worker {number}: {len(own)} rows")
axes[1].set(title="where their rows are", xlabel="$z_0$", ylabel="$z_1$")
axes[1].legend(markerscale=2)
plt.show()
