"""One model, trained by two processes on their own rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from group_checks import DIGITS, IRIS, STARTS, same, start, starts
from ranks import Ranks

from skvae import AutoencoderTransformer, VAETransformer
from skvae.estimators.fitting import Training
from skvae.model.objectives import elbo
from skvae.training.steps import Steps, make_optimizer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def ranks():
    with Ranks() as both:
        yield both


# -- as one process would ------------------------------------------------------------------


def losses_of_one_process(model, X, counts):
    """Return the losses per epoch of one process on the batches and draws of several ranks."""
    training = Training(model, X)
    setup, rows = training.setup, training.setup.rows
    module = training.start(rows).train()
    n_steps = -(-len(rows) // setup.plan.batch_size)
    steps = Steps(make_optimizer(module, setup.plan), setup.plan, setup.plan.epochs * n_steps)
    streams = [replace(setup.streams, rank=rank) for rank in range(len(counts))]
    orders, draws = ([each.generator(name) for each in streams] for name in ("order", "draws"))
    first, losses = np.cumsum([0, *counts[:-1]]), []
    for _ in range(setup.plan.epochs):
        parts = zip(first, counts, orders, strict=True)
        parts = [
            (start + torch.randperm(n, generator=order)).tensor_split(n_steps)
            for start, n, order in parts
        ]
        total = 0.0
        for batch in zip(*parts, strict=True):
            eps = [
                torch.randn(1, len(p), 2, generator=g)
                for p, g in zip(batch, draws, strict=True)
            ]
            x = rows[torch.cat(batch)]
            loss = -elbo(module, x, torch.cat(eps, dim=1)).value.mean()
            module.zero_grad()
            loss.backward()
            steps.step()
            total += loss.item() * len(x)
        losses.append(total / len(rows) - training.log_jacobian)
    return losses


@pytest.mark.parametrize("share", [0.5, 0.31, 0.003])
def test_the_losses_are_those_of_one_process_on_the_same_batches(share, ranks):
    X = DIGITS[:1000]
    (_, first), (_, second) = ranks.run(same, X, share, {"batch_size": 64})
    np.testing.assert_array_equal(first, second)
    cut = round(share * len(X))
    model = VAETransformer(max_iter=3, early_stopping=False, random_state=0, batch_size=64)
    model._validate(X, reset=True, training=True)
    expected = losses_of_one_process(model, X, [cut, len(X) - cut])
    np.testing.assert_allclose(first, expected, rtol=1e-5)


def test_the_starts_are_those_of_all_rows_in_one_process(ranks):
    first, second = ranks.run(starts)
    worst = {}
    for name, (parameters, X) in STARTS.items():
        expected = start(parameters, X, VAETransformer.fit)
        for key, values in expected.items():
            np.testing.assert_array_equal(first[name][key], second[name][key])
            actual, values = (each.astype(float) for each in (first[name][key], values))
            scale = np.abs(values).max(initial=1e-30)
            worst[name, key] = np.abs(actual - values).max(initial=0.0) / scale
    assert max(worst.values()) < 1e-6, {
        key: value for key, value in worst.items() if value > 1e-6
    }


@pytest.mark.parametrize("early_stopping", ["auto", False])
@pytest.mark.parametrize("build", [VAETransformer, AutoencoderTransformer])
def test_both_ranks_have_the_same_bits_and_again_the_same(build, early_stopping, ranks):
    parameters = {"early_stopping": early_stopping, "max_iter": 2}
    runs = [ranks.run(same, IRIS, 0.4, parameters, build) for _ in range(2)]
    assert len({digest for run in runs for digest, _ in run}) == 1
