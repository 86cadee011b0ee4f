"""Functions that the tests of groups run on each rank, and the models of their cases."""

import os
import signal

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.datasets import load_digits, load_iris

from skvae import AutoencoderTransformer, VAETransformer
from skvae.estimators.agreement import fingerprint
from skvae.likelihoods import Categorical, CodedCategorical, Gaussian, Mixed
from skvae.likelihoods import expectation_maximization as em
from skvae.networks import MLP

IRIS = load_iris().data
# Ranks 0 and 1 have different means.
DIGITS = load_digits().data
QUICK = {"max_iter": 3, "early_stopping": False, "random_state": 0}


def gaps(X, share=0.2):
    """Return rows with a share of the values missing."""
    missing = np.random.RandomState(0).rand(*X.shape) < share
    return np.where(missing, np.nan, X)


def frame(n=300):
    """Return a frame with numbers, a flag and categories, some of them missing."""
    rng = np.random.RandomState(0)
    size = rng.standard_normal(n)
    return pd.DataFrame(
        {
            "size": np.where(rng.rand(n) < 0.1, np.nan, size),
            "weight": np.exp(size + 0.3 * rng.standard_normal(n)),
            "large": size + rng.standard_normal(n) > 0,
            "kind": pd.Categorical(np.array(["a", "b", "c"])[np.digitize(size, [-0.5, 0.5])]),
        }
    )


def indicators(n=200):
    codes = np.random.RandomState(0).randint(3, size=n)
    return np.eye(3)[codes]


CODES = np.digitize(IRIS, [1.0, 3.0, 5.0]).astype(float)
MIXED = Mixed(
    [("numbers", Gaussian(), [0, 1]), ("counts", "poisson", [2]), ("flags", "bernoulli", [3])]
)
MIXED_ROWS = np.c_[DIGITS[:, 20:22], DIGITS[:, 30], DIGITS[:, 40] > 8].astype(float)

#: Likelihoods that look at the rows for their start: name -> parameters and rows.
STARTS = {
    "per_feature": ({}, IRIS),
    "isotropic": ({}, DIGITS),
    "sparse": ({}, sparse.csr_matrix(DIGITS)),
    "heteroscedastic": ({"likelihood": Gaussian("heteroscedastic")}, IRIS),
    "fixed noise": ({"likelihood": Gaussian(0.3)}, IRIS),
    "sigmoid": ({"likelihood": Gaussian(mean="sigmoid")}, IRIS / 10),
    "normal scores": ({"likelihood": Gaussian(marginals="normal")}, IRIS),
    "bernoulli": ({"likelihood": "bernoulli"}, DIGITS / 16),
    "continuous_bernoulli": ({"likelihood": "continuous_bernoulli"}, DIGITS / 16),
    "poisson": ({"likelihood": "poisson"}, DIGITS),
    "negative_binomial": ({"likelihood": "negative_binomial"}, DIGITS),
    "indicators": ({"likelihood": Categorical()}, indicators()),
    "codes": ({"likelihood": CodedCategorical(4)}, CODES),
    "mixed": ({"likelihood": MIXED}, MIXED_ROWS),
    "frame": ({}, frame()),
    "gaps": ({}, gaps(IRIS)),
    "gaps in many rows": ({}, gaps(np.tile(IRIS, (20, 1)))),
    "gaps in flags": ({"likelihood": "bernoulli"}, gaps(DIGITS[:, 20:30] / 16)),
    "gaps in mixed": ({"likelihood": MIXED}, gaps(MIXED_ROWS)),
    "wide": (
        {},
        np.random.RandomState(0).rand(120, 40) @ np.random.RandomState(1).rand(40, 2100),
    ),
}


def shard(X, rank, share=0.5):
    """Return the rows of rank 0 or 1, of which the first has this share."""
    cut = round(share * X.shape[0])
    return X[:cut] if rank == 0 else X[cut:]


def fit(rank, X, share=0.5, build=VAETransformer, **parameters):
    """Return the model that two ranks fit together."""
    return build(**parameters).fit(shard(X, rank, share), group="world")


def same(rank, *arguments):
    """Return the fingerprint of a fitted model, and its losses."""
    model = fit_quick(rank, *arguments)
    return fingerprint(vars(model)), model.history_["loss"]


def fit_quick(rank, X, share=0.5, parameters=None, build=VAETransformer):
    return fit(rank, X, share, build, **QUICK | (parameters or {}))


def start(parameters, X, fit):
    """Return the arrays of a model at its start."""
    em._SAMPLE_ELEMENTS = 0
    model = VAETransformer(**{"max_iter": 0, "random_state": 0} | parameters)
    fit(model, X)
    units = model._units.to_arrays()
    return {**model.__getstate__()["_fitted"]["arrays"], **units}


def starts(rank):
    """Return the starts of all cases."""
    return {
        name: start(
            parameters, X, lambda model, X: model.fit(shard(X, rank, 0.31), group="world")
        )
        for name, (parameters, X) in STARTS.items()
    }
