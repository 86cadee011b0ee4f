"""Folds, and the model of all rows beside them: their rows, their states, their evaluation."""

import copy

import numpy as np
import pytest
import torch
from setup_cases import curve, make_setup, state

from skvae.data import rows as rows_module
from skvae.likelihoods import LIKELIHOODS, Gaussian, Mixed
from skvae.model.modules import VAE
from skvae.networks import MLP
from skvae.posteriors import POSTERIORS
from skvae.training.folds import Folds, RowsOfEach
from skvae.training.steps import make_optimizer

# Dropout, of next to nothing, keeps the folds from being trained as one module.
ONE_BY_ONE = MLP((8,), dropout=1e-12)


# -- the rows of an epoch -----------------------------------------------------------------


def test_each_fold_keeps_to_its_rows_and_the_model_of_all_rows_gets_all_in_turn():
    kept = torch.tensor([[0, 1, 2, 3], [2, 3, 4, 5], [0, 1, 4, 5]])
    rows, generator, seen = RowsOfEach(kept, 6), torch.Generator().manual_seed(0), []
    for _ in range(40):
        *of_folds, of_all = rows.shuffled(generator)
        for own, each in zip(kept, of_folds, strict=True):
            assert sorted(each.tolist()) == own.tolist()
        assert len(of_all.unique()) == 4
        seen += of_all.tolist()
    assert rows.shape == rows.shuffled(generator).shape
    # 40 times four of six rows: each about 27 times.
    assert np.bincount(seen).min() > 15


# -- one module of all ----------------------------------------------------------------


def folds_together_and_alone(start, setup, n_splits, monkeypatch):
    """Return the same folds twice: batched and one by one."""
    together = Folds(start, setup, n_splits)
    monkeypatch.setattr(VAE, "can_batch", False)
    alone = Folds(start, setup, n_splits)
    assert (len(together.groups), len(alone.groups)) == (1, n_splits)
    return together, alone


@pytest.mark.parametrize("n", [30, 32, 334])
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "gaussian of fixed noise"])
def test_folds_as_one_module_are_evaluated_as_each_alone(likelihood, posterior, n, monkeypatch):
    X = curve(n) if likelihood != "bernoulli" else (curve(n) > 0).astype(float)
    start, setup = make_setup(
        X,
        likelihood=LIKELIHOODS.get(likelihood, lambda: Gaussian(0.5))(),
        posterior=POSTERIORS[posterior](),
    )
    together, alone = folds_together_and_alone(start, setup, 3, monkeypatch)
    for _ in together.train():
        pass
    trained = dict(together.groups[0].module.named_parameters())
    for k, group in enumerate(alone.groups):
        with torch.no_grad():
            for name, parameter in group.module.named_parameters():
                parameter.copy_(trained[name][k])
    expected = alone.evaluate([alone.copy_state()])[0]
    for batch_rows in (1000, 7):
        monkeypatch.setattr(rows_module, "BATCH_ROWS", batch_rows)
        monkeypatch.setattr(rows_module, "BATCH_ELEMENTS", 0)
        found = together.evaluate([together.copy_state()])[0]
        np.testing.assert_allclose(found.terms, expected.terms, rtol=1e-4, atol=1e-4)
        assert (found.noise is None) == (likelihood != "gaussian")
        if found.noise is not None:
            torch.testing.assert_close(found.noise, expected.noise, rtol=1e-4, atol=1e-6)
    module = start(setup.rows)
    together.load_first(together.copy_state(), module)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, trained[name][0])


def trained_folds(network=None, n_epochs=2):
    """Return folds after some epochs, and the setup's start."""
    start, setup = make_setup(curve(40), network=network)
    folds = Folds(start, setup, 4)
    epochs = folds.train()
    for _ in range(n_epochs):
        next(epochs)
    return folds, epochs, setup


def test_the_model_of_all_rows_is_taken_with_its_moments_from_a_copy_of_the_state():
    folds, epochs, setup = trained_folds()
    group = folds.groups[0]
    copied = folds.copy_state()
    expected = copy.deepcopy((dict(group.module.named_parameters()), group.optimizer.state))
    next(epochs)
    module = copy.deepcopy(folds.whole)
    optimizer = make_optimizer(module, setup.plan)
    folds.load_whole(copied, module, optimizer)
    parameters, moments = expected
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, parameters[name][-1])
        own, batched = optimizer.state[parameter], moments[parameters[name]]
        assert own["step"] == batched["step"] > 0
        for kind in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(own[kind], batched[kind][-1])


@pytest.mark.parametrize("network", [None, ONE_BY_ONE])
def test_the_first_folds_module_is_taken_from_a_copy_of_the_state(network):
    folds, epochs, _ = trained_folds(network)
    copied, module = folds.copy_state(), copy.deepcopy(folds.whole)
    first = {name: value.clone() for name, value in folds.groups[0].module.state_dict().items()}
    next(epochs)
    folds.load_first(copied, module)
    for name, value in module.named_parameters():
        assert torch.equal(value, first[name][0] if folds.has_whole else first[name])


def test_the_model_of_all_rows_has_no_part_in_the_evaluation():
    folds, *_ = trained_folds()
    before = folds.evaluate([folds.copy_state()])[0]
    with torch.no_grad():
        for parameter in folds.groups[0].module.parameters():
            parameter[-1] = torch.nan
    after = folds.evaluate([folds.copy_state()])[0]
    assert before.terms == after.terms
    assert torch.equal(before.noise, after.noise)
    assert state(folds.whole).isfinite().all()


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("likelihood", [Gaussian(), Gaussian(0.5)])
def test_states_together_are_evaluated_as_each_alone(likelihood, posterior):
    start, setup = make_setup(
        curve(33), likelihood=likelihood, posterior=POSTERIORS[posterior]()
    )
    folds = Folds(start, setup, 4)
    states = [folds.copy_state() for _ in folds.train()]
    alone = [folds.evaluate([state])[0] for state in states]
    for found, expected in zip(folds.evaluate(states), alone, strict=True):
        np.testing.assert_allclose(found.terms, expected.terms, rtol=1e-5)
        assert (found.noise is None) == (expected.noise is None)
        if found.noise is not None:
            torch.testing.assert_close(found.noise, expected.noise, rtol=1e-5, atol=0)
    assert len({evaluation.loss for evaluation in alone}) == len(states) == 3


# -- the noise ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gaussian", "mixed"])
def test_held_out_rows_are_scored_under_the_noise_that_they_show(name):
    X, likelihood = curve(33), Gaussian()
    if name == "mixed":
        X = np.c_[X[:, :1] > 0, X[:, 1:]]
        likelihood = Mixed([("rest", "gaussian", slice(1, None)), ("flag", "bernoulli", [0])])
        likelihood = likelihood.for_data(X)
    start, setup = make_setup(X, likelihood=likelihood, network=ONE_BY_ONE)
    folds = Folds(start, setup, 5)
    loss, reconstruction, kl = folds.evaluate([folds.copy_state()])[0].terms
    noise, rows = folds.evaluate([folds.copy_state()])[0].noise, []
    for module, _, _, _, held_out, _ in folds.groups:
        module.decoder.head.set_noise(noise.float())
        eps = folds.eps[:, : len(held_out)]
        rows.append(setup.objective.row_terms(module, setup.rows[held_out], eps))
    expected = torch.cat(rows, dim=1).mean(1).tolist()
    assert [loss, reconstruction, kl] == pytest.approx(expected, rel=1e-4)
