"""Bounds on log p(x), against a model whose log p(x) is known."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from model_cases import LATENT_DIM, build, linear_rows, linear_vae
from scipy.stats import multivariate_normal

from skvae.likelihoods import LIKELIHOODS
from skvae.model.objectives import (
    OBJECTIVES,
    BatchLoss,
    Objective,
    elbo,
    iwae,
    monte_carlo,
    quasi_random_normal,
    reconstruction,
)
from skvae.networks import MLP
from skvae.posteriors import POSTERIORS

N_ROWS = 6
each_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
each_posterior = pytest.mark.parametrize("posterior", POSTERIORS)
# Five standard errors: with fixed seeds and some dozens of numbers, no chance failure.
Z = 5.0


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def linear_model(posterior="diagonal", shift=0.0):
    """Return a linear-Gaussian VAE, rows, and their exact log-likelihood.

    Its posterior is exact, unless its encoder is moved by `shift`.
    """
    vae = linear_vae(MLP(()), posterior).double()
    with torch.no_grad():
        vae.encoder.body.output.bias += shift
        loadings = vae.decoder.body.output.weight.numpy()
    covariance = loadings @ loadings.T + np.diag(vae.decoder.head.noise_variance())
    rows = linear_rows()[:N_ROWS].double()
    exact = multivariate_normal(np.zeros(rows.shape[1]), covariance).logpdf(rows)
    return vae, rows, torch.as_tensor(exact)


def mean_and_error(values):
    """Mean over the first axis and its standard error."""
    return values.mean(0), values.std(0) / math.sqrt(len(values))


def single_draw_values(objective, vae, x, n_draws=2000, n_samples=1):
    """Values of independent evaluations, (n_draws, n_rows)."""
    # Each copy of a row has its own draws: one call makes all evaluations.
    copies = x.repeat(n_draws, 1)
    eps = randn(n_samples, len(copies), LATENT_DIM, seed=3)
    with torch.no_grad():
        return objective(vae, copies, eps).value.reshape(n_draws, len(x))


@each_objective
@each_posterior
@pytest.mark.parametrize("n_samples", [1, 5])
def test_with_the_exact_posterior_the_bound_is_the_likelihood(objective, posterior, n_samples):
    vae, x, exact = linear_model(posterior)
    mean, error = mean_and_error(single_draw_values(objective, vae, x, n_samples=n_samples))
    # The closed form is stored in float32: relative errors of 1e-7 in some ten terms.
    assert ((mean - exact).abs() <= Z * error + 1e-5).all()


@each_objective
@each_posterior
def test_with_another_posterior_the_bound_lies_below_the_likelihood(objective, posterior):
    vae, x, exact = linear_model(posterior, shift=0.5)
    mean, error = mean_and_error(single_draw_values(objective, vae, x))
    assert (mean + Z * error < exact).all()


@each_objective
def test_rows_do_not_depend_on_each_other(objective):
    vae, x, _ = linear_model()
    eps = randn(3, N_ROWS, LATENT_DIM)
    together = objective(vae, x, eps)
    alone = objective(vae, x[2:3], eps[:, 2:3])
    for one, all_rows in zip(alone, together, strict=True):
        torch.testing.assert_close(one, all_rows[2:3])


@each_objective
def test_one_set_of_draws_serves_all_rows(objective):
    vae, x, _ = linear_model()
    eps = randn(3, 1, LATENT_DIM)
    shared = objective(vae, x, eps)
    expanded = objective(vae, x, eps.expand(3, N_ROWS, LATENT_DIM))
    for ours, expected in zip(shared, expanded, strict=True):
        torch.testing.assert_close(ours, expected)


@each_objective
def test_objectives_are_pure(objective):
    vae, x, _ = linear_model()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    state, eps = torch.get_rng_state(), randn(3, N_ROWS, LATENT_DIM)
    rows, draws = x.clone(), eps.clone()
    first, second = objective(vae, x, eps), objective(vae, x, eps)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, rows)
    assert torch.equal(eps, draws)
    assert all(torch.equal(before[n], value) for n, value in vae.state_dict().items())


@each_objective
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradients_reach_encoder_and_decoder(objective, likelihood):
    vae, x, _ = build(("mlp", likelihood, "diagonal"))
    objective(vae, x, randn(2, len(x), LATENT_DIM).float()).value.mean().backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@each_objective
def test_the_gradient_is_that_of_the_bound(objective):
    vae, x, _ = linear_model(shift=0.3)
    eps, bias = randn(3, N_ROWS, LATENT_DIM), vae.encoder.body.output.bias

    def value():
        return objective(vae, x, eps).value.mean()

    value().backward()
    gradient, numeric, step = bias.grad.clone(), torch.zeros_like(bias), 1e-5
    with torch.no_grad():
        for i in range(len(bias)):
            for sign in (1, -1):
                bias[i] += sign * step
                numeric[i] += sign * value() / (2 * step)
                bias[i] -= sign * step
    # Central differences: error of step^2, and of rounding by 1e-16 / step.
    torch.testing.assert_close(gradient, numeric, rtol=1e-7, atol=1e-8)


# -- importance weighting -------------------------------------------------------------


@each_posterior
@pytest.mark.parametrize("n_samples", [1, 4, 64])
def test_with_the_exact_posterior_every_importance_bound_is_the_likelihood(
    posterior, n_samples
):
    vae, x, exact = linear_model(posterior)
    bound = iwae(vae, x, randn(64, N_ROWS, LATENT_DIM), n_samples).value
    # All weights are equal: no error but that of a start kept in float32.
    torch.testing.assert_close(bound, exact, atol=1e-5, rtol=0)


def test_the_importance_bound_rises_with_the_samples_and_stays_below():
    vae, x, exact = linear_model(shift=0.5)
    eps = randn(1024, N_ROWS, LATENT_DIM)
    with torch.no_grad():
        bounds = [iwae(vae, x, eps, 4**k).value for k in range(6)]
    # Groups are nested and the logarithm is concave: on the same draws it never falls.
    for smaller, larger in pairwise(bounds):
        assert (larger > smaller).all()
    # Each of 64 groups of 16 samples on its own, for a standard error.
    draws = eps.reshape(64, 16, N_ROWS, LATENT_DIM).transpose(0, 1).flatten(1, 2)
    with torch.no_grad():
        each = iwae(vae, x.repeat(64, 1), draws, 16).value
    mean, error = mean_and_error(each.reshape(64, N_ROWS))
    assert (mean < exact + Z * error).all()
    torch.testing.assert_close(mean, bounds[2])


def test_many_importance_samples_reach_the_likelihood():
    vae, x, exact = linear_model(shift=0.3)
    eps = randn(4096, N_ROWS, LATENT_DIM)
    with torch.no_grad():
        bound = iwae(vae, x, eps, 4096).value
        q = vae.encoder(x)
        z = vae.encoder.head.reparameterize(q, eps)
        joint = vae.decoder(z).log_prob(x) + vae.prior(q).log_prob(z)
        weights = (joint - q.log_prob(z) - exact).exp()
    # The weights have mean one; the bound is the logarithm of their average.
    error = weights.std(0) / math.sqrt(len(eps))
    assert ((bound - exact).abs() < Z * error).all()


def test_bounds_of_several_groups_are_averaged():
    vae, x, _ = linear_model(shift=0.5)
    eps = randn(8, N_ROWS, LATENT_DIM)
    pooled = iwae(vae, x, eps, 2).value
    groups = [iwae(vae, x, eps[i : i + 2], 2).value for i in range(0, 8, 2)]
    torch.testing.assert_close(pooled, torch.stack(groups).mean(0))


def test_weights_far_below_float32s_range_do_not_underflow():
    vae, x, _ = linear_model()
    far = (x + 1e4).float()
    bound = iwae(vae.float(), far, randn(8, N_ROWS, LATENT_DIM).float(), 8).value
    assert bound.isfinite().all()
    assert (bound < -1e4).all()


# -- estimators of the same bound -----------------------------------------------------


@each_posterior
def test_the_monte_carlo_bound_is_the_elbo_in_expectation_part_by_part(posterior):
    vae, x, _ = linear_model(posterior, shift=0.5)
    copies = x.repeat(4000, 1)
    eps = randn(1, len(copies), LATENT_DIM)
    with torch.no_grad():
        ours, expected = monte_carlo(vae, copies, eps), elbo(vae, copies, eps)
    assert torch.equal(ours.reconstruction, expected.reconstruction)
    for name in ("value", "kl"):
        difference = (getattr(ours, name) - getattr(expected, name)).reshape(4000, N_ROWS)
        mean, error = mean_and_error(difference)
        assert (mean.abs() < Z * error).all()


def test_one_importance_sample_is_the_monte_carlo_bound():
    vae, x, _ = linear_model("full", shift=0.5)
    eps = randn(6, N_ROWS, LATENT_DIM)
    for ours, expected in zip(iwae(vae, x, eps), monte_carlo(vae, x, eps), strict=True):
        torch.testing.assert_close(ours, expected)


# -- the weight of the divergence -----------------------------------------------------


@each_posterior
@pytest.mark.parametrize("objective", [elbo, monte_carlo])
@pytest.mark.parametrize("beta", [0.0, 0.25, 4.0])
def test_beta_weights_the_value_and_not_the_parts(objective, posterior, beta):
    vae, x, _ = linear_model(posterior, shift=0.5)
    eps = randn(6, N_ROWS, LATENT_DIM)
    plain, weighted = objective(vae, x, eps), objective(vae, x, eps, beta=beta)
    assert torch.equal(weighted.reconstruction, plain.reconstruction)
    assert torch.equal(weighted.kl, plain.kl)
    torch.testing.assert_close(weighted.value, plain.reconstruction - beta * plain.kl)


@each_objective
@pytest.mark.parametrize("n_samples", [1, 3])
@pytest.mark.parametrize("beta", [0.25, 1.0, 4.0])
def test_value_and_parts_agree_for_any_beta(objective, n_samples, beta):
    vae, x, _ = linear_model(shift=0.5)
    bound = objective(vae, x, randn(6, N_ROWS, LATENT_DIM), n_samples, beta)
    assert [part.shape for part in bound] == [(N_ROWS,)] * 3
    torch.testing.assert_close(bound.value, bound.reconstruction - beta * bound.kl)


@each_objective
def test_without_the_divergence_parts_are_finite(objective):
    vae, x, _ = linear_model(shift=0.5)
    bound = objective(vae, x, randn(6, N_ROWS, LATENT_DIM), 3, 0.0)
    for part in bound:
        assert part.isfinite().all()


# -- without a posterior ---------------------------------------------------------------


def test_the_reconstruction_is_the_elbos_without_spread_and_without_price():
    vae, x, _ = linear_model(shift=0.5)
    eps = randn(3, N_ROWS, LATENT_DIM)
    bound = reconstruction(vae, x, eps, 3, beta=4.0)
    # Draws of zero are codes at the mean.
    torch.testing.assert_close(bound.value, elbo(vae, x, 0 * eps).reconstruction)
    assert torch.equal(bound.value, bound.reconstruction)
    assert torch.equal(bound.kl, torch.zeros_like(bound.value))


# -- in training and in scores ---------------------------------------------------------


@pytest.mark.parametrize(("epoch", "weight"), [(0, 0.0), (1, 1.0), (4, 4.0), (9, 4.0)])
def test_the_weight_of_the_divergence_rises_in_the_warm_up(epoch, weight):
    vae, x, _ = linear_model(shift=0.5)
    objective = Objective(elbo, n_samples=3, beta=4.0, kl_warmup=4)
    eps = objective.draw(vae, x, torch.Generator().manual_seed(0))
    loss, log_likelihood, kl = objective.batch_terms(vae, x, eps, epoch)
    torch.testing.assert_close(loss, weight * kl - log_likelihood)
    # Where rows are evaluated it has its full weight.
    rows = objective.row_terms(vae, x, randn(3, N_ROWS, LATENT_DIM))
    torch.testing.assert_close(rows[0], 4 * rows[2] - rows[1])


@pytest.mark.parametrize(("before", "left"), [(0, 4), (3, 1), (4, 0), (9, 0)])
def test_epochs_that_were_done_before_count_for_the_warm_up(before, left):
    vae, x, _ = linear_model(shift=0.5)
    whole = Objective(elbo, kl_warmup=4)
    rest = Objective(elbo, kl_warmup=4, epochs_before=before)
    assert rest.warmup_left == left
    for epoch in range(5):
        eps = whole.draw(vae, x, torch.Generator().manual_seed(0))
        loss, *_ = rest.batch_terms(vae, x, eps, epoch)
        expected, *_ = whole.batch_terms(vae, x, eps, before + epoch)
        assert loss == expected


def test_only_the_loss_of_a_batch_has_a_gradient_and_draws_are_fresh():
    vae, x, _ = linear_model(shift=0.5)
    terms = BatchLoss(Objective(elbo), vae, torch.Generator().manual_seed(0))
    first, second = (terms(x, 0) for _ in range(2))
    assert first[0] != second[0]
    assert [term.requires_grad for term in first] == [True, False, False]


@pytest.mark.parametrize("n_draws", [1, 100, 128])
def test_quasi_random_draws_are_normal_and_repeat(n_draws):
    draws = quasi_random_normal(n_draws, 3)
    assert draws.shape == (n_draws, 3)
    assert torch.equal(draws, quasi_random_normal(n_draws, 3))
    if n_draws == 128:
        # Far closer than the standard error 0.09 of independent draws.
        assert (draws.mean(0).abs() < 0.02).all()
        assert ((draws.std(0) - 1).abs() < 0.05).all()
