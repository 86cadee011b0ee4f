"""The torch modules: conditional distributions, the autoencoder, the fitted module."""

import copy

import torch
from model_cases import LATENT_DIM, build, each_model, generator, linear_rows, linear_vae
from torch import nn

from skvae.model.modules import (
    Autoencoder,
    Conditional,
    FittedModule,
    widest_layer,
)
from skvae.model.objectives import elbo, reconstruction
from skvae.networks import MLP
from skvae.posteriors import Diagonal


class Doubled(nn.Module):
    """Stands for a corruption or a transform."""

    def forward(self, x):
        return 2 * x


# -- conditional distributions -----------------------------------------------------------


def test_a_conditional_is_the_head_of_the_body():
    body, head, x = nn.Linear(3, 4), Diagonal().head(2), torch.ones(5, 3)
    assert torch.equal(Conditional(body, head)(x).mean, body(x)[:, :2])
    assert torch.equal(Conditional(body, head, Doubled())(x).mean, body(2 * x)[:, :2])


def test_only_the_bodys_products_in_training_are_in_the_training_dtype():
    conditional, x = Conditional(nn.Linear(3, 4), Diagonal().head(2)), torch.randn(5, 3)
    exact = conditional(x).mean
    conditional.training_dtype = torch.bfloat16
    rounded = conditional.train()(x).mean
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)
    assert torch.equal(conditional.eval()(x).mean, exact)


def test_an_autoencoder_is_trained_to_restore_what_was_corrupted():
    vae, rows = linear_vae(), linear_rows()
    plain, denoising = (Autoencoder(vae.encoder, vae.decoder, c) for c in (None, Doubled()))
    codes = plain.encode(rows).mean
    assert torch.equal(codes, vae.encoder(rows).mean)
    corrupted = denoising.encode(rows).mean
    assert torch.equal(corrupted, vae.encoder(2 * rows).mean)
    # The encoder alone, which transform asks, sees the rows themselves.
    assert torch.equal(denoising.encoder(rows).mean, codes)
    # What is evaluated is the decoded code against the clean rows.
    value = reconstruction(denoising, rows, None).value
    assert torch.equal(value, vae.decoder(corrupted).log_prob(rows))


def test_a_model_can_be_one_of_several_where_both_bodies_can():
    assert linear_vae().can_batch
    assert not linear_vae(MLP((8,), batch_norm=True)).can_batch
    vae = linear_vae()
    assert Autoencoder(vae.encoder, vae.decoder).can_batch
    assert not Autoencoder(vae.encoder, vae.decoder, Doubled()).can_batch


# -- the fitted module ---------------------------------------------------------------------


def test_the_widest_layer_counts_elements_per_row():
    assert widest_layer(linear_vae(MLP((50, 6))), 5) == 50
    assert FittedModule(linear_vae(MLP((3, 70))), 5).width == 70


@each_model
def test_a_fitted_module_computes_in_both_precisions(names):
    vae, rows, _ = build(names)
    fitted = FittedModule(vae, rows.shape[1])
    single, double = fitted(torch.float32), fitted(torch.float64)
    actual = single.decoder(single.encoder(rows).mean).mean
    expected = double.decoder(double.encoder(rows.double()).mean).mean
    assert actual.dtype == torch.float32
    assert expected.dtype == torch.float64
    # A few layers of float32 sums over at most a few hundred terms of size one.
    torch.testing.assert_close(actual.double(), expected, atol=1e-4, rtol=1e-4)
    for module in (single, double):
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())


def test_a_trainable_copy_leaves_the_original_alone():
    vae, rows = linear_vae(), linear_rows()
    fitted = FittedModule(vae, 5)
    before = fitted(torch.float32).encoder(rows).mean.clone()
    module = fitted.trainable_copy()
    assert module.training
    nn.init.ones_(module.encoder.body.output.weight)
    assert not torch.equal(module.encoder(rows).mean, before)
    assert torch.equal(fitted(torch.float32).encoder(rows).mean, before)
    assert not fitted(torch.float32).training


def test_what_was_frozen_stays_frozen_in_a_trainable_copy():
    vae = linear_vae()
    vae.encoder.body.output.weight.requires_grad_(False)
    fitted = FittedModule(vae, 5)
    frozen = [n for n, p in fitted.trainable_copy().named_parameters() if not p.requires_grad]
    assert frozen == fitted.frozen == ["encoder.body.output.weight"]


def test_a_trainable_copy_can_be_made_after_inference():
    # Scores are computed in inference mode, whose tensors refuse gradients later.
    vae, rows = linear_vae(), linear_rows()
    fitted = FittedModule(vae, 5)
    with torch.inference_mode():
        for dtype in (torch.float32, torch.float64):
            fitted(dtype).encoder(rows.to(dtype))
    eps = torch.randn(1, len(rows), LATENT_DIM, generator=generator())
    elbo(fitted.trainable_copy(), rows, eps).value.mean().backward()
    assert copy.deepcopy(fitted)(torch.float64).encoder(rows.double()).mean.isfinite().all()
