"""
Frey faces
==========

A Gaussian whose mean lies in [0, 1] and whose noise is predicted for each pixel. The full
posterior gives each face a covariance of its own. `frey_faces.npy`, (1965, 28, 20), is
expected in scikit-learn's data folder. It prints the held-out -ELBO of both, which vary by tens
of nats between seeds and machines (:doc:`/benchmarks/index` has three seeds).

.. image:: /../examples/images/tutorials/frey_faces.png
   :alt: Faces decoded on a grid over the latent plane, that turn and change their expression
   :width: 80%
"""

# sphinx_gallery_thumbnail_path = '../examples/images/tutorials/frey_faces.png'

import numpy as np
from sklearn.datasets import get_data_home

from skvae import VAETransformer
from skvae.display import LatentGridDisplay
from skvae.likelihoods import Gaussian
from skvae.networks import MLP

X = np.load(f"{get_data_home()}/frey_faces.npy").reshape(-1, 560)
X = (X / 255).astype("float32")

for posterior in ("diagonal", "full"):
    vae = VAETransformer(
        latent_dim=2,
        network=MLP((200,), linear_map=False),
        likelihood=Gaussian(noise="heteroscedastic", mean="sigmoid"),
        posterior=posterior,
        image_shape=(28, 20),
        batch_size=100,
        max_iter=132,
        random_state=0,
    )
    vae.fit(X)
    print(f"{posterior}: held-out -ELBO {-vae.best_validation_score_:.2f} nats")
LatentGridDisplay.from_estimator(vae).figure_.savefig("frey_faces.png")
