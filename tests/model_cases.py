"""Small models of every network, likelihood and posterior."""

import itertools

import numpy as np
import pytest
import torch

from skvae.data.units import Units
from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.model.architecture import Architecture, initialize
from skvae.networks import MLP, NETWORKS, ConvNet
from skvae.posteriors import POSTERIORS

LATENT_DIM = 2
# A smaller object than the default where that saves time; others are taken as they are.
SMALL = {"mlp": MLP((8, 6)), "conv": ConvNet((4,))}
NAMES = list(itertools.product(NETWORKS, LIKELIHOODS, POSTERIORS))
each_model = pytest.mark.parametrize("names", NAMES, ids="-".join)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows_for(likelihood, n=40, n_features=64):
    """Rows in the support of a likelihood; zeros and ones are in nearly all of them."""
    rng = np.random.RandomState(0)
    if likelihood == "categorical":
        return np.eye(n_features)[rng.permutation(n_features)[:n]]
    probability = np.linspace(0.2, 0.8, n_features)
    return rng.binomial(1, probability, (n, n_features)).astype(float)


def options_of(names):
    """Return the parameters of an estimator of one of the models."""
    network, likelihood, posterior = names
    return {
        "network": SMALL.get(network, network),
        "likelihood": likelihood,
        "posterior": posterior,
        "image_shape": (8, 8),
    }


def build(names, seed=0, closed_form=False):
    """Return a VAE at its start, its rows in model units, and the units."""
    network, likelihood, posterior = names
    architecture = Architecture(
        latent_dim=LATENT_DIM,
        image_shape=(8, 8, 1),
        network=SMALL.get(network, NETWORKS[network]()),
        likelihood=LIKELIHOODS[likelihood](),
        posterior=POSTERIORS[posterior](),
    )
    X = rows_for(likelihood)
    units = architecture.likelihood.units(X)
    rows = torch.as_tensor(units.to_model(X, np.float32))
    vae = architecture.build(units, generator(seed))
    initialize(vae, architecture.likelihood, rows, units, closed_form)
    return vae, rows, units


def linear_rows(n=60):
    """Rows of correlated features, centred, in float32."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((n, 5)) @ (np.diag([1, 2, 3, 4, 5]) + 0.5)
    return torch.as_tensor(X - X.mean(0), dtype=torch.float32)


def linear_vae(network=None, posterior="diagonal", closed_form=True, seed=0):
    """Return a Gaussian VAE of `linear_rows`, by default at their factor analysis."""
    likelihood, rows = Gaussian(), linear_rows()
    units = Units.identity(rows.shape[1])
    network = MLP((8,)) if network is None else network
    parts = {"network": network, "likelihood": likelihood, "posterior": POSTERIORS[posterior]()}
    vae = Architecture(LATENT_DIM, None, **parts).build(units, generator(seed))
    initialize(vae, likelihood, rows, units, closed_form)
    return vae
