"""A recipe for a small VAE."""

import torch

from skvae.likelihoods import Gaussian
from skvae.model import build_vae
from skvae.networks import MLP
from skvae.objectives import elbo
from skvae.posteriors import Diagonal
from skvae.recipe import Recipe
from skvae.training import Plan
from skvae.units import Units


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
