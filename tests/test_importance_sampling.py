"""Weighted draws of codes: their weights, and proposals that adapt to each row."""

import copy

import numpy as np
import pytest
import torch
from likelihood_cases import CASES
from missing_cases import linear_table, with_gaps
from torch.distributions import MultivariateNormal

from skvae import VAETransformer
from skvae.model.importance_sampling import (
    _fitted_normal,
    _Normal,
    _normalized,
    adapted_draws,
    effective_number,
    weighted_draws,
)
from skvae.model.objectives import draws_for_all_rows

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
LATENT_DIM = 3


@pytest.fixture(scope="module")
def exact():
    """A linear model, whose encoder gives p(z|x) of incomplete rows exactly, and rows."""
    X = with_gaps(linear_table(200, latent_dim=LATENT_DIM))
    vae = VAETransformer(LATENT_DIM, max_iter=0, random_state=0, device="cpu").fit(X)
    module = vae._fitted.module.double()
    rows = torch.from_numpy(vae._units.to_model(X[:40]))
    return module, module.complete(rows)


def displaced(module, deviations):
    """Return a copy whose encoder's means are too high, and its deviations too small."""
    module = copy.deepcopy(module)
    bias = module.encoder.body.output.bias
    with torch.no_grad():
        bias[:LATENT_DIM] += deviations * bias[LATENT_DIM:].exp()
        bias[LATENT_DIM:] -= np.log(1.5)
    return module


def mean_of(draws):
    return torch.einsum("dn,dnk->nk", draws.weights, draws.z)


def test_no_single_draw_decides_alone():
    weights = torch.ones(100, 2, dtype=torch.float64)
    weights[3, 0] = 101.0
    found = _normalized(weights.log())
    # At most the root of their number times their mean.
    weights[3, 0] = 10 * 2
    torch.testing.assert_close(found, weights / weights.sum(0))


def test_equal_weights_stay_equal_whatever_their_size():
    for shift in (-1e4, 0.0, 1e4):
        weights = _normalized(torch.full((64, 3), shift))
        torch.testing.assert_close(weights, torch.full((64, 3), 1 / 64))
        torch.testing.assert_close(effective_number(weights), torch.full((3,), 64.0))


def test_the_weights_of_an_exact_posterior_are_equal(exact):
    module, x = exact
    with torch.inference_mode():
        draws = weighted_draws(module, x, draws_for_all_rows(module, 64))
    assert (effective_number(draws.weights) > 63).all()


def test_adapted_draws_find_a_posterior_that_the_encoder_misses(exact):
    module, x = exact
    wrong = displaced(module, 2)
    eps = draws_for_all_rows(module, 512)
    with torch.inference_mode():
        q = module.posterior(x)
        plain, adapted = weighted_draws(wrong, x, eps), adapted_draws(wrong, x, eps)
    deviation = q.stddev
    errors = [((mean_of(draws) - q.mean) / deviation).square() for draws in (plain, adapted)]
    assert errors[0].mean() > 0.5
    # Of 100 independent draws the mean has the squared error 0.01.
    assert errors[1].mean() < 0.01
    assert effective_number(adapted.weights).median() > 50
    spread = torch.einsum("dn,dnk->nk", adapted.weights, (adapted.z - q.mean).square())
    assert 0.9 < (spread / deviation.square()).mean() < 1.1


def test_adapted_draws_stay_with_an_exact_posterior(exact):
    module, x = exact
    with torch.inference_mode():
        q = module.posterior(x)
        draws = adapted_draws(module, x, draws_for_all_rows(module, 512))
    torch.testing.assert_close(draws.weights.sum(0), torch.ones(40).double())
    assert ((mean_of(draws) - q.mean) / q.stddev).square().mean() < 0.005


@pytest.mark.parametrize("name", CASES)
def test_adapted_draws_of_every_likelihood(name):
    case = CASES[name]
    X = case.example(n=60)[0]
    vae = VAETransformer(
        2, likelihood=case.likelihood, max_iter=1, random_state=0, device="cpu"
    ).fit(X)
    X = X.astype(float)
    X[:20] = np.nan
    x = vae._fitted.complete(torch.from_numpy(vae._units.to_model(X)).float())
    with torch.inference_mode():
        draws = adapted_draws(
            vae._fitted.module, x, draws_for_all_rows(vae._fitted.module, 128)
        )
    assert draws.z.shape == (128, 60, 2)
    assert draws.means.shape[:2] == draws.weights.shape == (128, 60)
    assert draws.weights.isfinite().all()
    # Without any value the weights are those of the prior against the proposals.
    assert (effective_number(draws.weights[:, :20]) > 32).all()


def test_densities_of_the_proposals():
    rng = np.random.RandomState(0)
    factor = torch.from_numpy(np.tril(rng.standard_normal((5, 2, 2))) + 2 * np.eye(2))
    mean = torch.from_numpy(rng.standard_normal((5, 2, 1)))
    codes = _Normal(mean, factor).draws(torch.from_numpy(rng.standard_normal((1, 2, 7))))
    normal = MultivariateNormal(mean[..., 0], scale_tril=factor)
    expected = normal.log_prob(codes.permute(2, 0, 1))
    torch.testing.assert_close(_Normal(mean, factor).log_prob(codes), expected)


def test_a_proposal_is_not_narrower_than_few_draws_allow():
    codes = torch.zeros(1, 4, 64, dtype=torch.float64)
    codes[..., 0] = 5.0
    log_weights = torch.full((64, 1), -1e3, dtype=torch.float64)
    log_weights[0] = 0.0
    proposal = _fitted_normal(codes, log_weights)
    # All are at 0 but one, which counts as each of the others: 54 of them share its place.
    assert 0 < proposal.mean[0, 0, 0] <= 0.5
    variances = proposal.factor.square().sum(-1)[0]
    assert (variances >= 4 / 14 - 1e-9).all()
