"""q(z|x): draws, divergences and extremes, for every family."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from skvae.likelihoods.factor_analysis import LinearGaussian
from skvae.posteriors import (
    POSTERIORS,
    PointHead,
    marginal_kl,
    standard_normal_log_prob,
)

N_ROWS, LATENT_DIM, N_DRAWS = 4, 3, 20_000
each_posterior = pytest.mark.parametrize("name", POSTERIORS)
# Five standard errors: with fixed seeds and some dozens of numbers, no chance failure.
Z = 5.0


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def posterior(name, latent_dim=LATENT_DIM, scale=1.0):
    """Return a head and its distribution for some random raw outputs, in float64."""
    head = POSTERIORS[name]().head(latent_dim)
    return head, head(scale * randn(N_ROWS, head.n_raw))


def kl_from_prior(name, q):
    head = POSTERIORS[name]().head(LATENT_DIM)
    return kl_divergence(q, head.prior(q))


def draws(name):
    head, q = posterior(name)
    return q, head.reparameterize(q, randn(N_DRAWS, N_ROWS, LATENT_DIM, seed=1))


@each_posterior
@pytest.mark.parametrize("latent_dim", [1, 3])
def test_a_distribution_covers_a_whole_code(name, latent_dim):
    _, q = posterior(name, latent_dim)
    assert q.batch_shape == (N_ROWS,)
    assert q.event_shape == (latent_dim,)
    assert q.mean.shape == q.stddev.shape == (N_ROWS, latent_dim)
    assert q.log_prob(q.mean).shape == (N_ROWS,)


@each_posterior
def test_draws_have_the_mean_of_the_distribution(name):
    q, z = draws(name)
    assert ((z.mean(0) - q.mean).abs() < Z * q.stddev / math.sqrt(N_DRAWS)).all()


@each_posterior
def test_draws_have_the_scale_of_the_distribution(name):
    q, z = draws(name)
    # The standard error of a normal sample's standard deviation.
    assert ((z.std(0) - q.stddev).abs() < Z * q.stddev / math.sqrt(2 * N_DRAWS)).all()


@each_posterior
def test_draws_have_the_entropy_of_the_distribution(name):
    # Correlations between dimensions show here, and in no marginal.
    q, z = draws(name)
    surprise = -q.log_prob(z)
    error = surprise.std(0) / math.sqrt(N_DRAWS)
    assert ((surprise.mean(0) - q.entropy()).abs() < Z * error).all()


@each_posterior
def test_draws_are_an_affine_map_of_the_normal_draws(name):
    head, q = posterior(name)
    zero = torch.zeros(1, N_ROWS, LATENT_DIM, dtype=torch.float64)
    eps = randn(5, N_ROWS, LATENT_DIM)
    z = head.reparameterize(q, eps)
    torch.testing.assert_close(head.reparameterize(q, zero)[0], q.mean)
    torch.testing.assert_close(z + head.reparameterize(q, -eps), 2 * q.mean.expand_as(z))


@each_posterior
@pytest.mark.parametrize("n", [1, N_ROWS])
def test_the_density_of_draws_is_that_of_the_distribution(name, n):
    head, q = posterior(name)
    eps = randn(5, n, LATENT_DIM)
    expected = q.log_prob(head.reparameterize(q, eps))
    torch.testing.assert_close(head.log_prob(q, eps), expected)


@each_posterior
def test_one_set_of_draws_serves_all_rows(name):
    head, q = posterior(name)
    eps = randn(5, 1, LATENT_DIM)
    same = head.reparameterize(q, eps.expand(5, N_ROWS, LATENT_DIM))
    torch.testing.assert_close(head.reparameterize(q, eps), same)


@each_posterior
def test_draws_pass_gradients_to_every_raw_output(name):
    head = POSTERIORS[name]().head(LATENT_DIM)
    raw = randn(N_ROWS, head.n_raw).requires_grad_()
    head.reparameterize(head(raw), randn(5, N_ROWS, LATENT_DIM, seed=1)).sum().backward()
    assert (raw.grad != 0).all()


@each_posterior
def test_the_kl_is_the_mean_log_ratio(name):
    q, z = draws(name)
    ratio = q.log_prob(z) - standard_normal_log_prob(z)
    error = ratio.std(0) / math.sqrt(N_DRAWS)
    analytic = kl_from_prior(name, q)
    assert ((ratio.mean(0) - analytic).abs() < Z * error).all()


@each_posterior
def test_the_kl_of_the_prior_from_itself_is_zero(name):
    head, q = posterior(name)
    prior = head.prior(q)
    torch.testing.assert_close(kl_divergence(prior, prior), torch.zeros_like(q.mean[:, 0])[0])


def test_marginal_kl_sums_to_the_kl_of_a_diagonal_posterior():
    _, q = posterior("diagonal")
    total = kl_from_prior("diagonal", q)
    torch.testing.assert_close(marginal_kl(q).sum(-1), total)


@each_posterior
def test_marginal_kl_never_exceeds_the_kl(name):
    # Correlation is what the marginals do not see.
    _, q = posterior(name)
    marginal = marginal_kl(q)
    assert marginal.shape == (N_ROWS, LATENT_DIM)
    assert (marginal >= 0).all()
    assert (marginal.sum(-1) <= kl_from_prior(name, q) + 1e-12).all()


@each_posterior
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_prior_has_the_dtype_of_the_posterior(name, dtype):
    head = POSTERIORS[name]().head(LATENT_DIM)
    prior = head.prior(head(torch.zeros(N_ROWS, head.n_raw, dtype=dtype)))
    assert prior.event_shape == (LATENT_DIM,)
    assert prior.mean.dtype == dtype


def test_the_standard_normal_density_is_torchs():
    z = randn(5, N_ROWS, LATENT_DIM)
    expected = Normal(z.new_zeros(()), z.new_ones(())).log_prob(z).sum(-1)
    torch.testing.assert_close(standard_normal_log_prob(z), expected)


@each_posterior
@pytest.mark.parametrize("value", [-1e4, -100.0, 100.0, 1e4])
def test_extreme_raw_outputs_stay_finite_in_float32(name, value):
    head = POSTERIORS[name]().head(LATENT_DIM)
    raw = torch.full((N_ROWS, head.n_raw), value, requires_grad=True)
    q = head(raw)
    eps = randn(5, N_ROWS, LATENT_DIM).float()
    z, log_prob = head.reparameterize(q, eps), head.log_prob(q, eps)
    kl = kl_divergence(q, head.prior(q))
    for tensor in (q.mean, q.stddev, z, log_prob, kl, marginal_kl(q)):
        assert tensor.isfinite().all()
    assert (q.stddev > 0).all()
    (kl.sum() + log_prob.sum()).backward()
    assert raw.grad.isfinite().all()


@each_posterior
def test_the_closed_form_output_gives_the_closed_forms_posterior(name):
    loadings = randn(6, LATENT_DIM).numpy()
    solution = LinearGaussian.from_loadings(loadings, 0.1 + randn(6).square().numpy())
    head = POSTERIORS[name]().head(LATENT_DIM)
    weight, bias = head.closed_form_output(solution)
    assert weight.shape == (head.n_raw, 6)
    x = randn(N_ROWS, 6)
    q = head(x @ weight.double().T + bias.double())
    # The start is stored in float32.
    mean = x @ torch.as_tensor(solution.projection).T
    scale = torch.as_tensor(solution.posterior_scale).expand(N_ROWS, LATENT_DIM)
    torch.testing.assert_close(q.mean, mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(q.stddev, scale, rtol=1e-6, atol=0)
    # The exact posterior is diagonal: nothing but the variances in the covariance.
    expected = 0.5 * (1 + math.log(2 * math.pi)) * LATENT_DIM + scale.log().sum(-1)
    torch.testing.assert_close(q.entropy(), expected, rtol=1e-5, atol=1e-5)


# -- the full covariance --------------------------------------------------------------


def test_a_full_posterior_with_a_diagonal_factor_is_the_diagonal_posterior():
    (full, diagonal) = (POSTERIORS[name]().head(LATENT_DIM) for name in ("full", "diagonal"))
    raw = randn(N_ROWS, full.n_raw)
    raw[:, 2 * LATENT_DIM :] = 0
    q, expected = full(raw), diagonal(raw[:, : 2 * LATENT_DIM])
    eps = randn(5, N_ROWS, LATENT_DIM, seed=1)
    z = full.reparameterize(q, eps)
    torch.testing.assert_close(z, diagonal.reparameterize(expected, eps))
    torch.testing.assert_close(q.log_prob(z), expected.log_prob(z))
    torch.testing.assert_close(kl_from_prior("full", q), kl_from_prior("diagonal", expected))
    torch.testing.assert_close(q.entropy(), expected.entropy())
    torch.testing.assert_close(full.spread(q), torch.diag_embed(diagonal.spread(expected)))


def test_a_full_posterior_has_every_covariance():
    head, q = posterior("full")
    factor = head.spread(q)
    assert torch.equal(factor, factor.tril())
    assert (factor.diagonal(dim1=-2, dim2=-1) > 0).all()
    torch.testing.assert_close(factor @ factor.mT, q.covariance_matrix)
    # Each raw output moves the distribution in a way of its own.
    assert head.n_raw == LATENT_DIM + LATENT_DIM * (LATENT_DIM + 1) // 2
    assert (q.covariance_matrix.abs() > 0).all()


def test_draws_have_the_covariance_of_a_full_posterior():
    q, z = draws("full")
    centred = z - q.mean
    products = centred.unsqueeze(-1) * centred.unsqueeze(-2)
    error = products.std(0) / math.sqrt(N_DRAWS)
    assert ((products.mean(0) - q.covariance_matrix).abs() < Z * error).all()


@pytest.mark.parametrize("latent_dim", [1, 2, 3])
def test_the_factor_analysis_start_holds_with_a_full_posterior(latent_dim, iris, quick):
    scores = [
        quick(posterior=name, latent_dim=latent_dim, max_iter=0).fit(iris).score(iris)
        for name in ("full", "diagonal")
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


# -- a code without uncertainty -------------------------------------------------------


def test_a_point_is_its_raw_output_whatever_the_draws():
    head, raw = PointHead(LATENT_DIM), randn(N_ROWS, LATENT_DIM)
    assert head.n_raw == LATENT_DIM
    assert torch.equal(head(raw).mean, raw)
    z = head.reparameterize(head(raw), randn(5, N_ROWS, LATENT_DIM, seed=1))
    # One draw stands for all: they would not differ.
    assert torch.equal(z, raw[None])


def test_the_closed_form_output_of_a_point_is_the_weighted_least_squares_code():
    loadings, noise = randn(6, LATENT_DIM).numpy(), 0.1 + randn(6, seed=1).square().numpy()
    solution = LinearGaussian.from_loadings(loadings, noise)
    weight, bias = PointHead(LATENT_DIM).closed_form_output(solution)
    x, root = randn(50, 6).numpy(), np.sqrt(noise)[:, None]
    expected = np.linalg.lstsq(solution.loadings / root, x.T / root, rcond=None)[0].T
    # The start is stored in float32.
    np.testing.assert_allclose(x @ weight.double().numpy().T, expected, rtol=1e-5, atol=1e-5)
    assert not bias.any()


@pytest.mark.parametrize("noise", [1e-6, 1.0, 1e3])
def test_a_dimension_without_loadings_reads_a_feature_to_learn_from(noise):
    loadings = randn(6, LATENT_DIM).numpy()
    loadings[:, 1] = 0
    solution = LinearGaussian.from_loadings(loadings, np.full(6, noise))
    weight, _ = PointHead(LATENT_DIM).closed_form_output(solution)
    # Dimensions are ordered by what they carry: the empty one comes last.
    assert weight[-1].norm() == 1
    decoded_and_encoded = weight[:-1].double() @ torch.as_tensor(solution.loadings)
    expected = torch.eye(2, 3, dtype=torch.float64)
    torch.testing.assert_close(decoded_and_encoded, expected, rtol=1e-5, atol=1e-5)


# -- rows with missing values ----------------------------------------------------------


def test_a_widened_posterior_is_the_normal_of_its_factor():
    head, q = posterior("diagonal")
    factor = randn(N_ROWS, LATENT_DIM, LATENT_DIM, seed=1).tril(-1)
    factor = factor + torch.diag_embed(1 + randn(N_ROWS, LATENT_DIM, seed=2).square())
    wider = head.widen(q, factor, torch.zeros(N_ROWS, dtype=torch.bool))
    full = MultivariateNormal(q.mean, scale_tril=q.stddev.unsqueeze(-1) * factor)
    assert torch.equal(wider.scale_tril, full.scale_tril)
    eps = randn(5, N_ROWS, LATENT_DIM, seed=3)
    z = head.reparameterize(wider, eps)
    torch.testing.assert_close(z, head.reparameterize(full, eps))
    torch.testing.assert_close(head.log_prob(wider, eps), full.log_prob(z))
    prior = MultivariateNormal(0 * q.mean[0], torch.eye(LATENT_DIM).double())
    kl = kl_divergence(wider, head.prior(wider))
    torch.testing.assert_close(kl, kl_divergence(full, prior))


@each_posterior
def test_the_posterior_of_an_empty_row_is_the_prior(name):
    head, q = posterior(name)
    identity = torch.eye(LATENT_DIM).double()
    is_empty = torch.arange(N_ROWS) == 1
    wider = head.widen(q, identity.expand(N_ROWS, -1, -1), is_empty)
    assert torch.equal(wider.mean[1], torch.zeros(LATENT_DIM).double())
    assert torch.equal(wider.scale_tril[1], identity)
    torch.testing.assert_close(wider.mean[~is_empty], q.mean[~is_empty])
    torch.testing.assert_close(wider.stddev[~is_empty], q.stddev[~is_empty])
    assert float(kl_divergence(wider, head.prior(wider))[1]) == 0
