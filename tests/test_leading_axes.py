"""Parameters with a leading axis compute several models as one, each as it does alone."""

import numpy as np
import pytest
import torch
from likelihood_cases import CASES, Case, binary_rows, example_rows
from torch.distributions import kl_divergence
from torch.func import functional_call

from skvae.likelihoods import CodedCategorical, Gaussian, Mixed, NegativeBinomial
from skvae.networks import MLP, ConvNet, ModuleNetwork
from skvae.posteriors import POSTERIORS, PointHead

N_MODELS, N_ROWS, N_DRAWS, LATENT_DIM = 3, 5, 4, 2
HEADS = {name: cls().head for name, cls in POSTERIORS.items()} | {"point": PointHead}
CONSTANT = Case(
    Gaussian(), lambda lk, n, width: np.c_[example_rows(lk, n, width - 1), np.ones(n)]
)
MIXED = Case(
    Mixed(
        [
            ("codes", CodedCategorical(2), [1]),
            ("numbers", Gaussian("per_feature"), [0]),
            ("counts", NegativeBinomial(), [2]),
        ]
    ),
    binary_rows,
)
BODIES = [MLP(()), MLP((6,)), MLP((6, 4), "tanh"), MLP((6,), linear_map=False)]


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def call_stacked(members, x):
    """Return what the first module gives of `x` with the parameters of all, stacked."""
    parts = zip(*(member.named_parameters() for member in members), strict=True)
    stacked = {same[0][0]: torch.stack([value for _, value in same]) for same in parts}
    return functional_call(members[0], stacked, (x,))


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def members_of(case):
    """Return rows in model units and heads that have learned different numbers."""
    X, _, units = case.example()
    heads = [case.likelihood.head(units) for _ in range(N_MODELS)]
    for seed, one in enumerate(heads):
        for parameter in one.parameters():
            parameter.data = 0.3 * randn(*parameter.shape, seed=seed)
    x = torch.as_tensor(units.to_model(X[: N_MODELS * N_ROWS], np.float32))
    return x.reshape(N_MODELS, N_ROWS, -1), heads


@pytest.mark.parametrize(
    "case", [*CASES.values(), CONSTANT, MIXED], ids=[*CASES, "constant", "mixed"]
)
@pytest.mark.parametrize("draws", [(), (N_DRAWS,)])
def test_likelihoods(case, draws):
    x, heads = members_of(case)
    raw = randn(*draws, N_MODELS, N_ROWS, heads[0].n_raw)
    together = call_stacked(heads, raw)
    assert together.batch_shape == raw.shape[:-1]
    for k, head in enumerate(heads):
        alone = head(raw[..., k, :, :])
        assert_close(together.log_prob(x)[..., k, :], alone.log_prob(x[k]))
        assert_close(together.mean[..., k, :, :], alone.mean)


@pytest.mark.parametrize("name", HEADS)
def test_posteriors(name):
    head = HEADS[name](LATENT_DIM)
    raw = randn(N_MODELS, N_ROWS, head.n_raw)
    eps = randn(N_DRAWS, N_MODELS, N_ROWS, LATENT_DIM, seed=1)
    together = head(raw)
    z = head.reparameterize(together, eps)
    for k in range(N_MODELS):
        alone = head(raw[k])
        assert_close(z[:, k], head.reparameterize(alone, eps[:, k]))
        if name == "point":
            continue
        assert_close(head.log_prob(together, eps)[:, k], head.log_prob(alone, eps[:, k]))
        assert_close(head.spread(together)[k], head.spread(alone))
        kl = kl_divergence(together, head.prior(together))
        assert_close(kl[k], kl_divergence(alone, head.prior(alone)))


@pytest.mark.parametrize("network", BODIES, ids=repr)
@pytest.mark.parametrize("axes", [(), (N_MODELS,), (N_DRAWS, N_MODELS)])
def test_fully_connected_bodies(network, axes):
    bodies = [
        network.build_encoder(4, 3, None, torch.Generator().manual_seed(seed))
        for seed in range(N_MODELS)
    ]
    assert bodies[0].can_batch
    for seed, body in enumerate(bodies):
        body.center_output(randn(3, seed=seed))
    # Without an axis of the models, all see the same rows.
    x = randn(*axes, N_ROWS, 4)
    together = call_stacked(bodies, x)
    for k, body in enumerate(bodies):
        assert_close(together[..., k, :, :], body(x[..., k, :, :] if axes else x))


@pytest.mark.parametrize(
    "network",
    [
        MLP((6,), batch_norm=True),
        MLP((6,), dropout=0.1),
        ConvNet((2,)),
        ModuleNetwork(torch.nn.Linear, torch.nn.Linear),
    ],
    ids=repr,
)
def test_bodies_that_cannot_say_so(network):
    body = network.build_encoder(4, 3, (2, 2, 1), torch.Generator().manual_seed(0)).eval()
    assert not body.can_batch
    x = randn(N_DRAWS, N_ROWS, 4)
    assert_close(body(x), torch.stack([body(rows) for rows in x]))
