"""Convolutional networks: shapes, sizes, the order of pixels, and batch normalisation."""

import itertools
import pickle

import numpy as np
import pytest
import torch

from skvae import VAETransformer
from skvae.likelihoods import LIKELIHOODS
from skvae.model.architecture import Architecture
from skvae.networks import ConvNet
from skvae.posteriors import POSTERIORS
from skvae.training.loop import make_optimizer
from skvae.training.setup import Plan

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

SHAPES = [(28, 20, 1), (25, 31, 1), (100, 100, 1), (7, 5, 1), (9, 9, 3)]
STEPS = [(k, s) for k, s in itertools.product(range(2, 6), range(1, 4)) if s <= k]
LATENT_DIM = 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def n_pixels(shape):
    return int(np.prod(shape))


def decoder(network, shape, n_out=None):
    n_out = n_pixels(shape) if n_out is None else n_out
    return network.build_decoder(LATENT_DIM, n_out, shape, generator())


def encoder(network, shape, n_out=2 * LATENT_DIM):
    return network.build_encoder(n_pixels(shape), n_out, shape, generator())


SIDES = (encoder, decoder)


def rates(body):
    """Return the learning rate of each parameter, for one of 0.01."""
    body.n_batch_axes = 0
    groups = make_optimizer(body, Plan(1, 8, 0.01, 0.1)).param_groups
    return {name: group["lr"] for group in groups for name in group["param_names"]}


def bernoulli_vae(network, shape=(28, 28, 1)):
    likelihood = LIKELIHOODS["bernoulli"]()
    units = likelihood.units(np.zeros((1, n_pixels(shape))))
    parts = (network, likelihood, POSTERIORS["diagonal"]())
    return Architecture(LATENT_DIM, shape, *parts).build(units, generator())


def n_trainable(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def images():
    """Two kinds of images of 6 by 5 pixels with 2 channels, as flat rows in [0, 1]."""
    rng = np.random.RandomState(0)
    X = 0.3 * rng.random_sample((65, 6, 5, 2))
    X[::2, :3, :, 0] += 0.6
    X[1::2, :, 3:, 1] += 0.6
    return X.reshape(65, -1)


# -- shapes ---------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel_size", "stride"), STEPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_height_and_width_is_given_back_exactly(shape, kernel_size, stride):
    network = ConvNet((2, 3), kernel_size, stride, (4,))
    body = decoder(network, shape)
    assert body(torch.ones(3, LATENT_DIM)).shape == (3, n_pixels(shape))
    assert encoder(network, shape)(torch.ones(3, n_pixels(shape))).shape == (3, 4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_an_odd_kernel_divides_the_sides_by_the_stride_rounded_up(shape, n_layers):
    body = encoder(ConvNet((2,) * n_layers), shape)
    x = torch.ones(1, n_pixels(shape))
    maps = body.convolutions(body.image(x).permute(0, 3, 1, 2))
    assert maps.shape[2:] == tuple(-(-side // 2**n_layers) for side in shape[:2])


@pytest.mark.parametrize("n_parameters", [1, 2, 3])
def test_a_likelihood_may_have_several_parameters_a_pixel(n_parameters):
    shape = (7, 5, 3)
    body = decoder(ConvNet((2,), linear_map=False), shape, n_parameters * 105)
    assert body(torch.ones(4, LATENT_DIM)).shape == (4, n_parameters * 105)
    bias = torch.arange(3.0 * n_parameters).reshape(n_parameters, 1, 3)
    body.center_output(bias.expand(n_parameters, 35, 3).flatten())
    # At the origin all hidden layers are zero: nothing but the bias is left.
    raw = body.eval()(torch.zeros(1, LATENT_DIM)).reshape(n_parameters, 7, 5, 3)
    torch.testing.assert_close(raw, bias[:, :, None].expand_as(raw))


def test_raw_outputs_that_are_no_whole_images_are_refused():
    with pytest.raises(ValueError, match=r"31 raw outputs.*30 pixels of image_shape"):
        decoder(ConvNet((2,)), (6, 5, 1), 31)


# -- the order of pixels and channels ---------------------------------------------------


def test_the_decoder_gives_channels_last():
    shape = (5, 4, 3)
    body = decoder(ConvNet((2,), linear_map=False), shape).eval()
    z = torch.randn(2, LATENT_DIM, generator=generator(1))
    maps = body.feature_map(body.dense(z)).permute(0, 3, 1, 2)
    images = body.output(body.convolutions(maps))
    assert images.shape == (2, 3, 5, 4)
    flat = body(z).reshape(2, *shape)
    for row, column, channel in np.ndindex(shape):
        assert torch.equal(flat[:, row, column, channel], images[:, channel, row, column])


def test_the_decoders_bias_belongs_to_its_channel():
    body = decoder(ConvNet((2,), linear_map=False), (5, 4, 3)).eval()
    z = torch.randn(2, LATENT_DIM, generator=generator(1))
    before = body(z).reshape(2, 5, 4, 3)
    with torch.no_grad():
        body.output.bias[1] += 1
    moved = body(z).reshape(2, 5, 4, 3) - before
    expected = torch.tensor([0.0, 1.0, 0.0]).expand_as(moved)
    torch.testing.assert_close(moved, expected)


def test_the_encoder_takes_channels_last():
    body = encoder(ConvNet((2,), 1, 1, (), activation="identity"), (5, 4, 3))
    with torch.no_grad():
        # Only the second channel is looked at.
        body.convolutions[0][0].weight[:, [0, 2]] = 0
    x = torch.rand(2, 5, 4, 3, generator=generator(1))
    other = x.clone()
    other[..., [0, 2]] += 1
    assert torch.equal(body(x.flatten(1)), body(other.flatten(1)))
    other[..., 1] += 1
    assert not torch.equal(body(x.flatten(1)), body(other.flatten(1)))


# -- sizes ----------------------------------------------------------------------------


def test_the_published_network_has_the_size_it_says():
    vae = bernoulli_vae(ConvNet(linear_map=False))
    assert n_trainable(vae.encoder) == 69_076
    assert n_trainable(vae.decoder) == 65_089


def test_batch_normalisation_adds_a_scale_a_shift_and_two_statistics_a_channel():
    options = {"linear_map": False, "batch_norm": True}
    vae = bernoulli_vae(ConvNet((8, 16), hidden_layer_sizes=(20,), **options))
    statistics = [b.numel() for name, b in vae.named_buffers() if "running" in name]
    assert n_trainable(vae) == 24_641
    assert sum(statistics) == 1_704


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [3, 4, 5])
def test_signals_keep_their_size_through_the_decoder(kernel_size, stride):
    body = decoder(ConvNet((32, 64), kernel_size, stride), (40, 40, 1)).eval()
    raw = body(torch.randn(50, LATENT_DIM, generator=generator(1)))
    # He's start keeps the mean square; it would fade or grow by orders of magnitude else.
    assert 0.2 < raw.square().mean().sqrt() < 5


# -- batch normalisation --------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_batch_of_one_row_trains(n_rows):
    network = ConvNet((2,), hidden_layer_sizes=(4,), batch_norm=True)
    for body in (encoder(network, (6, 5, 2)), decoder(network, (6, 5, 2))):
        n_in = 60 if body.__class__.__name__ == "ConvEncoder" else LATENT_DIM
        out = body.train()(torch.rand(n_rows, n_in, generator=generator(1)))
        out.square().sum().backward()
        assert out.isfinite().all()
        assert all(part.training for part in body.modules())


def test_the_last_batch_of_one_row_trains(images):
    network = ConvNet((2,), batch_norm=True)
    vae = VAETransformer(network=network, image_shape=(6, 5, 2), batch_size=64, max_iter=2)
    vae.set_params(early_stopping=False, random_state=0).fit(images)
    assert np.isfinite(vae.loss_curve_).all()


def test_with_batch_normalisation_rows_do_not_depend_on_their_batch(quick, images):
    network = ConvNet((2,), batch_norm=True)
    vae = quick(network=network, image_shape=(6, 5, 2)).fit(images)
    for method in (vae.transform, vae.score_samples):
        together = method(images)
        alone = np.concatenate([method(images[i : i + 1]) for i in range(len(images))])
        # Sums of some tens of terms in another order.
        np.testing.assert_allclose(alone, together, rtol=1e-9, atol=1e-9)


# -- the linear map beside the convolutions ---------------------------------------------


@pytest.mark.parametrize("linear_map", [True, False])
def test_a_closed_form_needs_the_linear_map(linear_map):
    vae = bernoulli_vae(ConvNet((2,), linear_map=linear_map))
    assert vae.encoder.body.can_be_affine == linear_map
    assert vae.decoder.body.can_be_affine == linear_map


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("n_parameters", [1, 2])
def test_set_affine_is_exact(n_parameters, shape, batch_norm):
    network, n = ConvNet((2, 3), batch_norm=batch_norm), n_pixels(shape)
    bodies = {
        n: encoder(network, shape, 2 * n_parameters),
        LATENT_DIM: decoder(network, shape, n_parameters * n),
    }
    for n_in, body in bodies.items():
        x = torch.randn(5, n_in, generator=generator(1), dtype=torch.float64)
        n_out = body(x.float()).shape[1]
        weight = torch.randn(n_out, n_in, generator=generator(2))
        bias = torch.randn(n_out, generator=generator(3))
        body.set_affine(weight, bias)
        expected = x @ weight.double().T + bias.double()
        torch.testing.assert_close(body.double()(x), expected, rtol=1e-12, atol=1e-12)


def test_after_set_affine_the_convolutions_learn():
    for body in (encoder(ConvNet((2,)), (6, 5, 2)), decoder(ConvNet((2,)), (6, 5, 2))):
        weight = body.linear_map.weight
        body.set_affine(torch.ones_like(weight), torch.ones(len(weight)))
        x = torch.randn(9, weight.shape[1], generator=generator(1))
        optimizer = torch.optim.SGD(body.parameters(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            body(x).square().sum().backward()
            optimizer.step()
        for name, parameter in body.named_parameters():
            assert parameter.grad.any(), name


def test_without_a_closed_form_the_linear_map_changes_nothing_yet():
    x, z = (torch.randn(5, n, generator=generator(1)) for n in (60, LATENT_DIM))
    for build, rows in ((encoder, x), (decoder, z)):
        with_map, without = (build(ConvNet((2,), linear_map=on), (6, 5, 2)) for on in (1, 0))
        torch.testing.assert_close(with_map(rows), without(rows))


@pytest.mark.parametrize("linear_map", [True, False])
def test_weights_beside_a_linear_map_have_a_lower_rate(linear_map):
    bodies = [build(ConvNet((2,), linear_map=linear_map), (16, 16, 1)) for build in SIDES]
    encoder_rates, decoder_rates = map(rates, bodies)
    beside = 0.0025 if linear_map else 0.01
    for each in (encoder_rates, decoder_rates):
        assert each["convolutions.0.0.weight"] == each["dense.0.weight"] == beside
        assert each["output.weight"] == each["dense.0.bias"] == 0.01
    if linear_map:
        # Half the rate for twice as many columns as have the full one, of the fourth.
        assert encoder_rates["linear_map.weight"] == 0.00125
        assert decoder_rates["linear_map.weight"] == 0.01
        assert decoder_rates["refinement.0.weight"] == 0.01


# -- at the level of the estimator ----------------------------------------------------


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "continuous_bernoulli"])
def test_a_convolutional_model_learns_images(likelihood, images, quick):
    network = ConvNet((8,), activation="leaky_relu")
    vae = quick(network=network, likelihood=likelihood, image_shape=(6, 5, 2), max_iter=60)
    vae.set_params(batch_size=8).fit(images[:-1])
    start = quick(network=network, likelihood=likelihood, image_shape=(6, 5, 2), max_iter=0)
    assert vae.score(images) > start.fit(images[:-1]).score(images)
    error = np.square(vae.inverse_transform(vae.transform(images)) - images).mean()
    assert error < 0.5 * images.var(axis=0).mean()
    restored = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(restored.transform(images), vae.transform(images))


@pytest.mark.parametrize("network", ["conv", ConvNet((2,))])
def test_a_missing_image_shape_is_asked_for(network, images, quick):
    with pytest.raises(ValueError, match=r"ConvNet.*set image_shape=\(H, W\)"):
        quick(network=network).fit(images)


@pytest.mark.parametrize(
    "shape", [(6, 5), (6, 5, 3), (60,), (1, 6, 5, 2), (6.0, 10), (-6, -10)]
)
def test_an_image_shape_that_does_not_fit_the_rows_is_refused(shape, images, quick):
    with pytest.raises(ValueError, match=r"image_shape=.* 60 features"):
        quick(network=ConvNet((2,)), image_shape=shape).fit(images)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"channels": ()}, "channels must have at least one layer"),
        ({"channels": (4, 0)}, r"channels must be positive integers, got \(4, 0\)"),
        ({"channels": 4}, "'channels' parameter of ConvNet must be"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes must be positive integers"),
        ({"kernel_size": 0}, "'kernel_size' parameter of ConvNet must be"),
        ({"stride": 4}, "stride=4 is larger than kernel_size=3"),
        ({"activation": "swish"}, "'activation' parameter of ConvNet must be"),
        ({"linear_map": "yes"}, "'linear_map' parameter of ConvNet must be"),
    ],
)
def test_bad_hyper_parameters_are_refused_by_name(parameters, message, images, quick):
    with pytest.raises(ValueError, match=message):
        quick(network=ConvNet(**parameters), image_shape=(6, 5, 2)).fit(images)
