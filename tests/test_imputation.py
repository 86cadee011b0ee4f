"""Rows for which the encoder's posterior is a poor proposal get one of their own."""

import numpy as np
import pytest
import torch
from missing_cases import linear_table, with_gaps

from skvae import VAETransformer
from skvae.estimators import imputation

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def fitted():
    X = with_gaps(linear_table(200))
    X = X[~np.isnan(X).all(axis=1) & np.isnan(X).any(axis=1)]
    return VAETransformer(2, max_iter=0, random_state=0).fit(X), X


@pytest.fixture
def adapted(monkeypatch):
    """Numbers of rows for which `adapted_draws` was called."""
    numbers = []

    def counted(model, x, eps):
        numbers.append(len(x.values))
        assert eps.shape[1] in (1, numbers[-1])
        return original(model, x, eps)

    original = imputation.adapted_draws
    monkeypatch.setattr(imputation, "adapted_draws", counted)
    return numbers


def shift_encoder(vae, amount):
    with torch.inference_mode():
        vae._fitted(torch.float64).encoder.body.output.bias[:2] += amount


@pytest.mark.parametrize("sample", [False, True])
def test_rows_that_the_encoder_fits_are_not_computed_again(fitted, adapted, sample):
    vae, X = fitted
    vae.impute(X, sample=sample, random_state=0)
    assert adapted == []


def root_mean_square(difference, X):
    """Return that of missing values, in deviations of their columns."""
    return np.sqrt(np.mean((difference / np.nanstd(X, axis=0))[np.isnan(X)] ** 2))


def test_means_hardly_depend_on_a_wrong_encoder(fitted, adapted, monkeypatch):
    vae, X = fitted
    before = vae.impute(X)
    shift_encoder(vae, 0.8)
    error = root_mean_square(vae.impute(X) - before, X)
    assert sum(adapted) > 50
    monkeypatch.setattr(imputation, "_N_EFFECTIVE", 0)
    assert error < 0.5 * root_mean_square(vae.impute(X) - before, X)


def test_draws_of_a_wrong_encoder_have_the_same_mean(fitted, adapted):
    vae, X = fitted
    expected = vae.impute(X)
    shift_encoder(vae, 0.8)
    drawn = np.mean([vae.impute(X, sample=True, random_state=k) for k in range(20)], axis=0)
    assert sum(adapted) > 50
    # The mean of 20 draws, each with a deviation below 1.
    assert root_mean_square(drawn - expected, X) < 0.23


def test_a_row_is_filled_the_same_among_others(fitted):
    vae, X = fitted
    shift_encoder(vae, 0.8)
    np.testing.assert_allclose(vae.impute(X[:5]), vae.impute(X)[:5], rtol=1e-9)


def test_the_rows_of_several_blocks_are_adapted_together(fitted, adapted):
    vae, X = fitted
    shift_encoder(vae, 0.8)
    vae.impute(np.tile(X, (10, 1)))
    assert min(adapted[:-1], default=0) > 100
