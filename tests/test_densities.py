"""Log-densities and a divergence: their values, and the gradients that are written out."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import Bernoulli, Normal, kl_divergence

from skvae.densities import bernoulli_log_prob, normal_log_prob, standard_normal_kl


def draws(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
    return drawn.requires_grad_()


@pytest.mark.parametrize(
    ("value", "loc", "scale"),
    [
        ((5, 3), (5, 3), (1, 3)),
        ((5, 3), (4, 5, 3), (1, 1)),
        ((2, 5, 3), (4, 2, 5, 3), (2, 1, 3)),
        ((5, 3), (5, 3), (5, 3)),
        ((1, 3), (5, 3), (1, 3)),
    ],
)
def test_the_normal_density_is_that_of_torch_and_has_its_gradient(value, loc, scale):
    value, loc, scale = draws(*value), draws(*loc, seed=1), draws(*scale, seed=2).exp()
    expected = Normal(loc, scale.expand(loc.shape)).log_prob(value)
    torch.testing.assert_close(normal_log_prob(value, loc, scale), expected)
    assert gradcheck(normal_log_prob, (value, loc, scale.detach().requires_grad_()))


def test_the_bernoulli_probability_is_that_of_torch_and_has_its_gradient():
    logits, value = 4 * draws(50, 3), draws(50, 3, seed=1).sigmoid().detach()
    expected = Bernoulli(logits=logits, validate_args=False).log_prob(value)
    torch.testing.assert_close(bernoulli_log_prob(value, logits), expected)
    logits = logits.detach().requires_grad_()
    assert gradcheck(bernoulli_log_prob, (value.requires_grad_(), logits))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_the_bernoulli_probability_is_exact_far_from_zero(value, dtype):
    logits = torch.tensor([-1e4, -90.0, -17.0, -1e-3, 0.0, 1e-3, 17.0, 90.0, 1e4], dtype=dtype)
    found = bernoulli_log_prob(torch.full_like(logits, value), logits)
    exact = logits.double()
    expected = value * exact - torch.nn.functional.softplus(exact, threshold=800)
    precision = torch.finfo(dtype).eps
    assert ((found - expected).abs() <= 2 * precision * (1 + exact.abs())).all()
    assert (found <= 0).all()


def test_the_divergence_is_that_of_torch_and_has_its_gradient():
    mean, scale = draws(5, 3), draws(5, 3, seed=1).exp()
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    torch.testing.assert_close(
        standard_normal_kl(mean, scale), kl_divergence(Normal(mean, scale), prior)
    )
    assert gradcheck(standard_normal_kl, (mean, scale.detach().requires_grad_()))
