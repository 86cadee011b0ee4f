"""Default convolutional networks on images, beside PCA: held-out error and log-likelihood.

    python benchmarks/conv_images.py colour --pictures samples.png

colour: 3,600 of 4,000 images of 32x32 pixels in colour. fashion: 3,600 of Fashion-MNIST's.
400 others are held out. The log-likelihood is PCA's exact one, and for the network its lower
bound, the ELBO. With --pictures the images, what the models make of them, and samples of
both are drawn, for the first number of latent dimensions and the first seed.
"""

import argparse
import time
import warnings

import numpy as np
from _data import load_colour_images, load_images
from _machine import describe_machine
from _results import Table, add_option, save
from _table import print_header, print_row
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer

COLUMNS = (
    "data",
    "k",
    "error, PCA",
    "error, ConvNet",
    "log p, PCA",
    "ELBO, ConvNet",
    "epochs",
    "parameters",
    "s",
)


def fashion():
    """Return 3,600 training and 400 held-out images."""
    train, test = load_images("Fashion-MNIST")
    return train[:3600], test[:400]


LOADERS = {"colour": (load_colour_images, (32, 32, 3)), "fashion": (fashion, (28, 28))}


def decoded(model, X):
    """Return the reconstructions of rows."""
    return model.inverse_transform(model.transform(X))


def error(model, X):
    """Return the mean squared error of the reconstructions."""
    return np.square(decoded(model, X) - X).mean()


def fit_timed(k, image_shape, train, seed):
    """Return a fitted model and the seconds it took."""
    start = time.perf_counter()
    vae = VAETransformer(k, network="conv", image_shape=image_shape, random_state=seed)
    return vae.fit(train), time.perf_counter() - start


def summary(values, digits):
    """Return mean and standard deviation as text."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


def draw(path, image_shape, test, pca, vae):
    """Write rows of pictures: images, reconstructions and samples of both models."""
    import matplotlib.pyplot as plt

    n = 16
    normal = np.random.RandomState(0).standard_normal((n, pca.n_components_))
    # PCA whose components have the variance of the data is a model that can be drawn from.
    samples = pca.inverse_transform(normal * np.sqrt(pca.explained_variance_))
    rows = {
        "images": test[:n],
        "PCA": decoded(pca, test[:n]),
        "ConvNet": decoded(vae, test[:n]),
        "samples, PCA": samples,
        "samples, ConvNet": vae.sample(n, mean=True, random_state=0),
    }
    figure, axes = plt.subplots(len(rows), n, figsize=(n, len(rows)), layout="constrained")
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        line[0].set_title(name, loc="left", fontsize=8)
        for ax, image in zip(line, images, strict=True):
            ax.imshow(image.reshape(image_shape).clip(0, 1), cmap="gray")
            ax.axis("off")
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=list(LOADERS))
    parser.add_argument("--latent-dims", nargs="*", type=int, default=[16, 64])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--pictures", metavar="PATH", help="file to draw to")
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    print_header(COLUMNS)
    rows = []
    for name in args.data:
        load, image_shape = LOADERS[name]
        train, test = load()
        for k in args.latent_dims:
            pca = PCA(k, svd_solver="full").fit(train)
            fits = [fit_timed(k, image_shape, train, seed) for seed in args.seeds]
            if args.pictures and k == args.latent_dims[0]:
                draw(args.pictures, image_shape, test, pca, fits[0][0])
            models, seconds = zip(*fits, strict=True)
            count = sum(p.numel() for p in models[0]._fitted.module.parameters())
            errors = [error(vae, test) for vae in models]
            bounds = [vae.elbo(test).value.mean() for vae in models]
            epochs = [vae.n_iter_ for vae in models]
            count = f"{count:,}"
            pca_error, pca_score = f"{error(pca, test):.5f}", f"{pca.score(test):.1f}"
            rows.append([name, k, pca_error, errors, pca_score, bounds, epochs, count, seconds])
            found = (summary(errors, 5), pca_score, summary(bounds, 1), summary(epochs, 0))
            print_row([name, k, pca_error, *found, count, summary(seconds, 0)])
    title = "Error of the reconstruction and log-likelihood of held-out images"
    save(__file__, [Table(title, COLUMNS, rows)], args.save)


if __name__ == "__main__":
    main()
