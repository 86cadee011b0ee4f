"""Recipes of the tutorials' autoencoders."""

import numpy as np
from _data import load_images
from _table import Row, fit
from torch import nn

from skvae import AutoencoderTransformer
from skvae.networks import ConvNet, ModuleNetwork


def pooled_encoder(n_in, n_out):
    """5x5 valid convolutions with max-pooling."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, n_out),
    )


def upsampled_decoder(n_in, n_out):
    """Upsampling and 5x5 transposed convolutions back to 28x28."""
    return nn.Sequential(
        nn.Linear(n_in, 64),
        nn.ReLU(),
        nn.Linear(64, 512),
        nn.ReLU(),
        nn.Unflatten(1, (32, 4, 4)),
        nn.Upsample(scale_factor=2),
        nn.ConvTranspose2d(32, 16, 5),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.ConvTranspose2d(16, 1, 5),
        nn.Flatten(),
    )


def cnn_autoencoder(seed):
    """CNN autoencoder, Fashion-MNIST, z=2, 10 epochs; target 0.3268 per pixel in training."""
    train, test = load_images("Fashion-MNIST")
    pooled = ModuleNetwork(encoder=pooled_encoder, decoder=upsampled_decoder)
    strided = ConvNet(channels=(32, 64), hidden_layer_sizes=(16,), linear_map=False)
    noise = np.random.RandomState(seed).standard_normal(test.shape).astype(np.float32)
    noisy = (test + 0.3 * noise).clip(0, 1)
    for name, network, strength in (
        ("max-pooling", pooled, 0.0),
        ("strided", strided, 0.0),
        ("strided, denoising", strided, 0.3),
    ):
        model = AutoencoderTransformer(
            network=network,
            likelihood="bernoulli",
            noise=strength,
            image_shape=(28, 28),
            max_iter=10,
            early_stopping=False,
            random_state=seed,
        )
        model, count, seconds = fit(model, train)
        restored = model.inverse_transform(model.transform(noisy))
        before, after = (np.mean((rows - test) ** 2) for rows in (noisy, restored))
        yield Row(
            f"CNN autoencoder, Fashion-MNIST, {name}",
            count,
            model.n_iter_,
            seconds,
            "0.3268",
            {
                "per pixel in training": model.loss_curve_[-1] / 784,
                "test": -model.score(test) / 784,
                "MSE of noisy test images": before,
                "restored": after,
            },
        )
