"""Recipes of density estimation on binary MNIST."""

import time

import numpy as np
import torch
from _data import load_images
from _table import Row

from skvae import VAETransformer
from skvae.networks import MLP


def binarised(seed):
    """Return MNIST with each pixel drawn once with its grey value as probability."""
    rng = np.random.RandomState(seed)
    return [
        (rng.random_sample(part.shape) < part).astype(np.float32)
        for part in load_images("mnist_784")
    ]


def burda_vae(seed):
    """VAE, z=50, two layers of 200 tanh, dynamic binarisation; published 86.76.

    Each epoch is a `partial_fit` on rows drawn anew. Without a GPU: 20 epochs, and 500 rows to
    test on.
    """
    yield _burda(seed, "elbo", 1, "86.76")


def burda_iwae(seed):
    """The same network as an IWAE of 50 samples; published 84.78. Without a GPU: 5 samples."""
    yield _burda(seed, "iwae", 50 if torch.cuda.is_available() else 5, "84.78")


def _burda(seed, objective, n_samples, published):
    images, test = load_images("mnist_784")
    rng = np.random.default_rng(seed)

    def drawn(part):
        return (rng.random(part.shape, dtype=np.float32) < part).astype(np.float32)

    test, gpu = drawn(test), torch.cuda.is_available()
    epochs = 100 if gpu else 20
    vae = VAETransformer(
        latent_dim=50,
        network=MLP((200, 200), "tanh", linear_map=False),
        likelihood="bernoulli",
        objective=objective,
        n_samples=n_samples,
        learning_rate_init=3e-3,
        random_state=seed,
    )
    start = time.perf_counter()
    for _ in range(epochs):
        vae.partial_fit(drawn(images))
    seconds = time.perf_counter() - start
    nll = _nll(vae, test[:: 1 if gpu else 20], 5000)
    return Row(
        f"z=50, dynamic binary MNIST, {objective}, {n_samples} draw(s)",
        "",
        epochs,
        seconds,
        published,
        {"-log p(x) by 5000 importance samples": nll},
    )


def _nll(vae, test, n_samples):
    return -vae.score_samples(test, n_samples=n_samples).mean()
