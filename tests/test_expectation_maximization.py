"""The linear-Gaussian model of incomplete rows is the maximum-likelihood one."""

import numpy as np
import pytest
import torch
from missing_cases import linear_table, log_density_of_observed, with_gaps
from sklearn.decomposition import PCA, FactorAnalysis

import skvae.likelihoods.expectation_maximization as em
from skvae.data.units import Units
from skvae.likelihoods.expectation_maximization import (
    linear_gaussian_of_observed,
)


def rows_in_model_units(X):
    return torch.from_numpy(Units.standardizing(X).to_model(X))


def score(rows, model):
    covariance = model.loadings @ model.loadings.T + np.diag(model.noise_variance)
    return log_density_of_observed(rows.numpy(), model.mean, covariance).mean()


@pytest.mark.parametrize(
    ("shared", "peer"), [(False, FactorAnalysis), (True, PCA)], ids=["per feature", "shared"]
)
def test_on_complete_rows_it_is_the_closed_form(shared, peer):
    rows = rows_in_model_units(linear_table())
    model = linear_gaussian_of_observed(rows, 2, shared=shared)
    expected = peer(2).fit(rows.numpy()).score(rows.numpy())
    assert score(rows, model) == pytest.approx(expected, abs=5e-3)


def test_its_own_likelihood_is_that_of_the_values_that_are_there():
    X = with_gaps(linear_table(50))
    X[3] = np.nan
    table = em._Table.of_rows(X)
    model = em._Model.start(table, 2, False, None)
    covariance = model.loadings @ model.loadings.T + np.diag(model.noise)
    expected = log_density_of_observed(X, model.mean, covariance).sum()
    assert table.expect(model).log_likelihood == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n_patterns", [3, 50])
def test_its_statistics_are_the_sums_of_those_of_the_rows(n_patterns):
    X = with_gaps(linear_table(50))
    X[np.isnan(X[np.arange(50) % n_patterns])] = np.nan
    table = em._Table.of_rows(X)
    model = em._Model.start(table, 2, False, None)
    found = table.expect(model)
    expected = em.sum_statistics([em._Table.of_rows(row[None]).expect(model) for row in X])
    for name, value in vars(expected).items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shared", [False, True])
def test_the_likelihood_rises_with_each_step(shared):
    table = em._Table.of_rows(rows_in_model_units(with_gaps(linear_table(), 0.5)))
    model = em._Model.start(table, 2, shared, None)
    values = []
    for _ in range(30):
        statistics = table.expect(model)
        values.append(statistics.log_likelihood)
        model = model.maximize(statistics, shared, None)
    # The pseudo-rows of the noise are not a part of it.
    assert np.diff(values).min() > -0.05
    assert values[-1] > values[0] + 10


def test_it_finds_the_distribution_from_which_the_rows_were_drawn():
    complete = linear_table(20_000)
    units = Units.standardizing(complete)
    rows = torch.from_numpy(units.to_model(with_gaps(complete, 0.4)))
    model = linear_gaussian_of_observed(rows, 2)
    covariance = model.loadings @ model.loadings.T + np.diag(model.noise_variance)
    expected = np.cov(units.to_model(complete).T)
    # A dozen standard errors of a correlation from 7,000 pairs.
    np.testing.assert_allclose(covariance, expected, atol=0.05)
    np.testing.assert_allclose(model.mean, 0, atol=0.05)


@pytest.mark.parametrize("noise", [0.1, 0.01])
def test_gaps_hide_no_small_noise(noise):
    rng = np.random.default_rng(0)
    complete = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 10))
    complete += noise * rng.normal(size=complete.shape)
    model = linear_gaussian_of_observed(torch.from_numpy(with_gaps(complete, 0.2)), 3)
    # Estimates from 500 rows, so that they differ by a few per cent at most.
    np.testing.assert_allclose(np.sqrt(model.noise_variance).mean(), noise, rtol=0.25)


def test_values_that_are_missing_depending_on_others_do_not_bias_the_mean():
    rng = np.random.RandomState(0)
    first = rng.standard_normal(20_000)
    second = 0.9 * first + rng.standard_normal(20_000) * 0.3
    third = first + rng.standard_normal(20_000) * 0.3
    rows = np.column_stack([first, second, third])
    rows[first > 0, 1] = np.nan
    model = linear_gaussian_of_observed(torch.from_numpy(rows), 1)
    assert np.nanmean(rows[:, 1]) < -0.6
    assert model.mean[1] == pytest.approx(0, abs=0.05)


def test_the_order_of_the_rows_does_not_matter():
    rows = rows_in_model_units(with_gaps(linear_table()))
    one = linear_gaussian_of_observed(rows, 2)
    other = linear_gaussian_of_observed(rows.flip(0), 2)
    np.testing.assert_allclose(one.loadings, other.loadings, atol=1e-8)


def test_of_a_feature_without_values_nothing_is_known():
    X = with_gaps(linear_table())
    X[:, 2] = np.nan
    model = linear_gaussian_of_observed(rows_in_model_units(X), 2)
    assert model.noise_variance[2] == 1
    assert (model.loadings[2] == 0).all()
    assert model.mean[2] == 0
    others = np.delete(X, 2, axis=1)
    alone = linear_gaussian_of_observed(rows_in_model_units(others), 2)
    np.testing.assert_allclose(np.delete(model.loadings, 2, axis=0), alone.loadings, atol=1e-8)


def test_a_known_noise_stays():
    rows = rows_in_model_units(with_gaps(linear_table()))
    model = linear_gaussian_of_observed(rows, 6, known=0.25)
    assert (model.noise_variance == 0.25).all()


def test_surplus_dimensions_are_unused():
    rows = rows_in_model_units(with_gaps(linear_table(n_features=3)))
    model = linear_gaussian_of_observed(rows, 7)
    assert model.loadings.shape == (3, 7)
    assert np.count_nonzero(np.abs(model.loadings).max(axis=0) > 1e-9) <= 2


def test_many_rows_are_sampled_first_and_all_used_at_the_end(monkeypatch):
    rows = rows_in_model_units(with_gaps(linear_table(6000)))
    exact = linear_gaussian_of_observed(rows, 2)
    monkeypatch.setattr(em, "_SAMPLE_ELEMENTS", 1)
    sampled = linear_gaussian_of_observed(rows, 2)
    assert score(rows, sampled) == pytest.approx(score(rows, exact), abs=2e-3)
    monkeypatch.setattr(em, "_FULL_PASSES", 0)
    assert score(rows, sampled) > score(rows, linear_gaussian_of_observed(rows, 2))


def test_constant_and_identical_columns_are_no_trouble():
    X = with_gaps(linear_table())
    X[:, 1], X[:, 3] = X[:, 0], np.where(np.isnan(X[:, 3]), np.nan, 5.0)
    model = linear_gaussian_of_observed(rows_in_model_units(X), 2)
    assert np.isfinite(model.loadings).all()
    assert (model.noise_variance > 0).all()
