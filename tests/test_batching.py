"""Stacks: to train one is to train its members."""

import copy

import numpy as np
import pytest
import torch

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.model.objectives import OBJECTIVES
from skvae.model.stack import Stack
from skvae.networks import MLP
from skvae.posteriors import POSTERIORS
from skvae.training.loop import Plan, make_optimizer, train

N_MEMBERS, N_ROWS = 3, 24
# One-hot rows are in the support of every likelihood.
X = np.eye(6, dtype=np.float32)[np.random.RandomState(0).randint(6, size=N_ROWS)]
MODELS = [
    *(VAETransformer(likelihood=name) for name in LIKELIHOODS),
    *(VAETransformer(posterior=name) for name in POSTERIORS),
    *(VAETransformer(objective=name, n_samples=4) for name in OBJECTIVES),
    VAETransformer(likelihood=Gaussian("heteroscedastic"), network=MLP((8, 8), "tanh")),
    VAETransformer(likelihood=Gaussian("isotropic"), network=MLP(())),
    VAETransformer(likelihood=Gaussian(0.5)),
    AutoencoderTransformer(),
]
each_model = pytest.mark.parametrize("model", MODELS, ids=str)


def members_and_recipe(model):
    """Return modules at starts from different rows, and what they are trained by."""
    recipe = model.set_params(max_iter=3, batch_size=7)._prepare(X, continues=False)[0]
    rows = [recipe.rows[k::N_MEMBERS] for k in range(N_MEMBERS)]
    return [recipe.start(part, seed) for seed, part in enumerate(rows)], recipe


def values(module):
    return torch.cat([p.detach().ravel() for p in module.parameters()])


@each_model
def test_the_gradients_are_those_of_the_members_alone(model):
    members, recipe = members_and_recipe(model)
    alone = copy.deepcopy(members)
    stack = Stack(members)
    x = recipe.rows.expand(N_MEMBERS, -1, -1)
    shape = (N_MEMBERS, recipe.n_samples, N_ROWS, members[0].latent_dim)
    eps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    terms = stack.map(lambda *args: recipe._mean_terms(*args, 1.0), x, eps)
    terms[:, 0].sum().backward()
    for k, module in enumerate(alone):
        expected = recipe._mean_terms(module, x[k], eps[k], 1.0)
        torch.testing.assert_close(terms[k], expected)
        expected[0].backward()
        for common, own in zip(stack.stacked, module.parameters(), strict=True):
            torch.testing.assert_close(common.grad[k], own.grad, rtol=1e-4, atol=1e-4)


def test_training_the_stack_trains_its_members():
    members, recipe = members_and_recipe(VAETransformer())
    before = [values(member) for member in members]
    stack = Stack(members)
    for member, start in zip(members, before, strict=True):
        assert torch.equal(values(member), start)
    indices = torch.arange(N_ROWS).reshape(N_MEMBERS, -1)
    terms = recipe.stacked_loss_terms(stack, stream=1)
    plan = Plan(2, 5, 1e-2, 0.0)
    losses = list(train(stack, terms, recipe.rows, plan, recipe.generator(2), indices=indices))
    assert np.isfinite(losses).all()
    for member, start in zip(members, before, strict=True):
        assert not torch.equal(values(member), start)
    for common, *own in zip(
        stack.stacked, *(member.parameters() for member in members), strict=True
    ):
        assert torch.equal(common, torch.stack(own))


def test_each_member_sees_its_own_rows_only():
    members, recipe = members_and_recipe(VAETransformer())
    moved = copy.deepcopy(members)
    indices = torch.arange(N_ROWS).reshape(N_MEMBERS, -1)
    plan = Plan(2, 5, 1e-2, 0.0)
    for group, rows in ((members, recipe.rows), (moved, recipe.rows.clone())):
        if group is moved:
            rows[indices[0]] += 1
        stack = Stack(group)
        terms = recipe.stacked_loss_terms(stack, stream=1)
        list(train(stack, terms, rows, plan, recipe.generator(2), indices=indices))
    same = [torch.equal(values(a), values(b)) for a, b in zip(members, moved, strict=True)]
    assert same == [False, True, True]


def test_only_matrices_are_decayed():
    members, _ = members_and_recipe(VAETransformer())
    decayed, kept = make_optimizer(Stack(members), Plan(1, 5, 1e-2, 0.1)).param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decayed["params"]} == {3}
    assert {p.ndim for p in kept["params"]} == {2}


def test_the_mode_reaches_the_member_that_computes():
    members, _ = members_and_recipe(VAETransformer())
    stack = Stack(members)
    stack.eval()
    assert not any(part.training for part in members[0].modules())
    stack.train()
    assert all(part.training for part in members[0].modules())


@pytest.mark.parametrize(
    ("model", "stackable"),
    [
        (VAETransformer(), True),
        (VAETransformer(network=MLP(batch_norm=True)), False),
        (VAETransformer(network=MLP(dropout=0.1)), False),
        (AutoencoderTransformer(), True),
        (AutoencoderTransformer(noise=0.1), False),
    ],
    ids=str,
)
def test_only_what_follows_from_input_and_parameters_is_stacked(model, stackable):
    members, _ = members_and_recipe(model)
    assert all(member.stackable == stackable for member in members)
