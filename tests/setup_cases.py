"""Small trainings, and bounds that note what they are given."""

import numpy as np
import torch

from skvae.likelihoods import Gaussian
from skvae.model.architecture import Architecture, initialize
from skvae.model.objectives import Objective, elbo
from skvae.networks import MLP
from skvae.posteriors import Diagonal
from skvae.randomness import RandomStreams
from skvae.training.evaluation import fixed_draws, mean_terms
from skvae.training.progress import Progress
from skvae.training.setup import Plan, Setup


def curve(n=60, noise=0.05):
    """Return rows near a curve in five columns."""
    rng = np.random.RandomState(0)
    t = rng.uniform(-2, 2, n)
    return np.c_[t, t**2, np.sin(2 * t), t, -t] + noise * rng.standard_normal((n, 5))


def make_setup(
    X=None,
    *,
    epochs=3,
    batch_size=32,
    learning_rate=3e-3,
    likelihood=None,
    network=None,
    posterior=None,
    seed=0,
    epochs_before=0,
    progress=None,
    **objective,
):
    """Return the start and the setup of a training, by default on the curve."""
    likelihood = Gaussian() if likelihood is None else likelihood
    if X is None:
        X = curve()
        X = X if likelihood.support[0] == -np.inf else (X > 0).astype(float)
    units = likelihood.units(X)
    setup = Setup(
        Objective(**{"bound": elbo, "epochs_before": epochs_before} | objective),
        torch.as_tensor(units.to_model(X, np.float32)),
        Plan(epochs, min(batch_size, len(X)), learning_rate, 0.01),
        RandomStreams(seed, epochs_before),
        progress or Progress(),
    )
    network, posterior = network or MLP((8,)), posterior or Diagonal()
    architecture = Architecture(
        1, None, network, likelihood, posterior, has_missing=bool(np.isnan(X).any())
    )

    def start(rows):
        module = architecture.build(units, torch.Generator().manual_seed(seed))
        initialize(module, likelihood, rows, units)
        return module

    return start, setup


def state(module):
    """Return all that a module holds as one vector."""
    return torch.cat([value.double().ravel() for value in module.state_dict().values()])


def held_out_loss(setup, module, rows):
    """Return the loss that early stopping sees on held-out rows."""
    eps = fixed_draws(setup, len(rows), module.latent_dim)
    return mean_terms(setup, module, rows, eps)[0]


class Witness:
    """A bound that notes each module's first columns in training and in evaluation."""

    def __init__(self):
        self.modules, self.trained, self.evaluated = [], [], []

    def __call__(self, module, x, eps, n_samples, beta):
        numbers = [k for k, seen in enumerate(self.modules) if seen is module]
        if not numbers:
            numbers = [len(self.modules)]
            self.modules.append(module)
            self.trained.append(set())
            self.evaluated.append(set())
        noted = self.trained if module.training else self.evaluated
        noted[numbers[0]].update(x[..., 0].ravel().tolist())
        return elbo(module, x, eps, n_samples, beta)


class Scripted:
    """A bound whose held-out losses, one for each state, are written down beforehand.

    Every module's states count from its start, a step being an epoch.
    """

    def __init__(self, losses):
        self.losses, self.steps, self.betas = losses, {}, {True: [], False: []}

    def __call__(self, module, x, eps, n_samples, beta):
        self.betas[module.training].append(beta)
        bound = elbo(module, x, eps, n_samples, beta)
        # The module is kept with its count, so that no other gets its id.
        _, steps = self.steps.get(id(module), (module, 0))
        if module.training:
            self.steps[id(module)] = module, steps + 1
            return bound
        return bound._replace(value=torch.full_like(bound.value, -float(self.losses[steps])))
