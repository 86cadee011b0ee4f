"""Held-out likelihood, reconstruction and 5-NN accuracy beside PCA and FactorAnalysis.

Every numeric data set that scikit-learn ships, k = 1, 2 and 5 below the number of
features, five random splits of three to one, columns standardised by the training rows.
The VAE is at its defaults; for reconstruction its noise is isotropic, as PCA's is:

    python benchmarks/tabular.py

Log-likelihood in nats per held-out row (higher is better); mean squared error of the
reconstruction in standardised units; accuracy of five nearest neighbours in the latent space.
"""

import argparse
import warnings

import numpy as np
from _codes import accuracy
from _machine import describe_machine
from _results import Table, add_option, save
from joblib import Parallel, delayed
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
)
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.likelihoods import Gaussian

N_SPLITS = 5
# What `run` returns.
FIGURES = [f"log p, {each}" for each in ("PCA", "FA", "VAE", "VAE isotropic")]
FIGURES += ["error, PCA", "error, VAE isotropic", "5-NN, PCA", "5-NN, FA", "5-NN, VAE"]


def load_tables():
    """Return name -> (X, classes or None)."""
    tables = {
        loader.__name__.removeprefix("load_"): loader(return_X_y=True)
        for loader in (load_iris, load_wine, load_breast_cancer, load_digits)
    }
    tables["diabetes"] = (load_diabetes().data, None)
    tables["linnerud X"] = (load_linnerud().data, None)
    tables["linnerud y"] = (load_linnerud().target, None)
    return tables


def error(model, test):
    return np.mean((model.inverse_transform(model.transform(test)) - test) ** 2)


def run(X, y, k, seed, max_iter):
    warnings.simplefilter("ignore", ConvergenceWarning)
    rows = np.arange(len(X))
    train, test = train_test_split(rows, test_size=0.25, random_state=seed)
    y_train, y_test = (None, None) if y is None else (y[train], y[test])
    scaler = StandardScaler().fit(X[train])
    X_train, X_test = scaler.transform(X[train]), scaler.transform(X[test])
    models = [
        PCA(k),
        FactorAnalysis(k, svd_method="lapack"),
        VAETransformer(k, random_state=seed, max_iter=max_iter),
        VAETransformer(
            k, likelihood=Gaussian(noise="isotropic"), random_state=seed, max_iter=max_iter
        ),
    ]
    for model in models:
        model.fit(X_train)
    pca, fa, vae, isotropic = models
    return [
        *(model.score(X_test) for model in (pca, fa, vae, isotropic)),
        error(pca, X_test),
        error(isotropic, X_test),
        *(
            np.nan if y is None else accuracy(model, X_train, X_test, y_train, y_test)
            for model in (pca, fa, vae)
        ),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="part of a table's name")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument(
        "--max-iter", type=lambda s: s if s == "auto" else int(s), default="auto"
    )
    add_option(parser)
    args = parser.parse_args()
    cases = [
        (name, X, y, k)
        for name, (X, y) in load_tables().items()
        for k in (1, 2, 5)
        if k < X.shape[1] and (args.only is None or args.only in name)
    ]
    results = Parallel(args.n_jobs)(
        delayed(run)(X, y, k, seed, args.max_iter)
        for _, X, y, k in cases
        for seed in range(N_SPLITS)
    )
    table = np.array(results).reshape(len(cases), N_SPLITS, -1)
    means = table.mean(axis=1)

    print(describe_machine())
    print(
        f"{'':15s}    {'log-likelihood (nats per row)':>50s} {'reconstruction MSE':>26s}"
        f" {'5-NN accuracy':>20s}"
    )
    print(
        f"{'data':15s}  k {'PCA':>9s} {'FA':>11s} {'VAE':>9s} {'gain (se)':>14s}"
        f" {'VAE iso':>9s}"
        f" {'PCA':>8s} {'VAE iso':>8s} {'ratio':>6s} {'PCA':>6s} {'FA':>6s} {'VAE':>6s}"
    )
    wins = {"likelihood": 0, "error within 1.02": 0, "error below": 0}
    for (name, _, _, k), mean, splits in zip(cases, means, table, strict=True):
        pca, fa, vae, iso, pca_mse, iso_mse, *knn = mean
        better = 0 if pca > fa else 1
        gains = splits[:, 2] - splits[:, better]
        spread = gains.std(ddof=1) / np.sqrt(N_SPLITS)
        wins["likelihood"] += vae >= max(pca, fa)
        wins["error within 1.02"] += iso_mse <= 1.02 * pca_mse
        wins["error below"] += iso_mse < pca_mse
        print(
            f"{name:15s} {k:2d} {pca:9.3f} {fa:11.4g} {vae:9.3f} "
            f"{gains.mean():7.2f} ({spread:.2f}) {iso:9.3f}"
            f" {pca_mse:8.4f} {iso_mse:8.4f} {iso_mse / pca_mse:6.3f}"
            + "".join(f" {value:6.3f}" for value in knn)
        )
    for claim, count in wins.items():
        print(f"{claim}: {count} of {len(cases)}")
    rows = [
        [name, k, *("" if np.isnan(cell).any() else cell for cell in splits.T)]
        for (name, _, _, k), splits in zip(cases, table, strict=True)
    ]
    title = "Held-out rows: nats per row, error of the reconstruction, accuracy of 5-NN"
    save(__file__, [Table(title, ["data", "k", *FIGURES], rows)], args.save)


if __name__ == "__main__":
    main()
