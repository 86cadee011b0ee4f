"""Missing pixels of MNIST, filled by a VAE that was trained with half of all pixels missing.

    python benchmarks/imputation_images.py --picture filled.png

All training images lack a random half of their pixels. Test images lack a random half,
or their lower half: mean squared error of the missing pixels (grey values in [0, 1]) beside a
factor analysis by EM of the same number of dimensions, fitted to 5,000 of the images, and the
means of the pixels; and the log-likelihood, in nats per image, of the pixels that are there.
The first is that of the default, the second with a Bernoulli likelihood.
"""

import argparse
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from _data import load_images
from _imputers import EMFactorAnalysis
from _machine import describe_machine
from _results import Table, add_option, save
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer

LATENT_DIM = 20
COLUMNS = ["missing", "model", "fit, s", "mean squared error", "log p"]


def without_random_half(X, seed):
    return np.where(np.random.RandomState(seed).random_sample(X.shape) < 0.5, np.nan, X)


def without_lower_half(X):
    holes = X.copy()
    holes[:, X.shape[1] // 2 :] = np.nan
    return holes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--picture")
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    train, test = load_images("mnist_784")
    train, test = train[: args.rows], test[:1000]
    holes = without_random_half(train, 0).astype(np.float32)
    damaged = {
        "random half": without_random_half(test, 1).astype(np.float32),
        "lower half": without_lower_half(test),
    }
    # The peer needs some noise for pixels that are always 0.
    jitter = np.random.RandomState(2).normal(0, 1e-2, (5000, train.shape[1]))
    models = {
        "VAE, gaussian": VAETransformer(LATENT_DIM, random_state=0),
        "VAE, bernoulli": VAETransformer(LATENT_DIM, likelihood="bernoulli", random_state=0),
        "EM factor analysis": EMFactorAnalysis(LATENT_DIM, max_iter=50),
    }
    filled, rows = {}, []
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(holes[:5000] + jitter if name.startswith("EM") else holes)
        seconds = f"{time.perf_counter() - start:.0f}"
        print(f"{name}: fit {seconds} s", flush=True)
        for part, X in damaged.items():
            impute = getattr(model, "impute", model.transform)
            filled[name, part] = impute(X)
            missing = np.isnan(X)
            error = f"{np.mean((filled[name, part] - test)[missing] ** 2):.4f}"
            score = "" if name.startswith("EM") else f"{model.score(X):.1f}"
            rows.append([part, name, seconds, error, score])
            print(f"  {part}: mse {error}{score and f', log p {score}'}", flush=True)
    for part, X in damaged.items():
        means = np.nanmean(holes, axis=0)
        error = f"{np.mean((means - test)[np.isnan(X)] ** 2):.4f}"
        rows.append([part, "means of the pixels", "", error, ""])
        print(f"means of the pixels, {part}: mse {error}")
    if args.picture:
        draw(test, damaged, filled, args.picture)
    title = f"Missing pixels of {len(test)} test images, {LATENT_DIM} latent dimensions"
    save(__file__, [Table(title, COLUMNS, rows)], args.save)


def draw(test, damaged, filled, path):
    """Draw ten test images, damaged and filled, below each other."""
    rows = [("original", test)]
    for part, X in damaged.items():
        rows.append((part, X))
        rows += [(name, images) for (name, each), images in filled.items() if each == part]
    figure, axes = plt.subplots(len(rows), 10, figsize=(7, 0.72 * len(rows)))
    colours = plt.get_cmap("gray_r").with_extremes(bad="tab:orange")
    for line, (name, images) in zip(axes, rows, strict=True):
        for ax, image in zip(line, images[:10], strict=True):
            ax.imshow(image.reshape(28, 28), cmap=colours, vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    figure.subplots_adjust(
        left=0.22, right=0.99, top=0.99, bottom=0.01, wspace=0.05, hspace=0.05
    )
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
