"""
Images in colour
================

A row is a flattened image, channels last: ``image_shape=(32, 32, 3)``. `cifar10_sample.npz`
with 4000 of CIFAR-10's images is expected in scikit-learn's data folder. With its default
parameters the model starts as PCA, and keeps what is best on held-out images.

.. image:: /../examples/images/tutorials/colour.png
   :alt: Ten photographs of 32 by 32 pixels, and below them their blurred reconstructions
   :width: 80%
"""

# sphinx_gallery_thumbnail_path = '../examples/images/tutorials/colour.png'

import numpy as np
from sklearn.datasets import get_data_home

from skvae import VAETransformer
from skvae.display import ReconstructionDisplay, SampleDisplay

X = np.load(f"{get_data_home()}/cifar10_sample.npz")["X"].reshape(-1, 32 * 32 * 3)
X = np.random.RandomState(0).permutation(X / 255).astype("float32")

vae = VAETransformer(
    latent_dim=64,
    network="conv",
    image_shape=(32, 32, 3),
    random_state=0,
    verbose=True,
)
vae.fit(X[:3600])
print(f"log-likelihood: {vae.score(X[3600:]):.0f} nats")
ReconstructionDisplay.from_estimator(vae, X[3600:3610]).figure_.savefig("colour.png")
display = SampleDisplay.from_estimator(vae, mean=True, random_state=0)
display.figure_.savefig("colour_samples.png")
