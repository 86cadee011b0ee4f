"""The torch modules put together, for every network, likelihood and posterior."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.model.modules import (
    VAE,
    Autoencoder,
    Conditional,
    Fitted,
    build_vae,
    can_start_affine,
    start_affine,
)
from skvae.model.objectives import elbo, reconstruction
from skvae.networks import MLP, NETWORKS, ConvNet
from skvae.posteriors import POSTERIORS, Diagonal

LATENT_DIM = 2
# A smaller object than the default where that saves time; others are taken as they are.
SMALL = {"mlp": MLP((8, 6)), "conv": ConvNet((4,))}
IMAGE_SHAPE = (8, 8, 1)
TRIPLES = list(itertools.product(NETWORKS, LIKELIHOODS, POSTERIORS))
each_model = pytest.mark.parametrize("names", TRIPLES, ids="-".join)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def binary_rows(n=40, n_features=64):
    """Zeros and ones, which lie in the support of every likelihood."""
    probability = np.linspace(0.2, 0.8, n_features)
    return np.random.RandomState(0).binomial(1, probability, (n, n_features)).astype(float)


def rows_for(likelihood):
    """Rows in the support of a likelihood."""
    if likelihood == "categorical":
        return np.eye(64)[np.random.RandomState(0).permutation(64)[:40]]
    return binary_rows()


def parts(names):
    network, likelihood, posterior = names
    return (
        SMALL.get(network, NETWORKS[network]()),
        LIKELIHOODS[likelihood](),
        POSTERIORS[posterior](),
    )


def build(names, seed=0):
    """Return a VAE at its random start, its rows in model units, and the units."""
    network, likelihood, posterior = parts(names)
    X = rows_for(names[1])
    units = likelihood.units(X)
    rows = torch.as_tensor(units.to_model(X, np.float32))
    fields = (network, likelihood, posterior, rows, units, LATENT_DIM, IMAGE_SHAPE)
    vae = build_vae(*fields, generator(seed))
    return vae, rows, units


def linear_vae(network, seed=0):
    """Return a Gaussian VAE at its closed form, that form, and its rows."""
    X = np.random.RandomState(0).standard_normal((60, 5)) @ np.diag([1, 2, 3, 4, 5])
    likelihood = Gaussian()
    units = likelihood.units(X)
    rows = torch.as_tensor(units.to_model(X, np.float32))
    fields = (network, likelihood, Diagonal(), rows, units, LATENT_DIM, None)
    vae = build_vae(*fields, generator(seed))
    solution = likelihood.linear_start(rows, LATENT_DIM, units)
    if can_start_affine(vae):
        start_affine(vae, solution)
    return vae, solution, rows


def backward(vae, rows, seed=1):
    eps = torch.randn(1, len(rows), LATENT_DIM, generator=generator(seed))
    vae.zero_grad()
    (-elbo(vae, rows, eps).value.mean()).backward()


def test_a_conditional_is_the_head_of_the_body():
    body, head = nn.Linear(3, 4), Diagonal().head(2)
    x = torch.ones(5, 3)
    q = Conditional(body, head)(x)
    assert torch.equal(q.mean, body(x)[:, :2])


@each_model
def test_encoder_and_decoder_are_distributions_over_codes_and_rows(names):
    vae, rows, _ = build(names)
    assert isinstance(vae, VAE)
    q = vae.encoder(rows)
    p = vae.decoder(q.mean)
    assert q.mean.shape == (len(rows), LATENT_DIM)
    assert p.mean.shape == rows.shape
    assert q.log_prob(q.mean).shape == p.log_prob(rows).shape == (len(rows),)
    assert vae.latent_dim == LATENT_DIM
    assert vae.prior(q).event_shape == (LATENT_DIM,)


@each_model
@torch.no_grad()
def test_the_random_start_is_centred_at_the_mean_of_the_data(names):
    vae, rows, units = build(names)
    vae.eval()
    mean = vae.decoder(torch.zeros(1, LATENT_DIM)).mean.detach().numpy()
    # Half a pseudo-count keeps logits finite: it moves a mean by less than 1/n.
    X = rows_for(names[1])
    if names[0] == "conv":
        # One bias a channel: the centre is the mean over the pixels, of the raw outputs.
        raw = vae.decoder.body(torch.zeros(1, LATENT_DIM)).detach()
        n_features = X.shape[1]
        start = LIKELIHOODS[names[1]]().start(vae.decoder.head, rows)
        wanted = start.reshape(-1, n_features).mean(1)
        expected = wanted.float().repeat_interleave(n_features)[None]
        torch.testing.assert_close(raw, expected, atol=1e-5, rtol=1e-5)
        return
    np.testing.assert_allclose(units.to_data(mean)[0], X.mean(axis=0), atol=1 / len(X))


@each_model
def test_the_same_seed_builds_the_same_bits_and_another_seed_others(names):
    first, second, other = (build(names, seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@each_model
def test_building_touches_no_global_generator_and_no_row(names):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    _, rows, units = build(names)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    np.testing.assert_array_equal(rows, units.to_model(rows_for(names[1]), np.float32))


@each_model
def test_encoder_and_decoder_share_no_weight(names):
    vae, _, _ = build(names)
    pointers = [p.data_ptr() for p in vae.parameters()]
    assert len(set(pointers)) == len(pointers)


@each_model
def test_gradients_reach_every_parameter_from_the_random_start(names):
    vae, rows, _ = build(names)
    backward(vae, rows)
    for name, parameter in vae.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@each_model
def test_gradients_reach_every_parameter_after_a_step_from_the_closed_form(names):
    vae, rows, units = build(names)
    likelihood = parts(names)[1]
    if can_start_affine(vae):
        start_affine(vae, likelihood.linear_start(rows, LATENT_DIM, units))
    optimizer = torch.optim.SGD(vae.parameters(), lr=1e-3)
    # The last layer starts at zero and shields the hidden ones in the first step.
    for seed in (1, 2):
        backward(vae, rows, seed)
        # Rates far from the data's have gradients that would end in overflow.
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
    for name, parameter in vae.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_an_autoencoder_is_trained_to_restore_what_was_corrupted():
    vae, _, rows = linear_vae(MLP((8,)))

    class Doubled(nn.Module):
        def forward(self, x):
            return 2 * x

    plain, denoising = (Autoencoder(vae.encoder, vae.decoder, c) for c in (None, Doubled()))
    assert plain.latent_dim == LATENT_DIM
    codes = plain.encode(rows).mean
    assert torch.equal(codes, vae.encoder(rows).mean)
    corrupted = denoising.encode(rows).mean
    assert torch.equal(corrupted, vae.encoder(2 * rows).mean)
    assert not torch.equal(corrupted, codes)
    # The encoder alone, which transform asks, sees the rows themselves.
    assert torch.equal(denoising.encoder(rows).mean, codes)
    # What is judged is the decoded code against the clean rows.
    value = reconstruction(denoising, rows, None).value
    assert torch.equal(value, vae.decoder(corrupted).log_prob(rows))


# -- the closed-form start ------------------------------------------------------------


@pytest.mark.parametrize("network", [MLP(()), MLP((8,)), MLP((8, 6), "tanh")], ids=repr)
def test_the_affine_start_is_the_linear_gaussian_model(network):
    vae, solution, rows = linear_vae(network)
    z = torch.randn(7, LATENT_DIM, generator=generator())
    p, q = vae.decoder(z), vae.encoder(rows)
    # Stored and computed in float32, sums of a few terms of size one.
    tol = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(p.mean.detach(), z.numpy() @ solution.loadings.T, **tol)
    np.testing.assert_allclose(p.variance.detach()[0], solution.noise_variance, **tol)
    np.testing.assert_allclose(q.mean.detach(), rows.numpy() @ solution.projection.T, **tol)
    np.testing.assert_allclose(q.stddev.detach()[0], solution.posterior_scale, **tol)


def test_without_a_solution_the_random_start_stays():
    vae, _, _ = linear_vae(MLP((8,)))
    before = copy.deepcopy(vae.state_dict())
    start_affine(vae, None)
    assert all(torch.equal(before[key], value) for key, value in vae.state_dict().items())


def test_a_network_without_a_linear_path_keeps_its_random_start():
    network = MLP((8,), linear_map=False)
    vae, _, _ = linear_vae(network)
    assert not can_start_affine(vae)
    assert vae.encoder.body.output.weight.any()


# -- the fitted module ----------------------------------------------------------------


@each_model
def test_a_fitted_module_computes_in_both_precisions(names):
    vae, rows, _ = build(names)
    fitted = Fitted(vae)
    single = fitted(torch.float32).decoder(fitted(torch.float32).encoder(rows).mean).mean
    double = fitted(torch.float64)
    x = double.decoder(double.encoder(rows.double()).mean).mean
    assert single.dtype == torch.float32
    assert x.dtype == torch.float64
    # A few layers of float32 sums over at most a few hundred terms of size one.
    torch.testing.assert_close(single.double(), x, atol=1e-4, rtol=1e-4)


def test_a_fitted_module_is_in_evaluation_and_asks_for_no_gradient():
    fitted = Fitted(linear_vae(MLP((8,)))[0])
    for dtype in (torch.float32, torch.float64):
        assert not fitted(dtype).training
        assert not any(p.requires_grad for p in fitted(dtype).parameters())


def test_the_float64_copy_is_made_once():
    fitted = Fitted(linear_vae(MLP((8,)))[0])
    assert fitted(torch.float64) is fitted(torch.float64)
    assert fitted(torch.float32) is fitted.module


def test_a_pickle_restores_the_model_and_leaves_the_float64_copy_out():
    vae, _, rows = linear_vae(MLP((8,)))
    fitted = Fitted(vae)
    before = pickle.dumps(fitted)
    expected = fitted(torch.float64).encoder(rows.double()).mean
    after = pickle.dumps(fitted)
    assert len(after) == len(before)
    restored = pickle.loads(after)
    assert torch.equal(restored(torch.float64).encoder(rows.double()).mean, expected)


@each_model
def test_every_model_can_be_pickled(names):
    vae, rows, _ = build(names)
    fitted = Fitted(vae)
    restored = pickle.loads(pickle.dumps(fitted))
    ours, theirs = (f(torch.float32).encoder(rows).mean for f in (fitted, restored))
    assert torch.equal(ours, theirs)


def test_a_trainable_copy_leaves_the_original_alone():
    vae, _, rows = linear_vae(MLP((8,)))
    fitted = Fitted(vae)
    before = fitted(torch.float32).encoder(rows).mean.clone()
    module = fitted.trainable_copy()
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    backward(module, rows)
    torch.optim.SGD(module.parameters(), lr=0.1).step()
    assert not torch.equal(module.encoder(rows).mean, before)
    assert torch.equal(fitted(torch.float32).encoder(rows).mean, before)
    assert not fitted(torch.float32).training


def test_a_trainable_copy_can_be_made_after_inference():
    # Scores are computed in inference mode, whose tensors refuse gradients later.
    vae, _, rows = linear_vae(MLP((8,)))
    fitted = Fitted(vae)
    with torch.inference_mode():
        for dtype in (torch.float32, torch.float64):
            fitted(dtype).encoder(rows.to(dtype))
    backward(fitted.trainable_copy(), rows)
    assert copy.deepcopy(fitted)(torch.float64).encoder(rows.double()).mean.isfinite().all()
