"""Recipes of the tutorials' variational autoencoders."""

import numpy as np
from _data import load_frey_faces, load_images
from _table import Row, fit

from skvae import VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP, ConvNet


def conv_mnist(seed):
    """Conv VAE, z=2, Bernoulli; target 147.0 in 14 epochs, and 151.33 in 7."""
    train, test = load_images("mnist_784")
    # The schedule ends with the epochs planned: fewer of them are faster, and end higher.
    for epochs in (14, 7):
        vae = VAETransformer(
            network=ConvNet(channels=(32, 64), hidden_layer_sizes=(16,), linear_map=False),
            likelihood="bernoulli",
            image_shape=(28, 28),
            max_iter=epochs,
            random_state=seed,
        )
        vae, count, seconds = fit(vae, train, X_val=test)
        losses = vae.history_["validation_loss"]
        reached = np.flatnonzero(losses <= 151.33)
        yield Row(
            "conv VAE, MNIST",
            count,
            vae.n_iter_,
            seconds,
            "151.33 in epoch 12",
            {
                "validation loss": losses.min(),
                "151.33 in epoch": str(reached[0] + 1) if len(reached) else "none",
            },
        )


def cvae_fashion(seed):
    """CVAE, binarised Fashion-MNIST, 10 epochs: Monte-Carlo ELBO, analytic KL, IWAE."""
    train, test = (np.round(part) for part in load_images("Fashion-MNIST"))
    for objective, n_samples in (("monte_carlo", 1), ("elbo", 1), ("iwae", 5)):
        vae = VAETransformer(
            network=ConvNet(channels=(32, 64), hidden_layer_sizes=(), linear_map=False),
            likelihood="bernoulli",
            objective=objective,
            n_samples=n_samples,
            image_shape=(28, 28),
            max_iter=10,
            early_stopping=False,
            random_state=seed,
        )
        vae, count, seconds = fit(vae, train)
        yield Row(
            f"CVAE, binarised Fashion-MNIST, {objective}, {n_samples} draw(s)",
            count,
            vae.n_iter_,
            seconds,
            "pictures",
            {
                "test -ELBO": -vae.elbo(test).value.mean(),
                "-log p(x) by 128 importance samples": -vae.score(test),
            },
        )


def frey_faces(seed):
    """Frey faces, 560-200-2, heteroscedastic, sigmoid mean, 132 epochs; target -880."""
    train, test = load_frey_faces(seed)
    for posterior in ("diagonal", "full"):
        for objective in ("elbo", "monte_carlo"):
            vae = VAETransformer(
                network=MLP((200,), linear_map=False),
                likelihood=Gaussian(noise="heteroscedastic", mean="sigmoid"),
                posterior=posterior,
                objective=objective,
                batch_size=100,
                max_iter=132,
                n_iter_no_change=132,
                random_state=seed,
            )
            vae, count, seconds = fit(vae, train, X_val=test)
            history = vae.history_
            best = int(history["validation_loss"].argmin())
            yield Row(
                f"Frey faces, {posterior} posterior, {objective}",
                count,
                vae.n_iter_,
                seconds,
                "-798.40 (NLL -807.69, KL 9.29)",
                {
                    "held-out -ELBO": history["validation_loss"][best],
                    "NLL": -history["validation_reconstruction"][best],
                    "KL": history["validation_kl"][best],
                },
            )


def batch_norm_mnist(seed):
    """Batch-norm conv VAE, 24,641 parameters, z=2, batch 128, 10 epochs."""
    train, test = load_images("mnist_784")
    network = ConvNet(
        channels=(8, 16), hidden_layer_sizes=(20,), linear_map=False, batch_norm=True
    )
    name = "batch-norm conv VAE, MNIST"
    yield from _pictures(name, network, train, test, 10, seed, batch_size=128)


def dcgan_mnist(seed):
    """DCGAN-like VAE, MNIST; the published 5 epochs on a GPU, 3 of 500 rows without."""
    import torch

    train, test = load_images("mnist_784")
    network = ConvNet(
        channels=(128, 256, 512, 1024),
        kernel_size=5,
        hidden_layer_sizes=(),
        linear_map=False,
        batch_norm=True,
    )
    # The products that PyTorch's convolutions have on a GPU by default, and 1,000 test rows:
    # their ELBO takes 128 draws each.
    name, epochs, size, precision = "DCGAN-like VAE, MNIST", 5, 128, "tf32"
    test = test[:1000]
    if not torch.cuda.is_available():
        train, test, name = train[:500], test[:20], f"{name}, 500 rows"
        epochs, size, precision = 3, 32, "float32"
    options = {"batch_size": size, "precision": precision}
    yield from _pictures(name, network, train, test, epochs, seed, **options)


def _pictures(name, network, train, test, epochs, seed, **options):
    vae = VAETransformer(
        network=network,
        likelihood="bernoulli",
        image_shape=(28, 28),
        max_iter=epochs,
        early_stopping=False,
        random_state=seed,
        **options,
    )
    vae, count, seconds = fit(vae, train)
    figures = {"test -ELBO": -vae.elbo(test).value.mean()}
    yield Row(name, count, vae.n_iter_, seconds, "pictures", figures)
