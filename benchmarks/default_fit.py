"""What a default `fit` takes, and what its codes are worth beside PCA's.

    python benchmarks/default_fit.py

Small tables of scikit-learn, a quarter of the rows held out, and, where scikit-learn's data
folder has them, the Olivetti faces (300 rows of 4,096) and MNIST (60,000 rows of 784), this one
with the Bernoulli likelihood too. A 5-nearest-neighbours classifier judges two-dimensional
codes of held-out rows. The first fit of a process, which imports parts of torch, is not
counted. "search" is the time of a GridSearchCV with 12 candidates in five folds on iris.
"""

import argparse
import time
import warnings

import numpy as np
from _codes import accuracy
from _data import load_labelled_images
from _machine import describe_machine
from _results import Table, add_option, save
from _table import print_header, print_row
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split

from skvae import VAETransformer

COLUMNS = [
    "data",
    "rows",
    "seconds, median",
    "target",
    "5-NN of VAE codes",
    "5-NN of PCA codes",
]
TARGETS = {
    "iris": 1.5,
    "wine": 2,
    "breast_cancer": 2,
    "digits": 2.5,
    "olivetti": 15,
    "mnist": 60,
    "mnist, bernoulli": 60,
    "search": 60,
}
LOADERS = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "olivetti": datasets.fetch_olivetti_faces,
}
GRID = {
    "latent_dim": [1, 2, 3],
    "learning_rate_init": [1e-3, 5e-3],
    "weight_decay": [0.0, 0.01],
}


def load_parts(name):
    """Return training and test rows, and their labels."""
    if name in LOADERS:
        table = LOADERS[name](return_X_y=True)
        return train_test_split(*table, random_state=0, stratify=table[1])
    return load_labelled_images("mnist_784")


def fit_seconds(vae, X, n_rounds):
    """Return the seconds of each fit."""
    seconds = []
    for _ in range(n_rounds):
        start = time.perf_counter()
        vae.fit(X)
        seconds.append(time.perf_counter() - start)
    return seconds


def measure_fit(name, n_rounds):
    """Return a row of the table."""
    X, *others = load_parts(name)
    likelihood = "bernoulli" if "bernoulli" in name else "auto"
    vae = VAETransformer(likelihood=likelihood, random_state=0)
    seconds = fit_seconds(vae, X, 1 if "mnist" in name else n_rounds)
    found = [accuracy(model, X, *others) for model in (vae, PCA(2).fit(X))]
    return [name, len(X), float(np.median(seconds)), TARGETS[name], *found]


def measure_search():
    """Return the table's row of a search."""
    X = datasets.load_iris().data
    search = GridSearchCV(VAETransformer(random_state=0), GRID, cv=5)
    return ["search", len(X), fit_seconds(search, X, 1)[0], TARGETS["search"], "", ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=list(TARGETS))
    parser.add_argument("--rounds", type=int, default=3)
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    print_header(COLUMNS)
    VAETransformer(max_iter=1).fit(datasets.load_iris().data)
    rows = []
    for name in args.data:
        row = measure_search() if name == "search" else measure_fit(name, args.rounds)
        rows.append(row)
        print_row([f"{cell:.3g}" if isinstance(cell, float) else cell for cell in row])
    title = "A fit with default parameters, k = 2"
    save(__file__, [Table(title, COLUMNS, rows)], args.save)


if __name__ == "__main__":
    main()
