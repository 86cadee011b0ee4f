"""
Dense VAE on MNIST
==================

One hidden layer of 512 units on either side of two latent dimensions.

.. image:: /../examples/images/tutorials/dense_mnist.png
   :alt: Digits decoded on a grid over the latent plane, from zeros above to ones below
   :width: 80%
"""

# sphinx_gallery_thumbnail_path = '../examples/images/tutorials/dense_mnist.png'

from sklearn.datasets import fetch_openml

from skvae import VAETransformer
from skvae.display import LatentGridDisplay
from skvae.networks import MLP

X = fetch_openml("mnist_784", version=1, as_frame=False).data
X = (X / 255).astype("float32")

vae = VAETransformer(
    latent_dim=2,
    network=MLP((512,), linear_map=False),
    likelihood="bernoulli",
    image_shape=(28, 28),
    max_iter=10,
    random_state=0,
    verbose=True,
)
vae.fit(X[:60_000])
print(f"test -ELBO: {-vae.elbo(X[60_000:]).value.mean():.2f} nats")
LatentGridDisplay.from_estimator(vae).figure_.savefig("dense_mnist.png")
