"""
A CNN autoencoder of torch modules of your own, and a denoising one
===================================================================

Max-pooling, 5x5 convolutions and upsampling are no `ConvNet`: `ModuleNetwork` takes any
modules.

.. image:: /../examples/images/tutorials/cnn_autoencoder.png
   :alt: Clothes, and below each its reconstruction from two numbers; noisy clothes, denoised
   :width: 80%
"""

# sphinx_gallery_thumbnail_path = '../examples/images/tutorials/cnn_autoencoder.png'

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import fetch_openml
from torch import nn

from skvae import AutoencoderTransformer
from skvae.display import ReconstructionDisplay
from skvae.networks import ConvNet, ModuleNetwork

X = fetch_openml("Fashion-MNIST", version=1, as_frame=False).data
X = (X / 255).astype("float32")
train, test = X[:60_000], X[60_000:]

encoder = nn.Sequential(
    nn.Unflatten(1, (1, 28, 28)),
    nn.Conv2d(1, 16, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(512, 2),
)
decoder = nn.Sequential(
    nn.Linear(2, 512),
    nn.ReLU(),
    nn.Unflatten(1, (32, 4, 4)),
    nn.Upsample(scale_factor=2),
    nn.ConvTranspose2d(32, 16, 5),
    nn.ReLU(),
    nn.Upsample(scale_factor=2),
    nn.ConvTranspose2d(16, 1, 5),
    nn.Flatten(),
)
plain = AutoencoderTransformer(
    latent_dim=2,
    network=ModuleNetwork(encoder=encoder, decoder=decoder),
    likelihood="bernoulli",
    image_shape=(28, 28),
    max_iter=10,
    random_state=0,
    verbose=True,
).fit(train)
print(f"cross-entropy per pixel: {-plain.score(test) / 784:.4f} nats")

denoising = AutoencoderTransformer(
    latent_dim=16,
    network=ConvNet(linear_map=False),
    likelihood="bernoulli",
    noise=0.3,
    image_shape=(28, 28),
    max_iter=10,
    random_state=0,
    verbose=True,
).fit(train)
noise = np.random.RandomState(0).standard_normal((10, 784))
noisy = (test[:10] + 0.3 * noise).clip(0, 1).astype("float32")

figure, axes = plt.subplots(2, 1, figsize=(8, 4.4), height_ratios=(2, 3), layout="constrained")
ReconstructionDisplay.from_estimator(plain, test[:10], ax=axes[0])
axes[0].set_title("Two dimensions, max-pooling")
ReconstructionDisplay.from_estimator(denoising, test[:10], X_noisy=noisy, ax=axes[1])
axes[1].set_title("Sixteen dimensions, trained to denoise")
figure.savefig("cnn_autoencoder.png")
