"""The gradients of a batch: by autograd, or repeated, to the same bits."""

import numpy as np
import pytest
import torch
from missing_cases import with_gaps
from setup_cases import curve, make_setup

from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.model.objectives import OBJECTIVES
from skvae.model.prepared_rows import prepared_rows
from skvae.networks import MLP
from skvae.posteriors import POSTERIORS
from skvae.training import gradients as gradients_module
from skvae.training.gradients import Gradients


def loss_of(**changes):
    """Return the loss of a training at its start, and the rows."""
    start, setup = make_setup(**changes)
    module = start(setup.rows)
    return setup.loss_terms(module), prepared_rows(setup.rows, module)


def steps(loss, rows, n_steps):
    """Return terms and gradients of steps on batches of two sizes, and the Gradients."""
    parameters = [p for p in loss.module.parameters() if p.requires_grad]
    gradients, found = Gradients(loss, list(loss.module.parameters())), []
    for step in range(n_steps):
        batch = rows[step : step + 20 + step % 2]
        terms = gradients(batch, 0)
        found.append([terms, *(p.grad.clone() for p in parameters)])
    return found, gradients


@pytest.fixture(autouse=True)
def _record_at_once(monkeypatch):
    monkeypatch.setattr(gradients_module, "_PATIENCE", 0)


def by_autograd(loss, rows, n_steps):
    loss.can_record = False
    return steps(loss, rows, n_steps)[0]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_repeated_steps_are_those_of_autograd_to_the_bit(likelihood, posterior):
    options = {
        "likelihood": LIKELIHOODS[likelihood](),
        "posterior": POSTERIORS[posterior](),
    }
    repeated, gradients = steps(*loss_of(**options), 8)
    expected = by_autograd(*loss_of(**options), 8)
    assert len(gradients._trusted) == 2
    for found, wanted in zip(repeated, expected, strict=True):
        assert all(map(torch.equal, found, wanted))


@pytest.mark.parametrize("bound", OBJECTIVES.values(), ids=OBJECTIVES)
def test_objectives_with_several_draws_are_repeated_too(bound):
    repeated, gradients = steps(*loss_of(bound=bound, n_samples=3), 8)
    expected = by_autograd(*loss_of(bound=bound, n_samples=3), 8)
    assert len(gradients._trusted) == 2
    for found, wanted in zip(repeated, expected, strict=True):
        assert all(map(torch.equal, found, wanted))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson", "auto"])
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("bound", OBJECTIVES.values(), ids=OBJECTIVES)
def test_steps_on_rows_with_gaps_are_repeated_too(likelihood, posterior, bound):
    likelihood = LIKELIHOODS[likelihood]()
    X = curve() if likelihood.support[0] == -np.inf else (curve() > 0).astype(float)
    X = with_gaps(X)
    X[1] = np.nan
    options = {
        "X": X,
        "likelihood": likelihood,
        "posterior": POSTERIORS[posterior](),
        "bound": bound,
    }
    repeated, gradients = steps(*loss_of(**options), 8)
    expected = by_autograd(*loss_of(**options), 8)
    assert len(gradients._trusted) == 2
    for found, wanted in zip(repeated, expected, strict=True):
        assert all(map(torch.equal, found, wanted))


def test_a_loss_with_a_constant_column_is_repeated():
    loss, rows = loss_of(X=np.c_[curve(), np.full(60, 7.0)])
    _, gradients = steps(loss, rows, 4)
    assert len(gradients._trusted) == 2


def calls_of(loss, monkeypatch):
    """Note the calls of a loss in Python."""
    calls, means = [], loss.means
    monkeypatch.setattr(loss, "means", lambda *args: calls.append(0) or means(*args))
    return calls


@pytest.mark.parametrize("patience", [0, 3])
def test_python_computes_the_first_batches_of_each_size_and_two_more(patience, monkeypatch):
    monkeypatch.setattr(gradients_module, "_PATIENCE", patience)
    loss, rows = loss_of()
    calls = calls_of(loss, monkeypatch)
    steps(loss, rows, 16)
    assert len(calls) == 2 * (patience + 2)


def test_during_the_warm_up_every_batch_is_computed_anew(monkeypatch):
    loss, rows = loss_of(kl_warmup=2)
    calls, parameters = calls_of(loss, monkeypatch), list(loss.module.parameters())
    gradients, terms = Gradients(loss, parameters), []
    for epoch in range(5):
        terms += [gradients(rows, epoch) for _ in range(4)]
    assert len(calls) == 2 * 4 + 2
    weights = [float((t[0] + t[1]) / t[2]) for t in terms[::4]]
    np.testing.assert_allclose(weights, [0, 0.5, 1, 1, 1], atol=1e-4)


def test_a_loss_that_takes_numbers_from_its_batches_is_never_repeated(monkeypatch):
    loss, rows = loss_of()
    bound = loss.objective.bound

    def with_mean_as_number(module, x, *args):
        found = bound(module, x, *args)
        return found._replace(value=found.value * float(np.mean(x.numpy())))

    object.__setattr__(loss.objective, "bound", with_mean_as_number)
    found, gradients = steps(loss, rows, 8)
    assert not gradients._can_record
    assert len({float(terms[0]) for terms, *_ in found}) == 8


@pytest.mark.parametrize("network", [MLP((8,), dropout=0.5), MLP((8,), batch_norm=True)])
def test_networks_with_a_state_of_their_own_are_never_repeated(network):
    _, gradients = steps(*loss_of(network=network), 4)
    assert not gradients._can_record


class OwnGaussian(Gaussian):
    """A likelihood of the user's, whose Python code may do what a record does not show."""


def test_classes_of_the_user_are_never_recorded():
    assert not loss_of(likelihood=OwnGaussian())[0].can_record
    assert loss_of(likelihood=Gaussian())[0].can_record


def test_a_module_with_hooks_is_never_recorded():
    loss, _ = loss_of()
    loss.module.decoder.body.register_forward_hook(lambda *call: None)
    own = loss.objective
    assert not type(loss)(own, loss.module, loss.generator).can_record


def test_a_step_without_rows_has_no_gradients():
    loss, rows = loss_of()
    parameters = list(loss.module.parameters())
    gradients = Gradients(loss, parameters)
    gradients(rows, 0)
    gradients.clear()
    assert all(parameter.grad is None for parameter in parameters)
