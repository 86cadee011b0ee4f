"""Small fitted models of every kind that can be exported, and rows for them."""

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from marginal_cases import TABLE
from mixed_cases import mixed_likelihood, mixed_table
from model_cases import SMALL, rows_for
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.networks import MLP, NETWORKS, ConvNet, ModuleNetwork
from skvae.posteriors import POSTERIORS

# Exported modules are on the device of the model, and the tensors of the tests on the CPU.
QUICK = {"max_iter": 3, "early_stopping": False, "random_state": 0, "device": "cpu"}
PIXELS = {**QUICK, "image_shape": (8, 8), "network": MLP((8,))}


def own_module(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, 8), nn.Tanh(), nn.Linear(8, n_out))


OTHER_NETWORKS = {
    "own modules": ModuleNetwork(own_module, own_module),
    "no linear map": ConvNet((4,), linear_map=False, batch_norm=True),
    "batch norm and dropout": MLP((8,), batch_norm=True, dropout=0.2),
}


def of_pixels(likelihood="gaussian", estimator=VAETransformer, **parameters):
    return estimator(**PIXELS | {"likelihood": likelihood, **parameters}), rows_for(likelihood)


def of_columns(likelihood, X):
    return VAETransformer(likelihood=likelihood, **QUICK), X


CASES = {
    **{name: of_pixels(name) for name in LIKELIHOODS},
    **{name: of_pixels(network=SMALL.get(name, name)) for name in NETWORKS},
    **{name: of_pixels(posterior=name, latent_dim=3) for name in POSTERIORS},
    **{name: of_pixels(network=network) for name, network in OTHER_NETWORKS.items()},
    "heteroscedastic": (
        VAETransformer(**PIXELS, likelihood=Gaussian("heteroscedastic")),
        rows_for("gaussian"),
    ),
    "autoencoder": of_pixels(estimator=AutoencoderTransformer, noise=0.1),
    "scores": of_columns(Gaussian(marginals="normal"), TABLE),
    "bins of scores": of_columns(Gaussian(marginals="normal", n_bins=8), TABLE),
    "mixed": of_columns(mixed_likelihood(Gaussian(marginals="normal")), mixed_table()),
}
each_export = pytest.mark.parametrize("name", CASES)


def fitted(model, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


@cache
def exported(name):
    """Return the two modules of a fitted model, each with inputs and what they should give."""
    model, X = CASES[name]
    model, rows = fitted(model, X), X.astype(np.float32)
    codes = model.transform(rows)
    pairs = (
        (model.encoder_module(), rows, codes),
        (model.decoder_module(), codes, model.inverse_transform(codes)),
    )
    return pairs


def assert_close(actual, expected, scale):
    """The error is at most 1e-4, relative to the largest value of each column."""
    largest = np.abs(scale).max(axis=0) + np.finfo(np.float32).tiny
    assert actual.shape == expected.shape
    assert np.abs((actual - expected) / largest).max() <= 1e-4


def repeated(inputs, expected, n):
    return [np.resize(part, (n, part.shape[1])) for part in (inputs, expected)]


def frame_of_kinds():
    """Return a frame of numbers, counts, flags and categories."""
    X = mixed_table()
    levels = pd.CategoricalDtype(["w", "v", "z", "y", "x"])
    return pd.DataFrame(
        {
            "number": X[:, 0],
            "count": X[:, 6].astype(int),
            "flag": X[:, 3] > 0,
            "category": pd.Categorical.from_codes(X[:, 5].astype(int), dtype=levels),
        }
    )
