"""What the suite knows of each likelihood: a new one needs at most one line here."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch

from skvae.likelihoods import LIKELIHOODS, Gaussian

N_FEATURES = 3


def example_rows(likelihood, n, n_features):
    """Rows inside the support: the default, for a likelihood without its own."""
    low, high = likelihood.support
    rng = np.random.RandomState(0)
    if np.isfinite([low, high]).all():
        return low + (high - low) * rng.beta(1.0, 1.5, (n, n_features))
    # Columns of other offsets and scales, and correlated.
    X = rng.standard_normal((n, n_features)) @ rng.standard_normal((n_features, n_features))
    return X * np.logspace(-1, 1, n_features) + np.arange(n_features)


def mirrored_rows(likelihood, n, n_features):
    """Rows whose medians are their means; the values of all but the first column are tied."""
    X = np.random.RandomState(0).standard_normal((-(-n // 2), n_features))
    X[:, 1:] = np.round(2 * X[:, 1:]) / 2
    return np.concatenate([X, -X])[:n] + np.arange(n_features)


def binary_rows(likelihood, n, n_features):
    return np.random.RandomState(0).binomial(1, 0.3, (n, n_features)).astype(float)


def count_rows(likelihood, n, n_features):
    return np.random.RandomState(0).poisson(3.0, (n, n_features)).astype(float)


def one_hot_rows(likelihood, n, n_features):
    return np.eye(n_features)[np.random.RandomState(0).randint(n_features, size=n)]


def all_counts(p):
    """Single-feature rows that hold all but a negligible part of a count's mass."""
    top = (p.mean.max() + 60 * p.stddev.max() + 60).item()
    high = float(getattr(p.base_dist.support, "upper_bound", top))
    return torch.arange(0, int(min(high, top)) + 1, dtype=torch.float64)[:, None]


def started_head(likelihood, rows, units):
    """Return a head at its start; its attribute `centre` is the raw output there."""
    head = likelihood.head(units)
    with torch.no_grad():
        head.centre = likelihood.start(head, rows)
    return head


@dataclass(frozen=True)
class Case:
    """A likelihood object, its example rows and, if discrete, all rows of one feature."""

    likelihood: object
    rows: object = example_rows
    values: object = all_counts

    def head(self, X):
        units = self.likelihood.units(X)
        rows = torch.as_tensor(units.to_model(X, np.float32))
        return started_head(self.likelihood, rows, units), units

    def example(self, n_features=N_FEATURES, n=500):
        """Return rows in the units of the data, their head and their units."""
        X = self.rows(self.likelihood, n, n_features)
        return X, *self.head(X)

    def frozen_head(self):
        """Return a head as it is when rows are drawn: without gradients."""
        _, head, units = self.example()
        return head.requires_grad_(False), units


# One line here for a likelihood that the defaults do not fit.
OWN = {
    "bernoulli": partial(
        Case, rows=binary_rows, values=lambda p: torch.tensor([[0.0], [1.0]]).double()
    ),
    "poisson": partial(Case, rows=count_rows),
    "negative_binomial": partial(Case, rows=count_rows),
    "categorical": partial(
        Case, rows=one_hot_rows, values=lambda p: torch.eye(p.event_shape[0]).double()
    ),
}
CASES = {name: OWN.get(name, Case)(cls()) for name, cls in LIKELIHOODS.items()}
OTHERS = [Gaussian("isotropic"), Gaussian(0.3), Gaussian("heteroscedastic")]
CASES |= {repr(lk): Case(lk) for lk in OTHERS}
SCORES = [Gaussian(noise, marginals="normal") for noise in ("auto", "heteroscedastic")]
CASES |= {repr(lk): Case(lk, rows=mirrored_rows) for lk in SCORES}

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
BOUNDED = [c.likelihood for c in CASES.values() if np.isfinite(c.likelihood.support).any()]
bounded = pytest.mark.parametrize("likelihood", BOUNDED, ids=lambda lk: type(lk).__name__)
# Whether a value outside the support has a nearest one inside.
MOVES = {lk: lk.can_clip for lk in BOUNDED}


def raw_outputs(head, n=5, scale=1.5):
    """Raw decoder outputs around the head's start, in float64."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(n, head.n_raw, generator=generator, dtype=torch.float64)
    return head.centre.double() + scale * noise
