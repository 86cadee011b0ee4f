"""The continuous Bernoulli against its closed forms, in both precisions."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from skvae.data.units import Units
from skvae.likelihoods import Bernoulli, ContinuousBernoulli
from skvae.likelihoods.bernoulli import StableContinuousBernoulli

EPS32, EPS64 = float(np.finfo(np.float32).eps), float(np.finfo(np.float64).eps)
NEAR_ZERO = [1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.3]
SIZES = [*NEAR_ZERO, 0.599, 0.601, 1.0, 5.0, 20.0, 88.0, 100.0, 1e3]
LOGITS = np.array([0.0, *SIZES, *(-s for s in SIZES)])
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def distribution(logits, dtype):
    logits = torch.as_tensor(logits, dtype=dtype)
    return StableContinuousBernoulli(logits=logits, validate_args=False)


def exact(function):
    """Evaluate a closed form in float64 at LOGITS, its limit at 0 by a tiny logit."""
    return function(np.where(LOGITS == 0, 1e-9, LOGITS))


@each_dtype
def test_the_normalising_constant_is_the_closed_form(dtype):
    log_norm = distribution(LOGITS, dtype)._cont_bern_log_norm().double().numpy()
    # logit / tanh(logit / 2) loses nothing beside 0.
    expected = exact(lambda v: np.log(v / np.tanh(v / 2)))
    # A few roundings in float32; in float64 the series is cut off below 2e-8.
    tol = 4 * EPS32 if dtype == torch.float32 else 2e-8
    np.testing.assert_allclose(log_norm, expected, atol=tol, rtol=tol)


@each_dtype
def test_the_mean_is_the_closed_form(dtype):
    mean = distribution(LOGITS, dtype).mean.double().numpy()
    # Beside 0 the closed form itself cancels; there its tangent is exact to logit^3.
    expected = exact(lambda v: 0.5 + 0.5 / np.tanh(v / 2) - 1 / v)
    expected = np.where(np.abs(LOGITS) < 1e-3, 0.5 + LOGITS / 12, expected)
    tol = 4 * EPS32 if dtype == torch.float32 else 1e-9
    np.testing.assert_allclose(mean, expected, atol=tol)


@each_dtype
def test_the_mean_lies_in_the_interval_and_rises_with_the_logit(dtype):
    logits = np.sort(np.r_[LOGITS, np.linspace(-2, 2, 101), -1e30, 1e30])
    mean = distribution(logits, dtype).mean.numpy()
    assert (mean >= 0).all()
    assert (mean <= 1).all()
    # Neighbours may differ by rounding where they are closer than that.
    assert (np.diff(mean) >= -2 * torch.finfo(dtype).eps).all()


@each_dtype
def test_constant_and_mean_are_symmetric(dtype):
    p, mirrored = distribution(LOGITS, dtype), distribution(-LOGITS, dtype)
    assert torch.equal(p._cont_bern_log_norm(), mirrored._cont_bern_log_norm())
    tol = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(p.mean + mirrored.mean, p.mean * 0 + 1, rtol=tol, atol=tol)


@pytest.mark.parametrize("logit", [s * sign for s in SIZES for sign in (-1, 1)])
def test_the_float32_density_integrates_to_one(logit):
    p = distribution([logit], torch.float32)

    def density(v):
        return p.log_prob(torch.tensor([v], dtype=torch.float32)).exp().item()

    # Nodes are rounded to float32, and the density changes by the logit times that;
    # a hundred of them are summed.
    tol = 10 * EPS32 * max(1, abs(logit))
    width = min(1.0, 30 / abs(logit))
    points = [0, width, 1] if logit < 0 else [0, 1 - width, 1]
    total = sum(quad(density, *piece, epsabs=tol, epsrel=tol)[0] for piece in pairwise(points))
    assert total == pytest.approx(1, abs=2 * tol)


@each_dtype
def test_gradients_of_the_constant_are_the_centred_mean(dtype):
    # d log C / d logit = 1/2 ... minus the mean, since the density integrates to one.
    logits = torch.tensor(LOGITS, dtype=dtype, requires_grad=True)
    p = StableContinuousBernoulli(logits=logits, validate_args=False)
    p.log_prob(torch.zeros_like(logits)).sum().backward()
    tol = 20 * EPS32 if dtype == torch.float32 else 1e-6
    torch.testing.assert_close(logits.grad, -p.mean.detach(), atol=tol, rtol=0)


@pytest.mark.parametrize("logit", [0.0, *(s * sign for s in SIZES for sign in (-1, 1))])
def test_icdf_inverts_the_distribution_function(logit):
    u = np.linspace(0.001, 0.999, 41)
    x = distribution(np.full(41, logit), torch.float64).icdf(torch.as_tensor(u)).numpy()
    # By symmetry at a negative logit, where nothing overflows.
    flipped, size = (1 - x, abs(logit)) if logit > 0 else (x, abs(logit))
    cdf = flipped if size == 0 else np.expm1(-size * flipped) / np.expm1(-size)
    # The uniform is taken for the answer below a logit of 1e-6; x near 1 keeps 1e-16,
    # which the slope of the distribution function multiplies.
    tol = 2e-7 + 2 * EPS64 * size
    np.testing.assert_allclose(cdf, 1 - u if logit > 0 else u, atol=tol)


@each_dtype
def test_icdf_rises_inside_the_interval_and_keeps_the_dtype(dtype):
    u = torch.linspace(0, 1, 51, dtype=dtype)[:, None]
    x = distribution(LOGITS, dtype).icdf(u.expand(-1, len(LOGITS)))
    assert x.dtype == dtype
    assert ((x >= 0) & (x <= 1)).all()
    assert (x.diff(dim=0) >= -2 * torch.finfo(dtype).eps).all()


@each_dtype
def test_icdf_maps_the_ends_to_the_ends(dtype):
    p = distribution(np.linspace(-5, 5, 11), dtype)
    ends = p.icdf(torch.tensor([[0.0], [1.0]], dtype=dtype).expand(2, 11))
    # exp(5) multiplies the rounding of 1 - exp(-5).
    expected = torch.tensor([[0.0], [1.0]], dtype=dtype).expand(2, 11)
    torch.testing.assert_close(ends, expected, atol=200 * EPS64, rtol=0)


def test_log_prob_broadcasts_draws_over_rows():
    p = distribution(np.zeros((4, 1, 3)), torch.float64)
    assert p.log_prob(torch.full((5, 3), 0.5, dtype=torch.float64)).shape == (4, 5, 3)


def test_bernoulli_of_grey_values_is_the_cross_entropy():
    head = Bernoulli().head(Units.identity(3))
    raw, x = torch.tensor([[-1.0, 0.5, 3.0]]), torch.tensor([[0.2, 0.5, 1.0]])
    probability = raw.sigmoid()
    expected = x * probability.log() + (1 - x) * (1 - probability).log()
    torch.testing.assert_close(head(raw).log_prob(x), expected.sum(-1))


def test_the_continuous_bernoulli_is_the_bernoulli_and_its_constant():
    rows = torch.rand(10, 3, generator=torch.Generator())
    raw, x = torch.tensor([[-1.0, 0.5, 3.0]]), rows[:1]
    heads = [cls().head(Units.identity(3)) for cls in (Bernoulli, ContinuousBernoulli)]
    discrete, continuous = (head(raw).log_prob(x) for head in heads)
    constant = (raw / torch.tanh(raw / 2)).log().sum(-1)
    torch.testing.assert_close(continuous - discrete, constant)
