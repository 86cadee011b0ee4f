"""Tables in their own units, without a scaler: held-out likelihood beside FactorAnalysis.

The columns of these tables differ in scale by up to 2,500 times. k = 2, random splits of
three to one. The VAE is at its defaults and is given the rows as they are; beside it the
same VAE behind a StandardScaler, the Jacobian of the scaling added to its score:

    python benchmarks/unscaled.py

Log-likelihood in nats per held-out row, in the units of the data (higher is better).
"""

import argparse
import warnings

import numpy as np
from _machine import describe_machine
from _results import Table, add_option, save
from joblib import Parallel, delayed
from sklearn.datasets import fetch_california_housing, load_diabetes, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

LATENT_DIM = 2
# name -> (loader, random splits)
TABLES = {
    "wine": (load_wine, 5),
    "diabetes": (lambda: load_diabetes(scaled=False), 5),
    "diabetes as shipped": (load_diabetes, 5),
    "california_housing": (fetch_california_housing, 3),
}


def run(X, seed):
    """Return the held-out scores of PCA, FactorAnalysis, the VAE and the scaled VAE."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    train, test = train_test_split(X, test_size=0.25, random_state=seed)
    models = [
        PCA(LATENT_DIM),
        FactorAnalysis(LATENT_DIM, svd_method="lapack"),
        VAETransformer(LATENT_DIM, random_state=seed),
    ]
    scores = [model.fit(train).score(test) for model in models]
    scaler = StandardScaler().fit(train)
    vae = VAETransformer(LATENT_DIM, random_state=seed).fit(scaler.transform(train))
    jacobian = -np.log(scaler.scale_).sum()
    return [*scores, vae.score(scaler.transform(test)) + jacobian]


def spread(values):
    """Return the standard error of a mean over splits."""
    return np.std(values, ddof=1) / np.sqrt(len(values))


def print_table(tables, results):
    """Print a line a table; `results` are those of `run`, a list of splits each."""
    print(describe_machine())
    print(
        f"{'data':20s} {'rows':>6s} {'scales':>7s} {'splits':>6s} {'PCA':>9s} {'FA':>9s}"
        f" {'VAE':>9s} {'gain (se)':>15s} {'scaled VAE':>10s} {'raw - scaled (se)':>18s}"
    )
    for (name, X), scores in zip(tables.items(), results, strict=True):
        pca, fa, vae, scaled = np.transpose(scores)
        scales = X.std(axis=0)
        print(
            f"{name:20s} {len(X):6d} {scales.max() / scales.min():7.0f} {len(vae):6d}"
            f" {pca.mean():9.3f} {fa.mean():9.3f} {vae.mean():9.3f}"
            f" {np.mean(vae - fa):7.3f} ({spread(vae - fa):5.3f}) {scaled.mean():10.3f}"
            f" {np.mean(vae - scaled):10.3f} ({spread(vae - scaled):5.3f})"
        )


def table(tables, results):
    """Return the same for the site: the scores of each split."""
    rows = []
    for (name, X), scores in zip(tables.items(), results, strict=True):
        scales = X.std(axis=0)
        columns = np.transpose(scores).tolist()
        rows.append([name, len(X), f"{scales.max() / scales.min():.0f}", *columns])
    title = f"Held-out log-likelihood in nats per row, k = {LATENT_DIM}"
    models = ["PCA", "FactorAnalysis", "VAETransformer", "with a StandardScaler"]
    return Table(title, ["data", "rows", "largest / smallest scale", *models], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="part of a table's name")
    parser.add_argument("--n-jobs", type=int, default=2)
    add_option(parser)
    args = parser.parse_args()
    chosen = {name: parts for name, parts in TABLES.items() if args.only in name}
    tables = {name: load().data for name, (load, _) in chosen.items()}
    seeds = [range(n_splits) for _, n_splits in chosen.values()]
    scores = iter(
        Parallel(args.n_jobs)(
            delayed(run)(X, seed)
            for X, splits in zip(tables.values(), seeds, strict=True)
            for seed in splits
        )
    )
    results = [[next(scores) for _ in splits] for splits in seeds]
    print_table(tables, results)
    save(__file__, [table(tables, results)], args.save)


if __name__ == "__main__":
    main()
