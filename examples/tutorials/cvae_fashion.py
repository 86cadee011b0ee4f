"""
Convolutional VAE on binarised Fashion-MNIST
============================================

Pixels are rounded to zeros and ones, and the ELBO is estimated wholly by draws.

.. image:: /../examples/images/tutorials/cvae_fashion.png
   :alt: Clothes decoded on a grid over the latent plane: coats, bags, boots, shoes and trousers
   :width: 80%
"""

# sphinx_gallery_thumbnail_path = '../examples/images/tutorials/cvae_fashion.png'

from sklearn.datasets import fetch_openml

from skvae import VAETransformer
from skvae.display import LatentGridDisplay
from skvae.networks import ConvNet

X = fetch_openml("Fashion-MNIST", version=1, as_frame=False).data
X = (X > 127).astype("float32")

vae = VAETransformer(
    latent_dim=2,
    network=ConvNet(channels=(32, 64), hidden_layer_sizes=(), linear_map=False),
    likelihood="bernoulli",
    objective="monte_carlo",
    image_shape=(28, 28),
    max_iter=10,
    random_state=0,
    verbose=True,
)
vae.fit(X[:60_000])
print(f"test -ELBO: {-vae.elbo(X[60_000:]).value.mean():.2f} nats")
LatentGridDisplay.from_estimator(vae).figure_.savefig("cvae_fashion.png")
