"""Modules as one whose parameters have a leading axis: to train it is to train each."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from setup_cases import make_setup, state

from skvae import AutoencoderTransformer, VAETransformer
from skvae.data.rows import Subset
from skvae.estimators.fitting import Training
from skvae.likelihoods import LIKELIHOODS, CodedCategorical, Gaussian, Mixed
from skvae.model.modules import batch_modules, member_state
from skvae.model.objectives import OBJECTIVES
from skvae.networks import MLP
from skvae.posteriors import POSTERIORS
from skvae.training.loop import train_epochs
from skvae.training.setup import Plan

N_MODULES, N_ROWS = 3, 24
# One-hot rows are in the support of every likelihood.
X = torch.eye(6)[torch.randint(6, (N_ROWS,), generator=torch.Generator().manual_seed(0))]
MODELS = [
    *(VAETransformer(likelihood=name) for name in LIKELIHOODS),
    *(VAETransformer(posterior=name) for name in POSTERIORS),
    *(VAETransformer(objective=name, n_samples=4) for name in OBJECTIVES),
    VAETransformer(likelihood="bernoulli", posterior="full", network=MLP((8, 8), "tanh")),
    VAETransformer(likelihood=Gaussian("heteroscedastic"), network=MLP((8, 8), "tanh")),
    VAETransformer(likelihood=Gaussian("isotropic"), network=MLP(())),
    VAETransformer(likelihood=Gaussian(0.5)),
    VAETransformer(
        likelihood=Mixed(
            [
                ("codes", CodedCategorical(2), [0, 3]),
                ("numbers", Gaussian("per_feature"), [1, 2]),
                ("flags", "bernoulli", [4, 5]),
            ]
        )
    ),
    AutoencoderTransformer(),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=str)


def modules_and_setup(model):
    """Return modules at starts from different rows, and what they are trained by.

    In float64: in float32 rounding alone sets two trainings apart.
    """
    training = Training(model.set_params(max_iter=3, random_state=0, device="cpu"), X.numpy())
    rows = training.setup.rows
    parts = [Subset(rows, torch.arange(k, N_ROWS, N_MODULES)) for k in range(N_MODULES)]
    setup = replace(training.setup, rows=rows.double())
    return [training.start(part).double() for part in parts], setup


def draws(setup, module, n_rows, seed):
    shape = (setup.objective.n_samples, N_MODULES, n_rows, module.latent_dim)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@each_model
def test_terms_and_gradients_are_those_of_each_alone(model):
    modules, setup = modules_and_setup(model)
    batched = batch_modules(modules)
    x = torch.stack([setup.rows.roll(k, 0) for k in range(N_MODULES)])
    eps = draws(setup, batched, N_ROWS, 0)
    terms = setup.objective.row_terms(batched, x, eps)
    assert terms.shape == (3, N_MODULES, N_ROWS)
    terms[0].mean(-1).sum().backward()
    for k, module in enumerate(modules):
        expected = setup.objective.row_terms(module, x[k], eps[:, k])
        torch.testing.assert_close(terms[:, k], expected)
        expected[0].mean().backward()
        for together, own in zip(batched.parameters(), module.parameters(), strict=True):
            torch.testing.assert_close(together.grad[k], own.grad)


@each_model
def test_training_is_that_of_each_alone(model):
    modules, setup = modules_and_setup(model)
    batched = batch_modules(modules)
    kept = torch.arange(N_ROWS).reshape(N_MODULES, -1)
    plan = Plan(epochs=3, batch_size=5, learning_rate=1e-3, weight_decay=0.1)

    def epochs(module, indices, member):
        """Train with the same draws and order, of which one alone takes its part."""
        seeds = iter(range(100))

        def loss_terms(x, epoch):
            eps = draws(setup, module, x.shape[-2], next(seeds))[:, member]
            return setup.objective.row_terms(module, x, eps).mean(-1)

        order = torch.Generator().manual_seed(1)
        return list(train_epochs(module, loss_terms, setup.rows, plan, order, indices=indices))

    together = epochs(batched, kept, slice(None))
    alone = [epochs(module, kept[k], k) for k, module in enumerate(modules)]
    np.testing.assert_allclose(together, np.moveaxis(alone, 0, -1), rtol=1e-5)
    for k, module in enumerate(modules):
        found = copy.deepcopy(module)
        found.load_state_dict(member_state(batched, k))
        torch.testing.assert_close(state(found), state(module))


def test_each_is_trained_on_its_own_rows_only():
    states = []
    for shift in (0, 1):
        start, setup = make_setup()
        batched = batch_modules([start(setup.rows) for _ in range(N_MODULES)])
        kept = torch.arange(60).reshape(N_MODULES, -1)
        setup.rows[kept[0]] += shift
        terms = setup.loss_terms(batched, "fold draws")
        order = setup.streams.generator("fold order")
        for _ in train_epochs(batched, terms, setup.rows, setup.plan, order, indices=kept):
            pass
        states.append([member_state(batched, k) for k in range(N_MODULES)])
    same = [
        all(torch.equal(value, second[name]) for name, value in first.items())
        for first, second in zip(*states, strict=True)
    ]
    assert same == [False, True, True]


def test_the_modules_stay_as_they_are():
    modules, _ = modules_and_setup(VAETransformer())
    before = [state(module) for module in modules]
    batched = batch_modules(modules)
    with torch.no_grad():
        for parameter in batched.parameters():
            parameter += 1
    assert batched.n_batch_axes == 1
    for module, values in zip(modules, before, strict=True):
        assert module.n_batch_axes == 0
        assert torch.equal(state(module), values)


@pytest.mark.parametrize(
    ("model", "can_batch"),
    [
        (VAETransformer(), True),
        (VAETransformer(network=MLP(batch_norm=True)), False),
        (VAETransformer(network=MLP(dropout=0.1)), False),
        (AutoencoderTransformer(), True),
        (AutoencoderTransformer(noise=0.1), False),
    ],
    ids=str,
)
def test_only_what_follows_from_input_and_parameters_is_batched(model, can_batch):
    modules, _ = modules_and_setup(model)
    assert all(module.can_batch == can_batch for module in modules)
