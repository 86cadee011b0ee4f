"""
Density of binary MNIST
=======================

Forty latent dimensions and 400 hidden units; the importance-weighted bound on the likelihood
of the test set, beside that of the training objective.

.. image:: /../examples/images/tutorials/density_mnist.png
   :alt: A square of digits drawn from the model
   :width: 50%
"""

# sphinx_gallery_thumbnail_path = '../examples/images/tutorials/density_mnist.png'

import numpy as np
from sklearn.datasets import fetch_openml

from skvae import VAETransformer
from skvae.display import SampleDisplay
from skvae.networks import MLP

X = fetch_openml("mnist_784", version=1, as_frame=False).data / 255
X = (np.random.RandomState(0).random_sample(X.shape) < X).astype("float32")

vae = VAETransformer(
    latent_dim=40,
    network=MLP((400,), linear_map=False),
    likelihood="bernoulli",
    image_shape=(28, 28),
    learning_rate_init=2e-3,  # the best on held-out rows, see benchmarks/binary_mnist.py
    max_iter=100,
    random_state=0,
    verbose=True,
)
vae.fit(X[:60_000])
print(f"-ELBO {-vae.elbo(X[60_000:]).value.mean():.2f} nats")
print(f"-log p(x) {-vae.score_samples(X[60_000:], n_samples=200).mean():.2f} nats")
SampleDisplay.from_estimator(vae, mean=True, random_state=0).figure_.savefig(
    "density_mnist.png"
)
