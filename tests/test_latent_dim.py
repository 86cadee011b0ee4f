"""The number of latent dimensions that predicts hidden values best."""

import numpy as np
import pytest
from missing_cases import linear_table, with_gaps
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer
from skvae.estimators.latent_dim import choose_latent_dim


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_it_finds_the_number_of_factors(latent_dim):
    X = with_gaps(linear_table(2000, 12, latent_dim))
    assert choose_latent_dim(VAETransformer(), X) == latent_dim


def test_it_does_not_depend_on_the_units():
    X = with_gaps(linear_table(500, 8, 3))
    scaled = X * np.logspace(-6, 6, 8) + 1e3
    assert choose_latent_dim(VAETransformer(), X) == choose_latent_dim(VAETransformer(), scaled)


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_other_likelihoods_and_few_columns(likelihood):
    X = np.random.RandomState(0).binomial(1, 0.4, (50, 3)).astype(float)
    model = VAETransformer(likelihood=likelihood)
    assert choose_latent_dim(model, with_gaps(X)) in (1, 2)
    assert choose_latent_dim(VAETransformer(), with_gaps(X[:, :1])) == 1


@pytest.mark.parametrize("seed", range(3))
def test_columns_with_extreme_values_do_not_decide_alone(seed):
    """Pixels that are seldom on have values 40 standard deviations from their mean."""
    X = StandardScaler().fit_transform(load_digits().data)
    X[np.random.RandomState(seed).rand(*X.shape) < 0.2] = np.nan
    assert choose_latent_dim(VAETransformer(), X) >= 12
