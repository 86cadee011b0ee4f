"""What a default `fit` takes, and what its codes are worth beside PCA's.

    python benchmarks/default_fit.py

iris, the digits and, where scikit-learn's data folder has it, MNIST (60,000 rows of 784,
float32), this one with the Bernoulli likelihood too, which suits it better. A
5-nearest-neighbours classifier judges two-dimensional codes of held-out rows.
"""

import argparse
import time
import warnings

import numpy as np
from _codes import accuracy
from _data import load_labelled_images
from _machine import describe_machine
from _results import Table, add_option, save
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from skvae import VAETransformer

COLUMNS = ["data", "rows", "seconds", "5-NN of VAE codes", "5-NN of PCA codes"]
TARGETS = {"iris": 1.5, "digits": 2.5, "mnist": 60, "mnist, bernoulli": 60}


def tables(names):
    """Yield name, training and test rows, and their labels."""
    for name, load in (("iris", load_iris), ("digits", load_digits)):
        if name in names:
            yield name, *train_test_split(*load(return_X_y=True), random_state=0)
    for name in ("mnist", "mnist, bernoulli"):
        if name in names:
            yield name, *load_labelled_images("mnist_784")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=list(TARGETS))
    parser.add_argument("--rounds", type=int, default=3)
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    print("| data | rows | seconds, median | target | 5-NN of VAE codes | of PCA codes |")
    print("|" + " --- |" * 6)
    rows = []
    for name, *parts in tables(args.data):
        X_train = parts[0]
        likelihood = "bernoulli" if "bernoulli" in name else "gaussian"
        seconds = []
        for _ in range(1 if "mnist" in name else args.rounds):
            start = time.perf_counter()
            vae = VAETransformer(likelihood=likelihood, random_state=0).fit(X_train)
            seconds.append(time.perf_counter() - start)
        found = [accuracy(model, *parts) for model in (vae, PCA(2).fit(X_train))]
        rows.append([name, len(X_train), seconds, *found])
        print(
            f"| {name} | {len(X_train)} | {np.median(seconds):.1f} | {TARGETS[name]} "
            f"| {found[0]:.3f} | {found[1]:.3f} |",
            flush=True,
        )
    title = "A fit with default parameters, k = 2"
    save(__file__, [Table(title, COLUMNS, rows)], args.save)


if __name__ == "__main__":
    main()
