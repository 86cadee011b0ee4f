"""A table of numbers, flags, categories and counts that depend on two hidden factors."""

import numpy as np
import torch

from skvae.likelihoods import CodedCategorical, Mixed

N_NUMBERS = 3
N_LEVELS = (5, 2)


def mixed_likelihood(numbers="gaussian"):
    """The columns of the parts are in another order than in the table."""
    return Mixed(
        [
            ("categories", CodedCategorical(N_LEVELS), [5, 7]),
            ("numbers", numbers, slice(0, N_NUMBERS)),
            ("counts", "poisson", [6]),
            ("flags", "bernoulli", [3, 4]),
        ]
    )


def mixed_table(n=600, seed=0):
    rng = np.random.RandomState(seed)
    z, effects = rng.standard_normal((n, 2)), np.random.RandomState(9)
    numbers = z @ effects.standard_normal((2, N_NUMBERS)) + 0.5 * rng.standard_normal(
        (n, N_NUMBERS)
    )
    flags = rng.random_sample((n, 2)) < 1 / (1 + np.exp(-2 * z))
    scores = 2 * z @ effects.standard_normal((2, N_LEVELS[0]))
    category = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    counts = rng.poisson(np.exp(0.7 * z[:, 0] + 1))
    return np.c_[10 + 5 * numbers, flags, category, counts, z[:, 1] > 0].astype(float)


def started(likelihood, X):
    """Return the likelihood for data, its head, the raw output at the start, and the units."""
    likelihood = likelihood.for_data(X)
    units = likelihood.units(X)
    rows = torch.as_tensor(units.to_model(X, np.float32))
    head = likelihood.head(units)
    with torch.no_grad():
        centre = likelihood.start(head, rows)
    return likelihood, head, centre, units
