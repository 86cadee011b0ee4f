"""Is the posterior calibrated, and does `sample` draw from the distribution of the data?

1. Simulation-based calibration (Talts et al. 2018): codes and rows are drawn from a linear
   Gaussian model; a linear VAE is fitted to other rows of it, and the rank of each
   fresh code among draws of its posterior q(z|x) is uniform if that is the true
   posterior. The fitted codes are the true ones up to a rotation, which is taken from the
   loadings. A chi-square test for each code; beside it the same with posteriors half
   and twice as wide, which the test has to reject.
2. `sample` against held-out rows of the digits' PCA scores: a permutation test of the energy
   distance (Szekely & Rizzo 2004) and the accuracy of a classifier that tells them apart (0.5
   is not at all). Beside it GaussianMixture, and rows held out from the same data.

    python benchmarks/calibration.py

A p-value below 0.001 counts as a failure. A calibrated posterior has one with probability
0.001 for each code, 0.004 for each line of the first table; rows of the same distribution
with 0.001 for each line of the second.
"""

import argparse
import warnings

import numpy as np
from _machine import describe_machine
from _results import Table, add_option, save
from scipy.spatial.distance import cdist
from scipy.stats import chisquare
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

from skvae import VAETransformer
from skvae.networks import MLP

ALPHA = 1e-3

# -- calibration of the posterior ----------------------------------------------------------


class LinearGaussian:
    """``x = mean + loadings z + noise``: a model whose posterior is known.

    The loadings are orthogonal in the metric of the noise, which makes the posterior
    diagonal; their lengths differ, so that a fit tells the codes apart.
    """

    def __init__(self, n_features, latent_dim, rng):
        self.mean = rng.normal(scale=10, size=n_features)
        self.noise = rng.uniform(0.5, 2.0, n_features)
        basis = np.linalg.qr(rng.standard_normal((n_features, latent_dim)))[0]
        signal = np.linspace(4, 1, latent_dim)
        self.loadings = self.noise[:, None] * basis * signal

    def draw(self, n, rng):
        """Return codes and rows."""
        Z = rng.standard_normal((n, self.loadings.shape[1]))
        noise = self.noise * rng.standard_normal((n, len(self.mean)))
        return Z, self.mean + Z @ self.loadings.T + noise


def align(vae, model):
    """Return the rotation from the fitted codes to the true ones.

    A rotation of the codes changes neither the prior nor the rows' distribution. It
    is that which brings the fitted loadings closest to the true ones, both in units of
    the noise, by Procrustes.
    """
    k = vae.latent_dim
    zero_and_unit = np.vstack([np.zeros(k), np.eye(k)])
    decoded = vae.inverse_transform(zero_and_unit)
    loadings = (decoded[1:] - decoded[0]).T / model.noise[:, None]
    U, _, Vt = np.linalg.svd(loadings.T @ (model.loadings / model.noise[:, None]))
    return U @ Vt


def calibration_p_values(vae, model, n_rows, rng, *, width=1.0, n_draws=99, n_bins=20):
    """Return a p-value for each code: whether its ranks are uniform.

    Parameters
    ----------
    vae : VAETransformer
        Linear, fitted to rows of `model`.
    model : LinearGaussian
    n_rows : int
        Fresh rows. A tenth of the rows that were fitted or fewer: with more, the test sees the
        error of the fit and not the posterior's.
    rng : Generator
    width : float, default=1.0
        Factor on the posterior's standard deviations; the truth is 1.
    n_draws : int, default=99
        Posterior draws per row: the ranks are 0 to `n_draws`.
    n_bins : int, default=20
        A divisor of ``n_draws + 1``.
    """
    Z, X = model.draw(n_rows, rng)
    mean, scale = vae.latent_posterior(X)
    noise = width * rng.standard_normal((n_draws, *mean.shape))
    spread = scale * noise if scale.ndim == 2 else np.einsum("nij,snj->sni", scale, noise)
    draws = (mean + spread) @ align(vae, model)
    ranks = (draws < Z).sum(axis=0)
    bins = ranks * n_bins // (n_draws + 1)
    return np.array([chisquare(np.bincount(b, minlength=n_bins)).pvalue for b in bins.T])


def fit_linear(X, latent_dim, **parameters):
    """Return a linear VAE of the rows."""
    vae = VAETransformer(latent_dim, network=MLP(()), random_state=0, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return vae.fit(X)


# -- samples against held-out rows ----------------------------------------------------------


def energy_p_value(A, B, n_permutations, rng):
    """P-value of the energy distance between two samples, by permutation."""
    rows = np.vstack([A, B])
    distances = cdist(rows, rows)
    signs = np.r_[np.full(len(A), 1 / len(A)), np.full(len(B), -1 / len(B))]
    shuffled = np.stack([rng.permutation(signs) for _ in range(n_permutations)])
    # The energy distance is -s'Ds for these signed weights.
    statistics = -np.einsum("pi,pi->p", shuffled @ distances, shuffled)
    return (1 + (statistics >= -signs @ distances @ signs).sum()) / (1 + n_permutations)


def classifier_accuracy(A, B, seed):
    """Accuracy by which a forest tells two samples apart, by five-fold cross-validation."""
    y = np.r_[np.zeros(len(A)), np.ones(len(B))]
    # Shuffled: a mixture's samples come component by component.
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    forest = RandomForestClassifier(100, min_samples_leaf=3, random_state=seed)
    return cross_val_score(forest, np.vstack([A, B]), y, cv=folds).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="to fit; a tenth is ranked")
    parser.add_argument("--permutations", type=int, default=1999)
    parser.add_argument("--splits", type=int, default=3)
    add_option(parser)
    args = parser.parse_args()
    print(describe_machine())
    tables = [
        print_calibration(args.rows),
        print_samples(args.permutations, args.splits),
    ]
    save(__file__, tables, args.save)


def print_calibration(n_rows, n_features=12, latent_dim=4):
    title = (
        f"posterior, {n_rows} rows fitted, a tenth ranked: "
        f"chi-square p-value of each code; fails below {ALPHA}"
    )
    print(f"\n{title}")
    rows = []
    model = LinearGaussian(n_features, latent_dim, np.random.default_rng(0))
    _, X = model.draw(n_rows, np.random.default_rng(1))
    for name, parameters in (
        ("closed form", {"max_iter": 0}),
        ("trained", {}),
        ("trained, full", {"posterior": "full"}),
        ("trained, random start", {"init": "random"}),
    ):
        vae = fit_linear(X, latent_dim, **parameters)
        for width in (1.0, 0.5, 2.0) if name == "trained" else (1.0,):
            rng = np.random.default_rng(2)
            p = calibration_p_values(vae, model, n_rows // 10, rng, width=width)
            told = "fails" if p.min() < ALPHA else "holds"
            values = [f"{value:.2g}" for value in p]
            rows.append([name, f"x{width:g}", *values, told])
            line = " ".join(f"{value:>8s}" for value in values)
            print(f"{name:22s} width x{width:<4g} {line}  {told}")
    codes = (f"code {k + 1}" for k in range(latent_dim))
    return Table(title, ["fit", "width", *codes, "the test"], rows)


def print_samples(n_permutations, n_splits, n_components=10):
    title = (
        f"samples against held-out rows, {n_components} PCA scores of the digits: energy "
        f"p-value ({n_permutations} permutations), accuracy of a classifier (0.5 is best), "
        f"log-likelihood; {n_splits} splits"
    )
    print(f"\n{title}")
    found = {}
    # Of all rows: of the training rows alone they would be wider there than in the others.
    X = PCA(n_components).fit_transform(load_digits().data)
    for split in range(n_splits):
        train, test = train_test_split(X, test_size=0.5, random_state=split)
        for name, model in density_models(split).items():
            rng = np.random.default_rng(split)
            rows, score = train, np.nan
            if model is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    model.fit(train)
                score, rows = model.score(test), draw(model, len(test), split)
            p = energy_p_value(rows, test, n_permutations, rng)
            accuracy = classifier_accuracy(rows, test, split)
            found.setdefault(name, []).append((p, accuracy, score))
            print(f"split {split} {name:24s} {p:8.4f} {accuracy:7.3f} {score:9.2f}")
    rows = []
    for name, splits in found.items():
        p, accuracies, scores = zip(*splits, strict=True)
        rows.append([name, p, accuracies, "" if np.isnan(scores).any() else scores])
    return Table(title, ["model", "energy p-value", "accuracy", "log-likelihood"], rows)


def density_models(seed):
    """Return name -> model with `fit`, `score` and a way to draw; None for the rows."""
    return {
        "training rows": None,
        "FactorAnalysis": FactorAnalysis(5),
        "GaussianMixture full, 1": GaussianMixture(1),
        "GaussianMixture full, 10": GaussianMixture(10, reg_covar=1e-2, random_state=seed),
        "VAETransformer(5)": VAETransformer(5, random_state=seed),
        "VAETransformer(9), long": VAETransformer(
            9, max_iter=1000, early_stopping=True, n_iter_no_change=300, random_state=seed
        ),
    }


def draw(model, n, seed):
    """Draw rows from one of the models."""
    if isinstance(model, FactorAnalysis):
        rng = np.random.default_rng(seed)
        return rng.multivariate_normal(model.mean_, model.get_covariance(), n)
    if isinstance(model, GaussianMixture):
        model.set_params(random_state=seed)
        return model.sample(n)[0]
    return model.sample(n, random_state=seed)


if __name__ == "__main__":
    main()
