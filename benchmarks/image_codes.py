"""Codes and reconstructions of images with default parameters, beside those of PCA.

    python benchmarks/image_codes.py

The digits, the Olivetti faces and, where scikit-learn's data folder has them, the first
6,000 images of MNIST and Fashion-MNIST; 30 % of the rows are held out. The rows come as they
are, scaled by MinMaxScaler or by StandardScaler. Printed are the accuracy of a
5-nearest-neighbours classifier on the codes of held-out rows, and the mean squared error of
their reconstruction over that of the mean row: mean and standard deviation over splits. Under
the prior N(0, I) all codes have about unit variance, as those of PCA have with whiten=True;
to a classifier by distances that is a choice of its own, and has a column of its own.
"""

import argparse
import time
import warnings
from itertools import product
from typing import NamedTuple

import numpy as np
from _codes import accuracy
from _machine import describe_machine
from _results import Table, add_option, save
from _table import print_header, print_row
from sklearn.datasets import fetch_olivetti_faces, fetch_openml, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from skvae import VAETransformer

N_ROWS = 6000
COLUMNS = ["data", "scaler", "k", "5-NN, PCA", "5-NN, whitened PCA", "5-NN, VAE"]
COLUMNS += ["error, PCA", "error, VAE", "noise", "CPU s"]
SCALERS = {"none": FunctionTransformer, "min-max": MinMaxScaler, "standard": StandardScaler}


def first_images(name):
    """Return the first rows of a data set of OpenML and their labels."""
    X, y = fetch_openml(name, version=1, as_frame=False, return_X_y=True)
    return X[:N_ROWS].astype(np.float64), y[:N_ROWS]


LOADERS = {
    "digits": lambda: load_digits(return_X_y=True),
    "olivetti": lambda: fetch_olivetti_faces(return_X_y=True),
    "mnist": lambda: first_images("mnist_784"),
    "fashion": lambda: first_images("Fashion-MNIST"),
}


class Figures(NamedTuple):
    """What one model gives on one split."""

    accuracy: float
    error: float
    seconds: float


def evaluate(model, train, test, y_train, y_test):
    """Fit a model; return its figures, the error relative to that of the mean row."""
    start = time.process_time()
    model.fit(train)
    seconds = time.process_time() - start
    decoded = model.inverse_transform(model.transform(test))
    relative = np.square(decoded - test).mean() / np.square(train.mean(axis=0) - test).mean()
    return Figures(accuracy(model, train, test, y_train, y_test), relative, seconds)


def run(X, y, scaler, k, seed):
    """Return the figures of PCA, whitened PCA and the VAE on one split, and the VAE's noise."""
    rows = train_test_split(X, y, test_size=0.3, random_state=seed + 1, stratify=y)
    scale = SCALERS[scaler]().fit(rows[0])
    parts = (*map(scale.transform, rows[:2]), *rows[2:])
    vae = VAETransformer(k, random_state=seed)
    models = (PCA(k, random_state=0), PCA(k, whiten=True, random_state=0), vae)
    return [evaluate(model, *parts) for model in models], vae.likelihood_.noise


def spread(values):
    """Return the mean of values and, of several, their standard deviation in brackets."""
    deviation = f" ({np.std(values, ddof=1):.3f})" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=list(LOADERS))
    parser.add_argument("--latent-dims", nargs="*", type=int, default=[2, 5, 20])
    parser.add_argument("--scalers", nargs="*", default=list(SCALERS))
    parser.add_argument("--seeds", type=int, default=3)
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    print_header(COLUMNS)
    rows = []
    for name in args.data:
        X, y = LOADERS[name]()
        for scaler, k in product(args.scalers, args.latent_dims):
            results = [run(X, y, scaler, k, seed) for seed in range(args.seeds)]
            pca, white, vae = zip(*(figures for figures, _ in results), strict=True)
            figures = (
                *([one.accuracy for one in each] for each in (pca, white, vae)),
                *([one.error for one in each] for each in (pca, vae)),
            )
            noise = "/".join(sorted({noise for _, noise in results}))
            seconds = f"{np.mean([one.seconds for one in vae]):.1f}"
            rows.append([name, scaler, str(k), *figures, noise, seconds])
            print_row([name, scaler, k, *map(spread, figures), noise, seconds])
    title = "Accuracy of 5-NN on the codes, and error of the reconstruction"
    save(__file__, [Table(title, COLUMNS, rows)], args.save)


if __name__ == "__main__":
    main()
