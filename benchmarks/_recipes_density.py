"""Recipes of density estimation on binary MNIST."""

import numpy as np
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


def burda_mnist(seed):
    """z=50, two layers of 200 tanh, dynamic binarisation; published 86.76, IWAE-50 84.78.

    Each epoch is a `partial_fit` on rows drawn anew. Without a GPU: 20 epochs, IWAE with 5
    samples, and 500 rows to test on.
    """
    import torch

    images, test = load_images("mnist_784")
    rng = np.random.RandomState(seed)
    test = (rng.random_sample(test.shape) < test).astype(np.float32)
    gpu = torch.cuda.is_available()
    epochs, k = (400, 50) if gpu else (20, 5)
    for objective, n_samples, published in (("elbo", 1, "86.76"), ("iwae", k, "84.78")):
        vae = VAETransformer(
            latent_dim=50,
            network=MLP((200, 200), "tanh", linear_map=False),
            likelihood="bernoulli",
            objective=objective,
            n_samples=n_samples,
            learning_rate_init=3e-3,
            random_state=seed,
        )
        for _ in range(epochs):
            vae.partial_fit((rng.random_sample(images.shape) < images).astype(np.float32))
        nll = _nll(vae, test[:: 1 if gpu else 20], 5000)
        yield Row(
            f"VAE z=50, dynamic binary MNIST, {objective}, {n_samples} draw(s)",
            "",
            epochs,
            0,
            published,
            {"-log p(x) by 5000 importance samples": nll},
        )


def _nll(vae, test, n_samples):
    return -vae.score_samples(test, n_samples=n_samples).mean()
