"""
Batch-normalised convolutional VAEs on MNIST
============================================

A small one of 24,641 parameters, and, with ``--dcgan``, the DCGAN-like one of four layers of
5x5 convolutions, for a GPU.

.. image:: /../examples/images/tutorials/batch_norm_mnist.png
   :alt: Digits decoded on a grid over the latent plane, from sevens above to zeros below
   :width: 80%
"""

# sphinx_gallery_thumbnail_path = '../examples/images/tutorials/batch_norm_mnist.png'

import sys

from sklearn.datasets import fetch_openml

from skvae import VAETransformer
from skvae.display import LatentGridDisplay, SampleDisplay
from skvae.networks import ConvNet

X = fetch_openml("mnist_784", version=1, as_frame=False).data
X = (X / 255).astype("float32")

published = {"linear_map": False, "batch_norm": True}
small = ConvNet(channels=(8, 16), hidden_layer_sizes=(20,), **published)
dcgan = ConvNet((128, 256, 512, 1024), kernel_size=5, hidden_layer_sizes=(), **published)
vae = VAETransformer(
    latent_dim=2,
    network=dcgan if "--dcgan" in sys.argv else small,
    likelihood="bernoulli",
    image_shape=(28, 28),
    batch_size=128,
    max_iter=5,
    random_state=0,
    verbose=True,
)
vae.fit(X[:60_000])
print(f"test -ELBO: {-vae.elbo(X[60_000:]).value.mean():.2f} nats")
LatentGridDisplay.from_estimator(vae).figure_.savefig("batch_norm_grid.png")
SampleDisplay.from_estimator(vae, mean=True, random_state=0).figure_.savefig("batch_norm.png")
