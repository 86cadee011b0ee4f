"""
Convolutional VAE on MNIST
==========================

Two strided convolutions, a dense layer of 16 units and two latent dimensions, mirrored in the
decoder: 134,165 parameters, trained for 14 epochs of 60,000 images and validated on the 10,000
test images. It prints the losses of each epoch, of which ``validation_loss`` is Keras's
``val_loss``, and at the end "test -ELBO: 147.03 nats" or a figure near it (see
:doc:`/benchmarks/index`). At 2,000 images a second, as on two cores, it takes 7 to 8 minutes.

The codes of the test images, coloured by their digits, and the digits decoded on a grid over
the latent plane:

.. image:: /../examples/images/tutorials/conv_mnist.png
   :alt: Left the codes, each digit in a part of the plane; right a grid of decoded digits
"""

# sphinx_gallery_thumbnail_path = '../examples/images/tutorials/conv_mnist.png'

import matplotlib.pyplot as plt
from sklearn.datasets import fetch_openml

from skvae import VAETransformer
from skvae.display import LatentGridDisplay, LatentSpaceDisplay
from skvae.networks import ConvNet

X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
X = (X / 255).astype("float32")

vae = VAETransformer(
    latent_dim=2,
    network=ConvNet(channels=(32, 64), hidden_layer_sizes=(16,), linear_map=False),
    likelihood="bernoulli",
    image_shape=(28, 28),
    batch_size=64,
    max_iter=14,
    random_state=0,
    verbose=True,
)
vae.fit(X[:60_000], X_val=X[60_000:])
print(f"test -ELBO: {-vae.elbo(X[60_000:]).value.mean():.2f} nats")

figure, axes = plt.subplots(1, 2, figsize=(12, 6), layout="constrained")
LatentSpaceDisplay.from_estimator(vae, X[60_000:], y[60_000:], ax=axes[0])
LatentGridDisplay.from_estimator(
    vae, n_grid=30, spacing="value", limits=(-1, 1), cmap="Greys_r", ax=axes[1]
)
figure.savefig("conv_mnist.png")
