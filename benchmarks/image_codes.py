"""Codes and reconstructions of images with default parameters, beside those of PCA.

    python benchmarks/image_codes.py

The digits, the Olivetti faces and, where scikit-learn's data folder has them, the first
6,000 images of MNIST and Fashion-MNIST; 30 % of the rows are held out. The rows come as they
are, scaled by MinMaxScaler or by StandardScaler. Printed are the accuracy of a
5-nearest-neighbours classifier on the codes of held-out rows, and the mean squared error of
their reconstruction over that of the mean row.
"""

import argparse
import time
import warnings

import numpy as np
from _codes import accuracy
from _machine import describe_machine
from sklearn.datasets import fetch_olivetti_faces, fetch_openml, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from skvae import VAETransformer

N_ROWS = 6000
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


def evaluate(model, train, test, y_train, y_test):
    """Fit a model; return accuracy, relative error and seconds."""
    start = time.perf_counter()
    model.fit(train)
    seconds = time.perf_counter() - start
    decoded = model.inverse_transform(model.transform(test))
    relative = np.square(decoded - test).mean() / np.square(train.mean(axis=0) - test).mean()
    return accuracy(model, train, test, y_train, y_test), relative, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=list(LOADERS))
    parser.add_argument("--latent-dims", nargs="*", type=int, default=[2, 5, 20])
    parser.add_argument("--scalers", nargs="*", default=list(SCALERS))
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    print("| data | scaler | k | 5-NN, PCA | 5-NN, VAE | error, PCA | error, VAE | noise | s |")
    print("|" + " --- |" * 9)
    for name in args.data:
        X, y = LOADERS[name]()
        rows = train_test_split(X, y, test_size=0.3, random_state=1, stratify=y)
        for scaler in args.scalers:
            scale = SCALERS[scaler]().fit(rows[0])
            parts = (*map(scale.transform, rows[:2]), *rows[2:])
            for k in args.latent_dims:
                pca = evaluate(PCA(k, random_state=0), *parts)
                vae = VAETransformer(k, random_state=0)
                ours = evaluate(vae, *parts)
                print(
                    f"| {name} | {scaler} | {k} | {pca[0]:.3f} | {ours[0]:.3f} | {pca[1]:.3f} "
                    f"| {ours[1]:.3f} | {vae.likelihood_.noise} | {ours[2]:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
