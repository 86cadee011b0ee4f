"""Missing values filled by VAEImputer at its defaults, beside scikit-learn's imputers.

    python benchmarks/imputation.py                      # small tables, half of the cells
    python benchmarks/imputation.py --tables diabetes california wine_quality digits
    python benchmarks/imputation.py --mechanism mar --share 0.3

Columns are standardised on all rows; a share of all cells is missing, at random as in MIWAE's
notebook (Mattei & Frellsen 2019) or depending on another column ("mar"), the same for every
method. The table has the mean squared error of the missing cells, the seconds of one fit and
transform, and for models of a density the share of missing cells, of 2,000 rows at most, inside
90 % intervals: of 100 draws for the VAE, of normal distributions for both EMs. Then the
log-likelihood, in nats per row, of the values of held-out rows (a fifth) under the VAE and a
factor analysis by EM of the same number of dimensions, and the share of these rows that have
the higher one under the VAE: the mean may be that of a single row far from all others. The
forest is IterativeImputer with 100 extremely randomised trees; "--no-forest" leaves it out: it
takes most of the time.
wine_quality (P. Cortez et al. 2009, UCI) is read from the file that "--wine-quality" names.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from _imputers import EMFactorAnalysis, EMGaussian
from _machine import describe_machine
from _results import Table, add_option, save
from scipy import stats
from sklearn.datasets import (
    fetch_california_housing,
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from skvae import VAEImputer

N_DRAWS = 100
N_COVERED = 2000  # rows of whose missing cells intervals are drawn
COLUMNS = ["imputer", "mean squared error", "seconds", "90 % intervals cover"]


def load_wine_quality(path):
    return pd.read_csv(path).select_dtypes("number").to_numpy(dtype=float)


TABLES = {
    "iris": lambda: load_iris().data,
    "wine": lambda: load_wine().data,
    "breast_cancer": lambda: load_breast_cancer().data,
    "diabetes": lambda: load_diabetes().data,
    "california": lambda: fetch_california_housing().data,
    "wine_quality": load_wine_quality,
    "digits": lambda: load_digits().data,
}


def load(name, wine_quality):
    X = TABLES[name](wine_quality) if name == "wine_quality" else TABLES[name]()
    return StandardScaler().fit_transform(X[:, X.std(axis=0) > 0])


def hide(X, share, mechanism, seed):
    """Return a copy with missing cells."""
    rng = np.random.RandomState(seed)
    holes = X.copy()
    if mechanism == "mcar":
        cells = rng.choice(X.size, int(np.floor(X.size * share)), replace=False)
        holes.ravel()[cells] = np.nan
        return holes
    # A cell is missing more often where the row is high in a column that is always there.
    always = rng.choice(X.shape[1])
    rank = X[:, always].argsort().argsort() / len(X)
    missing = rng.random_sample(X.shape) < 2 * share * rank[:, None]
    missing[:, always] = False
    holes[missing] = np.nan
    return holes


def peers(latent_dim, forest):
    """Return name -> imputer."""
    found = {
        "mean": SimpleImputer(),
        "5-NN": KNNImputer(),
        "ridge": IterativeImputer(random_state=0),
        f"EM factor analysis, k={latent_dim}": EMFactorAnalysis(latent_dim),
        "EM Gaussian": EMGaussian(),
    }
    if forest:
        trees = ExtraTreesRegressor(100, random_state=0, n_jobs=-1)
        found["forest"] = IterativeImputer(trees, random_state=0)
    return found


def timed(imputer, holes):
    start = time.perf_counter()
    filled = imputer.fit_transform(holes)
    return filled, time.perf_counter() - start


def coverage(imputer, X, holes):
    """Return the share of missing cells of the first rows inside 90 % intervals of draws."""
    X, holes = X[:N_COVERED], holes[:N_COVERED]
    missing = np.isnan(holes)
    draws = np.stack(
        [
            imputer.vae_.impute(holes, sample=True, random_state=k)[missing]
            for k in range(N_DRAWS)
        ]
    )
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return np.mean((low <= X[missing]) & (X[missing] <= high))


def coverage_of_normal(imputer, X, holes):
    """Return the same for a model whose conditional distributions are normal."""
    X, holes = X[:N_COVERED], holes[:N_COVERED]
    missing = np.isnan(holes)
    half = stats.norm.ppf(0.95) * np.sqrt(imputer.conditional_variance(holes))
    return np.mean((np.abs(X - imputer.transform(holes)) <= half)[missing])


def held_out(holes, latent_dim, seed):
    """Return the log-likelihoods of held-out rows: the VAE's and factor analysis's.

    The third number is the share of rows that the VAE gives the higher one.
    """
    order = np.random.RandomState(seed).permutation(len(holes))
    test, train = np.split(holes[order], [len(holes) // 5])
    vae = VAEImputer(latent_dim, random_state=seed).fit(train).vae_
    ours = vae.score_samples(test)
    linear = EMFactorAnalysis(latent_dim).fit(train).score_samples(test)
    return ours.mean(), linear.mean(), np.mean(ours > linear)


def run(name, X, share, mechanism, gaps_seed, n_seeds, forest):
    """Print and return the table of errors and the held-out log-likelihoods of the seeds."""
    holes = hide(X, share, mechanism, gaps_seed)
    missing = np.isnan(holes)

    def error(filled):
        return np.mean((filled - X)[missing] ** 2)

    title = f"{name}, {len(X)} x {X.shape[1]}, {missing.mean():.0%} missing ({mechanism})"
    print(f"\n{title}")
    errors, seconds = [], []
    for seed in range(n_seeds):
        ours = VAEImputer(random_state=seed)
        filled, spent = timed(ours, holes)
        errors.append(error(filled))
        seconds.append(spent)
    k = ours.vae_.latent_dim
    rows = [[f"VAEImputer (k={k})", errors, seconds, f"{coverage(ours, X, holes):.1%}"]]
    print(
        rows[0][0].ljust(30)
        + f"{np.mean(errors):.4f} sd {np.std(errors):.4f} {np.median(seconds):8.2f} s, "
        f"90 % intervals cover {rows[0][-1]}",
        flush=True,
    )
    for label, peer in peers(k, forest).items():
        filled, spent = timed(peer, holes)
        cover = ""
        if hasattr(peer, "conditional_variance"):
            cover = f"{coverage_of_normal(peer, X, holes):.1%}"
        rows.append([label, error(filled), spent, cover])
        print(f"{label:29s} {error(filled):.4f}           {spent:8.2f} s {cover}", flush=True)
    scores = np.array([held_out(holes, k, seed) for seed in range(min(3, n_seeds))])
    means = scores.mean(axis=0)
    print(
        "held-out log p: VAE {:.3f}, EM factor analysis {:.3f}, VAE ahead in {:.1%} of "
        "rows".format(*means),
        flush=True,
    )
    return Table(title, COLUMNS, rows), [name, *scores.T]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES)[:3])
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--mechanism", choices=["mcar", "mar"], default="mcar")
    parser.add_argument("--gaps-seed", type=int, default=1234)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--no-forest", action="store_true")
    parser.add_argument("--wine-quality", default="wine_quality.csv.gz")
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    options = (args.share, args.mechanism, args.gaps_seed, args.seeds, not args.no_forest)
    found = [run(name, load(name, args.wine_quality), *options) for name in args.tables]
    tables, scores = zip(*found, strict=True)
    title = "Log-likelihood of held-out rows, nats per row"
    columns = ["data", "VAE", "EM factor analysis", "share of rows with the VAE ahead"]
    save(__file__, [*tables, Table(title, columns, scores)], args.save)
