"""Network bodies: flat rows in, flat rows out, from a generator of their own."""

import pickle

import numpy as np
import pytest
import torch

from skvae.components import resolve
from skvae.networks import MLP, NETWORKS, ConvNet, ModuleNetwork
from skvae.networks.base import ACTIVATIONS

N_FEATURES, LATENT_DIM = 64, 3
# Raw outputs of a Gaussian posterior, and of likelihoods with one parameter and two.
N_RAW = {"encoder": [1, 5, N_FEATURES], "decoder": [N_FEATURES, 2 * N_FEATURES]}

# A smaller object than the default where that saves time; others are taken as they are.
IMAGE_SHAPE = (8, 8, 1)
SMALL = {"mlp": MLP((16, 8)), "conv": ConvNet((4,))}
OBJECTS = {name: SMALL.get(name, cls()) for name, cls in NETWORKS.items()}
each_network = pytest.mark.parametrize("network", OBJECTS.values(), ids=OBJECTS)
WITH_LINEAR_PATH = [
    MLP(()),
    MLP((8,)),
    MLP((8, 4)),
    MLP((), linear_map=False),
    MLP((8,), "logistic"),
]
each_side = pytest.mark.parametrize("side", ["encoder", "decoder"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(network, side, seed=0, n_raw=None):
    """Return a body and rows that it takes."""
    n_in = N_FEATURES if side == "encoder" else LATENT_DIM
    n_out = n_raw or (5 if side == "encoder" else N_FEATURES)
    body = getattr(network, f"build_{side}")(n_in, n_out, IMAGE_SHAPE, generator(seed))
    return body, torch.randn(7, n_in, generator=generator(99))


def parameters(body):
    return torch.cat([p.detach().ravel() for p in body.parameters()])


@each_network
@pytest.mark.parametrize(("side", "n_raw"), [(s, n) for s in N_RAW for n in N_RAW[s]])
def test_a_body_maps_rows_to_raw_outputs(network, side, n_raw):
    body, x = build(network, side, n_raw=n_raw)
    assert body(x).shape == (7, n_raw)


@each_network
def test_a_decoder_takes_several_draws_of_each_row(network):
    body, z = build(network, "decoder")
    body.eval()
    draws = torch.stack([z, -z])
    torch.testing.assert_close(body(draws), torch.stack([body(z), body(-z)]))


@each_network
@each_side
def test_a_body_computes_in_float64_when_converted(network, side):
    body, x = build(network, side)
    single = body.eval()(x)
    double = body.double()(x.double())
    assert double.dtype == torch.float64
    # A few layers of float32 sums over at most a few hundred terms of size one.
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)


@each_network
@each_side
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(network, side):
    first, second, other = (parameters(build(network, side, seed)[0]) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@each_network
@each_side
def test_building_draws_nothing_from_the_global_generators(network, side):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    build(network, side)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@each_network
@each_side
def test_building_leaves_the_parameter_object_as_it_was(network, side):
    before = dict(vars(network))
    build(network, side)
    assert vars(network) == before


@each_network
@each_side
def test_all_weights_are_finite_and_all_biases_zero(network, side):
    for name, parameter in build(network, side)[0].named_parameters():
        assert parameter.isfinite().all(), name
        if name.endswith("bias"):
            assert not parameter.any(), name


@each_network
def test_center_output_shifts_the_output_to_it(network):
    body, z = build(network, "decoder")
    body.eval()
    # The same for all pixels: a convolution has one bias a channel.
    before, bias = body(z), torch.full((N_FEATURES,), 1.5)
    body.center_output(bias)
    torch.testing.assert_close(body(z), before + bias)


@each_network
@each_side
def test_every_parameter_gets_a_gradient(network, side):
    body, x = build(network, side)
    # Layers that start at zero hide those before them from the first gradient.
    optimizer = torch.optim.SGD(body.parameters(), lr=1e-4)
    for _ in range(3):
        optimizer.zero_grad()
        body(x).square().sum().backward()
        optimizer.step()
    for name, parameter in body.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_weights_have_the_variance_of_he():
    body = MLP((300, 200)).build_encoder(400, 300, None, generator())
    for name, weight in body.named_parameters():
        if name.endswith("weight"):
            n, scale = weight.numel(), (2 / weight.shape[1]) ** 0.5
            # Standard errors of a mean and of a standard deviation, four of each.
            assert abs(weight.mean()) < 4 * scale / n**0.5, name
            assert abs(weight.std() - scale) < 4 * scale / (2 * n) ** 0.5, name


@pytest.mark.parametrize("network", WITH_LINEAR_PATH, ids=repr)
@each_side
def test_set_affine_is_exact(network, side):
    body, x = build(network, side, n_raw=5)
    weight = torch.randn(5, x.shape[1], generator=generator(1))
    bias = torch.randn(5, generator=generator(2))
    body.set_affine(weight, bias)
    expected = x.double() @ weight.double().T + bias.double()
    torch.testing.assert_close(body.double()(x.double()), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(), (8,), (8, 4)])
@pytest.mark.parametrize("linear_map", [True, False])
def test_an_closed_form_output_needs_a_linear_path(sizes, linear_map):
    body, _ = build(MLP(sizes, linear_map=linear_map), "encoder")
    assert body.can_be_affine == (linear_map or not sizes)


def test_set_affine_accepts_the_closed_forms_float64():
    body, x = build(MLP((8,)), "encoder")
    body.set_affine(torch.ones(5, N_FEATURES, dtype=torch.float64), torch.zeros(5))
    assert body(x).dtype == torch.float32


@each_side
def test_after_an_closed_form_output_the_hidden_layers_learn_from_the_second_step(side):
    body, x = build(MLP((8, 4)), side, n_raw=5)
    body.set_affine(torch.zeros(5, x.shape[1]), torch.ones(5))
    first_layer = body.hidden[0].weight
    optimizer = torch.optim.SGD(body.parameters(), lr=0.01)
    gradients = []
    for _ in range(2):
        optimizer.zero_grad()
        body(x).square().sum().backward()
        optimizer.step()
        gradients.append(first_layer.grad.abs().sum())
    assert gradients[0] == 0
    assert gradients[1] > 0


def test_without_hidden_layers_a_body_is_one_linear_map():
    # A second linear map beside it would only double the parameters.
    body, _ = build(MLP(()), "encoder")
    assert [tuple(p.shape) for p in body.parameters()] == [(5, N_FEATURES), (5,)]


def test_the_decoder_has_the_encoders_layers_in_reverse():
    network = MLP((16, 8), linear_map=False)
    widths = {
        side: [p.shape[0] for p in build(network, side, n_raw=5)[0].parameters() if p.ndim == 2]
        for side in ("encoder", "decoder")
    }
    assert widths == {"encoder": [16, 8, 5], "decoder": [8, 16, 5]}


@pytest.mark.parametrize("sizes", [8, [8], (np.int64(8),), np.array([8])])
def test_sizes_may_be_an_integer_or_any_sequence(sizes):
    network = resolve(MLP(sizes), NETWORKS)
    body, _ = build(network, "encoder")
    assert torch.equal(parameters(body), parameters(build(MLP((8,)), "encoder")[0]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_builds_and_only_identity_is_linear(activation):
    body, x = build(resolve(MLP((8,), activation), NETWORKS), "encoder")
    odd, homogeneous = {"identity", "tanh", "logistic"}, {"identity", "relu", "leaky_relu"}
    body.double()
    x, zero = x.double(), torch.zeros(1, N_FEATURES, dtype=torch.float64)
    middle = (body(x) + body(-x)) / 2 - body(zero)
    # Rounding of a hundred float64 terms.
    assert (middle.abs().max() < 1e-12) == (activation in odd)
    doubled = body(2 * x) + body(zero) - 2 * body(x)
    assert (doubled.abs().max() < 1e-12) == (activation in homogeneous)


@pytest.mark.parametrize(
    ("activation", "value"),
    [("logistic", 1 / (1 + np.exp(-1))), ("tanh", np.tanh(1)), ("relu", 1), ("identity", 1)],
)
def test_activations_are_those_of_mlp_regressor(activation, value):
    assert ACTIVATIONS[activation]()(torch.ones(())).item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": 0}, "'hidden_layer_sizes' parameter of MLP must be"),
        ({"hidden_layer_sizes": -3}, "'hidden_layer_sizes' parameter of MLP must be"),
        ({"hidden_layer_sizes": None}, "'hidden_layer_sizes' parameter of MLP must be"),
        ({"hidden_layer_sizes": "128"}, "'hidden_layer_sizes' parameter of MLP must be"),
        ({"hidden_layer_sizes": (8, 0)}, r"positive integers, got \(8, 0\)"),
        ({"hidden_layer_sizes": (8.5,)}, r"positive integers, got \(8.5,\)"),
        ({"hidden_layer_sizes": ((8,), 4)}, "positive integers"),
        ({"hidden_layer_sizes": ("8",)}, "positive integers"),
        ({"activation": "swish"}, "'activation' parameter of MLP must be a str among"),
        ({"activation": None}, "'activation' parameter of MLP must be a str among"),
        ({"linear_map": "yes"}, "'linear_map' parameter of MLP must be"),
    ],
)
def test_bad_hyper_parameters_are_refused_by_name(parameters, message):
    with pytest.raises(ValueError, match=message):
        resolve(MLP(**parameters), NETWORKS)


# -- torch's default dtype ----------------------------------------------------------------


@pytest.fixture
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def normed(n_in, n_out):
    layers = torch.nn.Linear(n_in, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, n_out)
    return torch.nn.Sequential(*layers)


@pytest.mark.usefixtures("float64_by_default")
@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "network",
    [MLP((6,), batch_norm=True), ConvNet((2,), batch_norm=True), ModuleNetwork(normed, normed)],
    ids=["mlp", "conv", "module"],
)
def test_networks_do_not_depend_on_the_default_dtype(network, quick, iris):
    model = quick(network=network, image_shape=(2, 2)).fit(iris)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.score_samples(iris), model.score_samples(iris))
    if not isinstance(network, ModuleNetwork):  # the user's layers draw in the default dtype
        torch.set_default_dtype(torch.float32)
        np.testing.assert_array_equal(model.fit(iris).transform(iris), twin.transform(iris))
