"""The start of columns of several kinds: a factor analysis of all, mapped to each kind."""

import numpy as np
import pytest
import torch
from missing_cases import with_gaps
from mixed_cases import mixed_likelihood, mixed_table, started

from skvae import VAETransformer
from skvae.likelihoods import CodedCategorical, Mixed, expectation_maximization, mixed_start
from skvae.likelihoods.first_order import linear_log_rates, linear_logits
from skvae.likelihoods.mixed_start import ScaledInputs

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("gaps", [0.0, 0.2])
@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_it_is_far_better_than_a_random_start(latent_dim, gaps):
    train, test = (with_gaps(mixed_table(seed=seed), gaps) for seed in (0, 1))
    closed, chance = (
        VAETransformer(
            latent_dim, likelihood=mixed_likelihood(), init=init, max_iter=0, random_state=0
        )
        .fit(train)
        .elbo(test)
        .value.mean()
        for init in ("factor_analysis", "random")
    )
    assert closed > chance + 2


def test_it_is_better_than_independent_columns():
    train, test = mixed_table(seed=0), mixed_table(seed=1)
    likelihood, head, centre, units = started(mixed_likelihood(), train)
    rows = torch.as_tensor(units.to_model(test, np.float32))
    independent = head(centre[None]).log_prob(rows).mean().item() + units.log_jacobian
    model = VAETransformer(2, likelihood=likelihood, max_iter=0, random_state=0).fit(train)
    assert model.elbo(test).value.mean() > independent + 1


def test_without_gaps_the_models_of_complete_and_of_incomplete_rows_agree(monkeypatch):
    monkeypatch.setattr(expectation_maximization, "_PSEUDO_ROWS", 0.0)
    monkeypatch.setattr(mixed_start, "_TOLERANCE", 1e-9)
    monkeypatch.setattr(mixed_start, "_MAX_ITERATIONS", 2000)
    X = mixed_table()
    likelihood, _, _, units = started(mixed_likelihood(), X)
    rows = torch.as_tensor(units.to_model(X, np.float32))
    models = (
        likelihood.closed_form(rows, 2, units),
        likelihood.model_of_observed(rows, 2, units, tol=1e-9),
    )
    for name in ("loadings", "noise_variance", "projection", "posterior_scale", "mean"):
        np.testing.assert_allclose(*(getattr(m, name) for m in models), atol=1e-4)


def indicators(codes, n_levels):
    return torch.as_tensor(np.eye(n_levels)[codes], dtype=torch.float32)


def test_categories_that_depend_on_nothing_get_no_factor():
    # Plain factor analysis would explain the two columns of a flag by a factor of their own.
    rng = np.random.RandomState(0)
    one, other = (
        indicators(rng.randint(2, size=4000), 2),
        indicators(rng.randint(3, size=4000), 3),
    )
    numbers = torch.as_tensor(rng.standard_normal((4000, 2)), dtype=torch.float32)
    rows = torch.cat([one, other, numbers], dim=1)
    is_scaled = np.array([False] * 5 + [True] * 2)
    model = ScaledInputs(rows, (2, 3, 1, 1), is_scaled).complete_model(2)
    np.testing.assert_allclose(model.noise_variance[:5], rows[:, :5].mean(0), rtol=0.1)


def test_two_columns_for_a_flag_are_as_good_as_one(monkeypatch):
    monkeypatch.setattr(mixed_start, "_TOLERANCE", 1e-9)
    monkeypatch.setattr(mixed_start, "_MAX_ITERATIONS", 2000)
    X = mixed_table()
    rows = torch.as_tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)[:, [0, 1, 2, 3]]
    both = torch.cat([rows[:, :3], indicators(X[:, 3].astype(int), 2)], dim=1)
    is_scaled = np.array([True] * 3 + [False] * 2)
    single = ScaledInputs(rows, (1,) * 4, np.array([True] * 3 + [False])).complete_model(1)
    double = ScaledInputs(both, (1, 1, 1, 2), is_scaled).complete_model(1)
    np.testing.assert_allclose(single.loadings[:3], double.loadings[:3], atol=1e-4)
    codes = [
        m.projection @ (r.numpy().T - m.mean[:, None])
        for m, r in ((single, rows), (double, both))
    ]
    np.testing.assert_allclose(*codes, atol=1e-4)


def test_a_category_that_is_in_no_row_and_a_constant_have_no_loadings():
    X = np.c_[mixed_table()[:, :2], np.zeros(600), mixed_table()[:, 5]]
    mixed = Mixed([("n", "gaussian", [0, 1]), ("c", CodedCategorical((3, 9)), [2, 3])])
    likelihood, _, _, units = started(mixed, X)
    rows = torch.as_tensor(units.to_model(X, np.float32))
    for model in (
        likelihood.closed_form(rows, 2, units),
        likelihood.model_of_observed(rows, 2, units),
    ):
        assert (model.loadings[2:5] == 0).all()
        assert (model.loadings[10:] == 0).all()
        assert np.isfinite(model.projection).all()


# -- natural parameters that are linear in the code ---------------------------------------


@pytest.fixture
def codes():
    return torch.randn(400_000, 2, generator=torch.Generator().manual_seed(0)).double()


def test_rates_keep_their_mean_and_have_the_slope(codes):
    mean, loadings = torch.tensor([2.0, 0.3]).double(), torch.tensor([[0.5, 0.2], [-0.2, 0.1]])
    weight, bias = linear_log_rates(loadings.double() / mean[:, None], mean.log())
    rates = (codes @ weight.mT + bias).exp()
    torch.testing.assert_close(rates.mean(0), mean, rtol=0.01, atol=0)
    # Over codes from the prior, covariance is the mean slope.
    torch.testing.assert_close(
        rates.mT @ codes / len(codes), loadings.double(), rtol=0.03, atol=0.003
    )


def test_probabilities_keep_their_mean(codes):
    for p in (0.5, 0.1, 0.97):
        slope = torch.tensor([[0.9, -0.5]]).double()
        centre = torch.tensor([p], dtype=torch.float64).logit()
        weight, bias = linear_logits(p * (1 - p) * slope, centre)
        torch.testing.assert_close(weight, slope)
        mean = (codes @ weight.mT + bias).sigmoid().mean().item()
        assert mean == pytest.approx(p, abs=0.05)


def test_two_categories_are_a_flag():
    p, loadings = torch.tensor([0.8, 0.2]).double(), torch.tensor([[-0.1, 0.05], [0.1, -0.05]])
    weights, biases = linear_log_rates(loadings.double() / p[:, None], p.log())
    weight, bias = linear_logits(loadings[1:].double(), p[1:].logit())
    torch.testing.assert_close(weights[1] - weights[0], weight[0])
    torch.testing.assert_close(biases[1] - biases[0], bias[0])


def test_a_rare_category_is_never_certain():
    weight, _ = linear_log_rates(torch.tensor([[300.0, 400.0]]), torch.zeros(1))
    torch.testing.assert_close(weight, torch.tensor([[1.8, 2.4]]))
