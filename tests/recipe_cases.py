"""A recipe for a small VAE."""

import torch

from skvae.data.units import Units
from skvae.likelihoods import Gaussian
from skvae.model.modules import build_vae
from skvae.model.objectives import elbo
from skvae.networks import MLP
from skvae.posteriors import Diagonal
from skvae.training.loop import Plan
from skvae.training.recipe import Recipe


def make_recipe(n=30, epochs=3, seed=0, objective=elbo, n_samples=1):
    rows = torch.randn(n, 4, generator=torch.Generator().manual_seed(9))

    def start(rows, seed):
        generator = torch.Generator().manual_seed(seed)
        parts = (MLP((5,)), Gaussian(), Diagonal())
        return build_vae(*parts, rows, Units.identity(4), 2, None, generator)

    plan = Plan(epochs, 8, 3e-3, 0.01)
    return Recipe(start, objective, n_samples, plan, rows, seed)


def started(recipe):
    return recipe.start(recipe.rows, recipe.seed)
