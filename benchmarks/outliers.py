"""Outliers found by VAEOutlierDetector at its defaults, beside pyod's and scikit-learn's.

    python benchmarks/outliers.py                       # a tenth of the training rows outliers
    python benchmarks/outliers.py --contamination 0     # training rows without outliers

Two thirds of the inliers are trained on, at most 600, and as many outliers as make that share
of the training rows; the others are scored. Labels are used for the measures alone. All
detectors have their default parameters; columns are standardised for LocalOutlierFactor, PCA
and FactorAnalysis, whose scores are `score_samples`. Mean area under the ROC curve and average
precision of five splits, and the median of the seconds of a fit; then the mean rank over the
sets and both measures.

breast_cancer: malignant tumours among benign ones. digits: the digit k, in the k-th split,
against all others. wine: the second class against both others. california: rows of which each
value is that of another row. `--tables` adds npz files with X and y (1 for outliers), such as
those of ADBench (Han et al. 2022).
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _machine import describe_machine
from _results import Table, add_option, save
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.vae import VAE
from scipy.stats import rankdata
from sklearn.datasets import (
    fetch_california_housing,
    load_breast_cancer,
    load_digits,
    load_wine,
)
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAEOutlierDetector

N_SPLITS = 5
MEASURES = ["Area under the ROC curve", "Average precision", "Seconds of a fit"]
MAX_TRAINED, MAX_SCORED = 600, 500


def breast_cancer(split):
    X, y = load_breast_cancer(return_X_y=True)
    return X, y == 0


def digits(split):
    X, y = load_digits(return_X_y=True)
    return X, y != split


def wine(split):
    X, y = load_wine(return_X_y=True)
    return X, y != 1


def california(split):
    X, rng = fetch_california_housing().data, np.random.default_rng(split)
    planted = np.column_stack([rng.choice(column, len(X) // 10) for column in X.T])
    return np.vstack([X, planted]), np.arange(len(X) + len(planted)) >= len(X)


def table(path):
    """Return a loader of an npz file."""
    data = np.load(path)
    X, is_outlier = data["X"].astype(float), data["y"].astype(bool)
    return lambda split: (X, is_outlier)


class Scaled:
    """A detector of scikit-learn after a scaler."""

    def __init__(self, model):
        self.model = make_pipeline(StandardScaler(), model)

    def fit(self, X):
        self.model.fit(X)
        return self

    def score(self, X):
        return -self.model.score_samples(X)


class Own(Scaled):
    """A detector that needs no scaler."""

    def __init__(self, model):
        self.model = model


class Pyod(Own):
    """A detector of pyod, which scales the columns itself."""

    def score(self, X):
        return self.model.decision_function(X)


def detectors(seed):
    """Return name -> detector."""
    return {
        "VAEOutlierDetector": Own(VAEOutlierDetector(random_state=seed)),
        "pyod VAE": Pyod(VAE(random_state=seed, verbose=0)),
        "pyod AutoEncoder": Pyod(AutoEncoder(random_state=seed, verbose=0)),
        "IsolationForest": Own(IsolationForest(random_state=seed)),
        "LocalOutlierFactor": Scaled(LocalOutlierFactor(novelty=True)),
        "PCA": Scaled(PCA()),
        "FactorAnalysis": Scaled(FactorAnalysis()),
    }


def split_rows(X, is_outlier, contamination, seed):
    """Return training rows, rows to score and which of these are outliers."""
    rng = np.random.default_rng(seed)
    inliers = rng.permutation(np.flatnonzero(~is_outlier))
    outliers = rng.permutation(np.flatnonzero(is_outlier))
    n_trained = min(len(inliers) * 2 // 3, MAX_TRAINED)
    n_outliers = round(n_trained * contamination / (1 - contamination))
    n_outliers = min(n_outliers, len(outliers) // 2)
    train = rng.permutation(np.r_[inliers[:n_trained], outliers[:n_outliers]])
    test = np.r_[inliers[n_trained:][:MAX_SCORED], outliers[n_outliers:][:MAX_SCORED]]
    # What is constant in the training rows says nothing, and LocalOutlierFactor fails at it.
    varies = X[train].std(axis=0) > 0
    return X[train][:, varies], X[test][:, varies], is_outlier[test]


def run(load, contamination):
    """Return name -> array (N_SPLITS, 3) of area, average precision and seconds."""
    found = {}
    for split in range(N_SPLITS):
        train, test, is_outlier = split_rows(*load(split), contamination, split)
        for name, detector in detectors(split).items():
            start = time.perf_counter()
            detector.fit(train)
            seconds = time.perf_counter() - start
            score = np.nan_to_num(detector.score(test))
            area = roc_auc_score(is_outlier, score)
            precision = average_precision_score(is_outlier, score)
            found.setdefault(name, []).append((area, precision, seconds))
    return {name: np.array(values) for name, values in found.items()}


def tables(results):
    """Return a table for each measure, with a column for each set; `results` has set -> run."""
    columns = ["detector", *results]
    detectors = next(iter(results.values()))
    return [
        Table(
            measure,
            columns,
            [[name, *(found[name][:, i] for found in results.values())] for name in detectors],
        )
        for i, measure in enumerate(MEASURES)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contamination", type=float, default=0.1)
    parser.add_argument("--only", help="part of a set's name")
    parser.add_argument("--tables", nargs="*", type=Path, default=[])
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    loaders = {each.__name__: each for each in (breast_cancer, digits, wine, california)}
    loaders |= {path.stem: table(path) for path in args.tables}
    print(describe_machine())
    ranks, results = [], {}
    for name, load in loaders.items():
        if args.only is not None and args.only not in name:
            continue
        found = run(load, args.contamination)
        print(f"\n{name:28s} ROC AUC (sd)   average precision (sd)   fit")
        for detector, values in found.items():
            (area, precision, _), spread = values.mean(axis=0), values.std(axis=0, ddof=1)
            print(
                f"{detector:28s} {area:.3f} ({spread[0]:.3f})  {precision:.3f} "
                f"({spread[1]:.3f})         {np.median(values[:, 2]):7.2f} s",
                flush=True,
            )
        results[name] = found
        measures = np.array([values.mean(axis=0)[:2] for values in found.values()])
        ranks.append(rankdata(-measures.round(3), axis=0))
    print("\nmean rank")
    rows = []
    for detector, rank in zip(found, np.mean(ranks, axis=(0, 2)), strict=True):
        rows.append([detector, f"{rank:.2f}"])
        print("{:28s} {}".format(*rows[-1]))
    ranked = Table("Mean rank over the sets and both measures", ["detector", "rank"], rows)
    save(__file__, [*tables(results), ranked], args.save)


if __name__ == "__main__":
    main()
