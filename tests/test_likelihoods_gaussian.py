"""The Gaussian's noise: learned, shared or fixed; its floor; constant columns."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from likelihood_cases import started_head
from scipy.integrate import quad
from scipy.stats import norm

from skvae.likelihoods import Gaussian
from skvae.likelihoods.factor_analysis import MIN_NOISE_VARIANCE
from skvae.likelihoods.gaussian_heads import SpikedNormal

EPS32 = np.finfo(np.float32).eps
SPIKE_VARIANCE, SLAB_WEIGHT = 1e-12, 1e-6  # as Gaussian's Notes promise
learned = pytest.mark.parametrize("noise", ["per_feature", "isotropic"])
every_noise = pytest.mark.parametrize("noise", ["per_feature", "isotropic", 0.3])


def table(n=300, constant=False):
    """Three columns of other scales and offsets, and a constant one on demand."""
    X = np.random.RandomState(0).standard_normal((n, 3)) * [0.1, 1, 20] + [5, 0, -3]
    return np.c_[X, np.full(n, 7.0)] if constant else X


def build(noise, X):
    likelihood = Gaussian(noise)
    units = likelihood.units(X)
    rows = torch.as_tensor(units.to_model(X))
    return started_head(likelihood, rows, units).double(), units, rows


def total_mass(p, feature, points):
    """Integral of one feature's density over pieces that resolve it."""

    def density(v):
        value = torch.full_like(p.mean, v)
        return p.base_dist.log_prob(value)[0, feature].exp().item()

    return sum(quad(density, *piece, epsabs=1e-11)[0] for piece in pairwise(points))


# -- units and noise ------------------------------------------------------------------


def test_only_a_noise_per_feature_gets_a_scale_per_feature():
    scales = {noise: Gaussian(noise).units(table()).scale for noise in ("isotropic", 0.3)}
    assert all(len(set(scale)) == 1 for scale in scales.values())
    assert len(set(Gaussian().units(table()).scale)) == 3


@every_noise
def test_the_density_in_the_units_of_the_data_is_scipys(noise):
    X = table()
    head, units, rows = build(noise, X)
    raw = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    p = head(raw)
    ours = p.log_prob(rows[:5]).detach().numpy() + units.log_jacobian
    scale = np.sqrt(head.noise_variance()) * units.scale
    expected = norm.logpdf(X[:5], units.to_data(raw.numpy()), scale).sum(axis=1)
    np.testing.assert_allclose(ours, expected, rtol=1e-10)


def test_a_float_noise_is_a_standard_deviation_in_the_units_of_the_data():
    head, units, _ = build(0.3, table())
    # It is kept as a float32 logarithm of a number of size 1.
    np.testing.assert_allclose(head.noise_variance() * units.scale**2, 0.09, rtol=1e-5)


def test_a_float_noise_is_neither_learned_nor_set():
    head, _, _ = build(0.3, table())
    assert not list(head.parameters())
    assert not head.has_noise
    before = head.noise_variance()
    head.set_noise(torch.ones(3))
    np.testing.assert_array_equal(head.noise_variance(), before)


def test_a_float_noise_may_be_smaller_than_the_floor_of_a_learned_one():
    head, units, _ = build(1e-5, table())
    np.testing.assert_allclose(head.noise_variance() * units.scale**2, 1e-10, rtol=1e-5)


@pytest.mark.parametrize("variance", [1e-5, 0.01, 1.0, 50.0])
@learned
def test_set_noise_round_trips(noise, variance):
    head, _, _ = build(noise, table())
    variance = variance * torch.tensor([0.5, 1.0, 2.0])
    head.set_noise(variance)
    expected = variance if noise == "per_feature" else variance.mean().expand(3)
    # The floor is subtracted and added: relative to the smallest variance, 5 times eps.
    np.testing.assert_allclose(head.noise_variance(), expected, rtol=10 * EPS32)
    variance = head(torch.zeros(1, 3).double()).variance.detach()
    np.testing.assert_allclose(variance[0], expected, rtol=10 * EPS32)


@pytest.mark.parametrize("variance", [0.0, 1e-9, MIN_NOISE_VARIANCE])
@learned
def test_the_noise_stops_at_the_floor_and_can_leave_it(noise, variance):
    head, _, rows = build(noise, table())
    head.set_noise(torch.full((3,), variance))
    np.testing.assert_allclose(head.noise_variance(), MIN_NOISE_VARIANCE, rtol=1e-5)
    head(torch.zeros_like(rows)).log_prob(rows).mean().backward()
    # Rows far from the decoded mean ask for more noise; a clamp would give gradient 0.
    assert (head.log_scale.grad > 0).all()


@learned
def test_the_noise_stays_above_the_floor_whatever_the_training_does(noise):
    head, _, rows = build(noise, table())
    torch.nn.init.constant_(head.log_scale, -1e3)
    assert (head.noise_variance() >= MIN_NOISE_VARIANCE).all()
    log_prob = head(rows).log_prob(rows).sum()
    log_prob.backward()
    assert log_prob.isfinite()
    assert head.log_scale.grad.isfinite().all()


@every_noise
def test_expected_log_probs_is_the_mean_of_the_log_prob_it_summarises(noise):
    head, _, rows = build(noise, table())
    raw = rows + 0.1 * torch.randn(16, *rows.shape, generator=torch.Generator()).double()
    with torch.no_grad():
        p = head(raw)
        residuals = head.squared_residuals(p, rows).mean(0)
        variance = torch.as_tensor(head.noise_variance())
        expected = p.log_prob(rows).mean(0)
    torch.testing.assert_close(head.expected_log_probs(residuals, variance).sum(-1), expected)


def test_expected_log_probs_pools_the_variance_of_an_isotropic_noise():
    head, _, rows = build("isotropic", table())
    variance = torch.tensor([0.5, 1.0, 3.0]).double()
    with torch.no_grad():
        head.set_noise(variance)
        p = head(0.9 * rows)
        expected = p.log_prob(rows)
    ours = head.expected_log_probs(head.squared_residuals(p, rows), variance).sum(-1)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


def test_the_residuals_own_variance_is_the_likeliest_noise():
    head, _, rows = build("per_feature", table())
    residuals = head.squared_residuals(head(0.5 * rows), rows).detach()
    best = head.expected_log_probs(residuals, residuals.mean(0)).sum(-1).mean()
    for factor in (0.9, 1.1):
        other = head.expected_log_probs(residuals, factor * residuals.mean(0)).sum(-1).mean()
        assert other < best


# -- constant columns -----------------------------------------------------------------


@pytest.mark.parametrize("raw", [0.0, 4.0])
def test_a_constant_column_has_a_density_of_mass_one_around_its_value(raw):
    head, _, _ = build("per_feature", table(constant=True))
    p = head(torch.full((1, 4), raw, dtype=torch.float64))
    # Whatever the decoder says, its mean is the value; 20 widths hold the whole spike.
    assert p.mean[0, 3] == 0
    assert total_mass(p, 3, [-12, -2e-5, 2e-5, 12]) == pytest.approx(1, abs=1e-9)
    assert total_mass(p, 0, [raw - 12, raw, raw + 12]) == pytest.approx(1, abs=1e-9)


def test_a_constant_column_is_worth_what_factor_analysis_gives_it():
    head, _, rows = build("per_feature", table(constant=True))
    with_constant = head(torch.zeros(1, 4).double()).log_prob(rows[:1])
    head, _, rows = build("per_feature", table())
    without = head(torch.zeros(1, 3).double()).log_prob(rows[:1])
    spike = norm.logpdf(0, 0, math.sqrt(SPIKE_VARIANCE))
    # The slab takes its weight from the spike.
    assert (with_constant - without).item() == pytest.approx(spike, abs=2 * SLAB_WEIGHT)


def test_a_new_value_in_a_constant_column_costs_about_fourteen_nats():
    head, _, _ = build("per_feature", table(constant=True))
    p = head(torch.zeros(1, 4).double())
    new = torch.zeros(1, 4).double()
    new[0, 3] = 1.0
    expected = norm.logpdf(1.0) + math.log(SLAB_WEIGHT)
    assert p.base_dist.log_prob(new)[0, 3].item() == pytest.approx(expected, rel=1e-12)


def test_the_variance_of_a_constant_column_is_that_of_the_mixture():
    p = SpikedNormal(torch.zeros(1), torch.ones(1), torch.tensor([True]))
    expected = SPIKE_VARIANCE * (1 - SLAB_WEIGHT) + SLAB_WEIGHT
    # The weight of the spike is taken as one in its own tiny share.
    assert p.variance.item() == pytest.approx(expected, rel=1e-6)


def test_residuals_of_several_draws_keep_a_constant_column_at_zero():
    head, _, rows = build("per_feature", table(constant=True))
    residuals = head.squared_residuals(head(torch.ones(5, *rows.shape).double()), rows)
    assert residuals.shape == (5, *rows.shape)
    assert (residuals[..., 3] == 0).all()


def test_expected_log_probs_holds_with_a_constant_column():
    head, _, rows = build("per_feature", table(constant=True))
    with torch.no_grad():
        p = head(0.5 * rows)
        ours = head.expected_log_probs(
            head.squared_residuals(p, rows), torch.as_tensor(head.noise_variance())
        ).sum(-1)
        torch.testing.assert_close(ours, p.log_prob(rows), atol=2 * SLAB_WEIGHT, rtol=0)


class FixedDraws:
    """Stands in for RandomState: the same uniform and normal number for everything."""

    def __init__(self, uniform):
        self.uniform = uniform

    def random_sample(self, shape):
        return np.full(shape, self.uniform)

    def standard_normal(self, shape):
        return np.ones(shape)


@pytest.mark.parametrize(("uniform", "width"), [(0.5, 1e-6), (SLAB_WEIGHT / 2, 1.0)])
def test_draws_of_a_constant_column_come_from_spike_and_slab(uniform, width):
    head, _, _ = build("per_feature", table(constant=True))
    with torch.no_grad():
        p = head(torch.zeros(2, 4).double())
        x = head.draw(p, FixedDraws(uniform))
    np.testing.assert_allclose(x[:, 3], width, rtol=1e-6)
    # The other columns know nothing of the slab.
    np.testing.assert_allclose(x[:, :3], p.stddev[:, :3], rtol=1e-6)


@pytest.mark.parametrize("noise", ["isotropic", 0.3])
def test_a_shared_noise_gives_a_constant_column_no_spike(noise):
    head, _, _ = build(noise, table(constant=True))
    assert len(set(head.noise_variance())) == 1
    assert not head.has_constant


# -- the closed form ------------------------------------------------------------------


@every_noise
def test_the_closed_form_output_takes_over_the_closed_form(noise):
    likelihood = Gaussian(noise)
    head, units, rows = build(noise, table())
    solution = likelihood.closed_form(rows, 2, units)
    weight, bias = head.closed_form_output(solution, likelihood.start(head, rows))
    np.testing.assert_array_equal(weight, solution.loadings)
    assert not bias.any()
    np.testing.assert_allclose(head.noise_variance(), solution.noise_variance, rtol=1e-5)


def test_a_column_that_is_constant_in_one_fold_only_is_given_a_variance():
    X = table()
    X[:, 2] = 0
    X[0, 2] = 1
    units = Gaussian().units(X)
    rows = torch.as_tensor(units.to_model(X))[1:]
    rows[:, 2] = 0
    solution = Gaussian().closed_form(rows, 1, units)
    assert solution.noise_variance[2] == pytest.approx(1 / (len(rows) + 1), rel=1e-3)
