"""Gaussian(marginals="normal") beside the default and independent columns, on tables.

    python benchmarks/marginals.py ../shared/tables/adult.csv.gz [more tables]

The numeric columns of each table, a fifth of the rows held out, and a VAETransformer at its
defaults but for `latent_dim`. Of 5,000 drawn rows: the Kolmogorov-Smirnov distance of each
column to that of the held-out rows (mean and largest), and the mean absolute difference of
Pearson's and Spearman's correlations. Then the held-out log-likelihood in nats per row. For
columns of tied values the default has a density, and normal marginals probabilities: the two
are on one scale only after rounding, so the default's is also given as the probability of the
cell around each tied value, up to the middle to its neighbours, from 20 draws of noise in the
cell. "real" compares training rows with the held-out ones.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _machine import describe_machine
from _results import Table, add_option, save
from scipy.stats import ks_2samp, spearmanr
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer
from skvae.data.marginals import NormalScores
from skvae.likelihoods import Gaussian

N_DRAWN, N_NOISE = 5000, 20
COLUMNS = ["rows", "KS mean", "max", "pearson", "spearman", "log p", "seconds"]


def distances(rows, held_out):
    """Return the figures of drawn rows."""
    ks = [ks_2samp(a, b).statistic for a, b in zip(rows.T, held_out.T, strict=True)]
    pairs = np.triu_indices(rows.shape[1], 1)
    pearson, spearman = (
        np.abs(of(rows)[pairs] - of(held_out)[pairs]).mean()
        for of in (lambda X: np.corrcoef(X.T), lambda X: spearmanr(X).statistic)
    )
    return np.mean(ks), np.max(ks), pearson, spearman


def cells(units, X):
    """Return the ends of the cell around each tied value; equal ends for other values."""
    low, high = X.copy(), X.copy()
    for j, one in enumerate(units.maps):
        tied = one.tied
        if len(tied) > 1:
            middles = tied[:-1] + np.diff(tied) / 2
            ends = np.concatenate(
                [[2 * tied[0] - middles[0]], middles, [2 * tied[-1] - middles[-1]]]
            )
            k = np.searchsorted(tied, X[:, j]).clip(max=len(tied) - 1)
            is_tied = tied[k] == X[:, j]
            low[:, j] = np.where(is_tied, ends[k], X[:, j])
            high[:, j] = np.where(is_tied, ends[k + 1], X[:, j])
    return low, high


def log_probability(model, units, X):
    """Return the mean log-likelihood of the cells of rows, by uniform draws inside them."""
    low, high = cells(units, X)
    width = high - low
    rng = np.random.RandomState(0)
    log_width = np.log(np.where(width > 0, width, 1)).sum(axis=1)
    scores = [
        model.score_samples(low + width * rng.random_sample(X.shape)) for _ in range(N_NOISE)
    ]
    return np.mean(np.logaddexp.reduce(scores) - np.log(N_NOISE) + log_width)


def independent(units, X):
    """Return the mean log-likelihood of independent columns with the training marginals."""
    head = Gaussian("per_feature", marginals="normal").head(units).double()
    raw = torch.zeros(X.shape, dtype=torch.float64)
    with torch.no_grad():
        log_p = head(raw).log_prob(torch.as_tensor(units.to_model(X))).numpy()
    return np.mean(log_p + units.log_jacobian_of(X))


def run(path, latent_dim, seed):
    """Print and return the figures of one table: its shape, and names with their cells."""
    X = pd.read_csv(path, na_values="?").select_dtypes("number").to_numpy(dtype=float)
    X = X[np.random.RandomState(seed).permutation(len(X))]
    held_out, train = np.split(X, [len(X) // 5])
    units = NormalScores.of_rows(train)
    print(f"\n{path}, {len(train)} x {X.shape[1]}, latent_dim={latent_dim}, seed {seed}")
    print(f"{'':22s} KS mean    max  pearson spearman  log p   seconds")
    real = distances(train[:N_DRAWN], held_out)
    print(f"{'real':20s} " + _line(real))
    alone = independent(units, held_out)
    print(f"{'independent columns':20s} {'':36s}{alone:9.3f}")
    nothing = [""] * len(real)
    found = {"real": [*real, "", ""], "independent columns": [*nothing, alone, ""]}
    for marginals in (None, "normal"):
        start = time.perf_counter()
        model = VAETransformer(
            latent_dim, likelihood=Gaussian(marginals=marginals), random_state=seed
        ).fit(train)
        seconds = time.perf_counter() - start
        rows = model.sample(N_DRAWN, random_state=seed)
        if marginals is None:
            score = log_probability(model, units, held_out)
        else:
            score = model.score(held_out)
        drawn = distances(rows, held_out)
        print(
            f"marginals={marginals!s:10s} {_line(drawn)}{score:9.3f} {seconds:8.1f}", flush=True
        )
        found[f"marginals={marginals}"] = [*drawn, score, seconds]
    return X.shape, found


def summary(path, runs):
    """Return the table of a file: each cell has a number of each seed, or nothing."""
    (n_rows, width), first = runs[0]
    rows = []
    for name in first:
        cells = zip(*(found[name] for _, found in runs), strict=True)
        rows.append([name, *("" if "" in cell else cell for cell in cells)])
    return Table(f"{Path(path).name}, {n_rows} x {width}", COLUMNS, rows)


def _line(figures):
    return "".join(f"{value:9.4f}" for value in figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--latent-dim", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    tables = [
        summary(path, [run(path, args.latent_dim, seed) for seed in range(args.seeds)])
        for path in args.tables
    ]
    save(__file__, tables, args.save)
