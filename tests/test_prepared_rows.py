"""Rows with missing values are completed once for a training, to what each batch would give."""

import numpy as np
import pytest
import torch
from missing_cases import with_gaps
from setup_cases import curve, make_setup, state

from skvae.data import rows as rows_module
from skvae.data.rows import MappedRows, RowsOfModels, indexed_from
from skvae.likelihoods import Bernoulli
from skvae.model.completion import Completion
from skvae.model.modules import batch_modules
from skvae.model.prepared_rows import prepared_rows
from skvae.networks import MLP
from skvae.training.fit import fit_model
from skvae.training.setup import Stopping


def rows_with_gaps(likelihood=None):
    X = curve() if likelihood is None else (curve() > 0).astype(float)
    X = with_gaps(X)
    X[3] = np.nan
    return X


def gaps_setup(likelihood=None, **changes):
    return make_setup(rows_with_gaps(likelihood), likelihood=likelihood, **changes)


@pytest.fixture
def no_memory(monkeypatch):
    """Let nothing be kept."""
    monkeypatch.setattr(rows_module, "_SMALL", 0)


def assert_same_rows(found, expected):
    for name, value in vars(expected).items():
        torch.testing.assert_close(getattr(found, name), value)


@pytest.mark.parametrize("likelihood", [None, Bernoulli()])
@pytest.mark.parametrize("keeps", [True, False])
def test_items_hold_what_the_module_completes(likelihood, keeps, request):
    start, setup = gaps_setup(likelihood)
    module = start(setup.rows)
    if not keeps:
        request.getfixturevalue("no_memory")
    rows = prepared_rows(setup.rows, module)
    assert isinstance(rows, torch.Tensor if keeps else MappedRows)
    assert rows.shape == (60, module.prepared_width)
    index = torch.tensor([5, 3, 5])
    for item in (index, slice(2, 9)):
        assert_same_rows(module.from_prepared(rows[item]), module.complete(setup.rows[item]))


@pytest.mark.parametrize("keeps", [True, False])
def test_each_of_several_models_has_its_own(keeps, request):
    start, setup = gaps_setup()
    modules = [start(setup.rows[k * 10 : 50]) for k in range(3)]
    batched = batch_modules(modules)
    if not keeps:
        request.getfixturevalue("no_memory")
    rows = prepared_rows(setup.rows, batched)
    assert isinstance(rows, RowsOfModels if keeps else MappedRows)
    assert len(rows) == 60
    indices = torch.tensor([[0, 7], [59, 1], [2, 2]])
    for n_models in (3, 2):
        found = batched.from_prepared(rows[indices[:n_models]])
        for k, index in enumerate(indices[:n_models]):
            expected = modules[k].complete(setup.rows[index])
            for name, value in vars(expected).items():
                torch.testing.assert_close(getattr(found, name)[k], value)


def test_complete_rows_are_those_that_are_given():
    start, setup = make_setup()
    assert prepared_rows(setup.rows, start(setup.rows)) is setup.rows


def test_indices_are_where_the_rows_are_kept():
    on_device = torch.empty(2, 5, 3, device="meta")
    assert indexed_from(RowsOfModels(on_device)) == torch.device("meta")
    mapped = MappedRows(on_device[0], torch.Tensor.square, 3)
    assert indexed_from(mapped) == torch.device("meta")


def fitted(mode, network, monkeypatch):
    """Return the result of a training, and the number of calls of the completion in it."""
    start, setup = gaps_setup(epochs=6, batch_size=16, network=network)
    calls, forward = [], Completion.forward
    monkeypatch.setattr(
        Completion, "forward", lambda self, *args: calls.append(0) or forward(self, *args)
    )
    return fit_model(start, setup, Stopping(mode, 0.2, 100, 0.0)), len(calls)


@pytest.mark.parametrize(
    ("mode", "network", "n_calls"),
    [
        # Besides all rows: a sample at the start and at the end, held-out ones, or all for the
        # noise; and for folds that cannot be batched those of each.
        ("all", MLP((8,)), 3),
        ("hold_out", MLP((8,)), 2),
        ("cv", MLP((8,)), 2),
        ("cv", MLP((8,), batch_norm=True), 7),
    ],
)
def test_a_training_completes_its_rows_once_to_the_same_end(
    mode, network, n_calls, monkeypatch
):
    once, n_once = fitted(mode, network, monkeypatch)
    assert n_once == n_calls
    monkeypatch.undo()
    monkeypatch.setattr(rows_module, "_SMALL", 0)
    each_time, n_more = fitted(mode, network, monkeypatch)
    assert n_more > 20
    assert once.n_kept == each_time.n_kept
    torch.testing.assert_close(state(once.module), state(each_time.module))
    for name, values in once.history.items():
        np.testing.assert_allclose(values, each_time.history[name], rtol=1e-4, atol=1e-5)
