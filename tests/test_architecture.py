"""Modules at their start, for every network, likelihood and posterior."""

import numpy as np
import pytest
import torch
from model_cases import (
    LATENT_DIM,
    SMALL,
    build,
    each_model,
    generator,
    linear_rows,
    linear_vae,
    rows_for,
)
from torch import nn

from skvae.data.units import Units
from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.model.architecture import Architecture
from skvae.model.objectives import elbo
from skvae.networks import MLP, NETWORKS
from skvae.posteriors import POSTERIORS


def backward(vae, rows, seed=1):
    eps = torch.randn(1, len(rows), LATENT_DIM, generator=generator(seed))
    vae.zero_grad()
    (-elbo(vae, rows, eps).value.mean()).backward()


# -- random weights ------------------------------------------------------------------------


@each_model
def test_encoder_and_decoder_are_distributions_over_codes_and_rows(names):
    vae, rows, _ = build(names)
    q = vae.encoder(rows)
    p = vae.decoder(q.mean)
    assert q.mean.shape == (len(rows), LATENT_DIM)
    assert p.mean.shape == rows.shape
    assert q.log_prob(q.mean).shape == p.log_prob(rows).shape == (len(rows),)
    assert vae.latent_dim == LATENT_DIM
    assert vae.prior(q).event_shape == (LATENT_DIM,)


@each_model
@torch.no_grad()
def test_the_start_is_centred_at_the_mean_of_the_data(names):
    vae, _, units = build(names)
    vae.eval()
    X, z = rows_for(names[1]), torch.zeros(1, LATENT_DIM)
    # Half a pseudo-count keeps logits finite: it moves a mean by less than 1/n.
    mean = units.to_data(vae.decoder(z).mean.numpy())[0]
    np.testing.assert_allclose(mean, X.mean(axis=0), atol=1 / len(X))


@each_model
def test_the_same_seed_builds_the_same_bits_and_another_seed_others(names):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second, other = (build(names, seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@each_model
def test_gradients_reach_every_parameter(names):
    vae, rows, _ = build(names)
    backward(vae, rows)
    for name, parameter in vae.named_parameters():
        assert parameter.grad.isfinite().all(), name
        # The second convolution of the refinement is zero and shields the first.
        shielded = name.startswith("decoder.body.refinement.0.")
        assert parameter.grad.any() or shielded, name


@pytest.mark.parametrize("noise", ["gaussian", "masking"])
def test_only_a_denoising_autoencoder_has_a_corruption(noise):
    parts = (LATENT_DIM, None, MLP((8,)), Gaussian(), None)
    units = Units.identity(5)
    plain, denoising = (
        Architecture(*parts, strength, noise).build(units, generator())
        for strength in (0.0, 0.3)
    )
    assert plain.corruption is None
    x = linear_rows()
    assert torch.equal(plain.encode(x).mean, plain.encoder(x).mean)
    assert not torch.equal(denoising.encode(x).mean, denoising.encoder(x).mean)


# -- the closed form -----------------------------------------------------------------------


@pytest.mark.parametrize("network", [MLP(()), MLP((8,)), MLP((8, 6), "tanh")], ids=repr)
def test_the_closed_form_is_the_linear_gaussian_model(network):
    vae, rows = linear_vae(network), linear_rows()
    solution = Gaussian().closed_form(rows, LATENT_DIM, Units.identity(5))
    z = torch.randn(7, LATENT_DIM, generator=generator())
    p, q = vae.decoder(z), vae.encoder(rows)
    # Stored and computed in float32, sums of a few terms of size one.
    tol = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(p.mean.detach(), z.numpy() @ solution.loadings.T, **tol)
    np.testing.assert_allclose(p.variance.detach()[0], solution.noise_variance, **tol)
    np.testing.assert_allclose(q.mean.detach(), rows.numpy() @ solution.projection.T, **tol)
    np.testing.assert_allclose(q.stddev.detach()[0], solution.posterior_scale, **tol)


@each_model
def test_gradients_reach_every_parameter_after_a_step_from_the_closed_form(names):
    vae, rows, _ = build(names, closed_form=True)
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


@each_model
def test_where_there_is_no_closed_form_the_random_weights_stay(names):
    random, closed = (
        build(names, closed_form=which)[0].state_dict() for which in (False, True)
    )
    same = all(torch.equal(random[name], closed[name]) for name in random)
    assert same is not LIKELIHOODS[names[1]]().has_closed_form


def test_a_network_without_a_linear_path_keeps_its_random_weights():
    vae = linear_vae(MLP((8,), linear_map=False))
    assert vae.encoder.body.output.weight.any()


# -- a model that is continued -------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"latent_dim": 3},
        {"image_shape": (4, 16, 1)},
        {"network": MLP((9,))},
        {"requested_likelihood": Gaussian("isotropic")},
        {"posterior": POSTERIORS["full"]()},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_changed_part_is_refused_by_its_name(changed):
    parts = {
        "latent_dim": LATENT_DIM,
        "image_shape": (8, 8, 1),
        "network": SMALL["mlp"],
        "likelihood": Gaussian(),
        "posterior": POSTERIORS["diagonal"](),
        "requested_likelihood": Gaussian(),
    }
    fitted = Architecture(**parts)
    chosen = parts | {"likelihood": Gaussian("per_feature")}
    fitted.check_unchanged(Architecture(**chosen, noise=0.3, corruption="masking"))
    name = next(iter(changed)).removeprefix("requested_")
    with pytest.raises(ValueError, match=rf"with {name}=.*cannot be continued.*warm_start=F"):
        fitted.check_unchanged(Architecture(**parts | changed))


def test_its_fields_describe_it():
    architecture = Architecture(LATENT_DIM, None, NETWORKS["mlp"](), Gaussian(), None, 0.3)
    assert Architecture(**architecture.to_dict()) == architecture
