"""Estimators on a GPU that torch pretends to have: the same results as on the CPU."""

import pickle

import numpy as np
import pytest
import torch
from export_cases import own_module, frame_of_kinds
from marginal_cases import TABLE
from mixed_cases import mixed_likelihood, mixed_table
from model_cases import SMALL, each_model, rows_for
from pretend_cuda import CUDA, CudaTensor, pretended_cuda

from skvae import AutoencoderTransformer, VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.data import rows as rows_module
from skvae.likelihoods import Gaussian
from skvae.networks import MLP, ConvNet, ModuleNetwork

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _cuda():
    with pretended_cuda():
        yield


# -- the pretended device ------------------------------------------------------------------


def values(*shape):
    return torch.ones(shape, device="cuda")


@pytest.mark.parametrize(
    "mixed",
    [
        lambda: values(2) + torch.ones(2),
        lambda: torch.ones(2).add_(values()),
        lambda: torch.cat([values(2), torch.ones(2)]),
        lambda: values(2).index_select(0, torch.tensor([0])),
        lambda: torch.ones(2)[values(2) > 0],
        lambda: torch.nn.Linear(2, 2)(values(1, 2)),
    ],
)
def test_operands_on_two_devices_are_an_error(mixed):
    with pytest.raises(RuntimeError, match="on the same device"):
        mixed()


def test_numbers_and_indices_may_be_on_the_cpu():
    x = values(3)
    x[[0]] = 2
    x[torch.tensor([1])] = torch.tensor(3.0)
    x[2:] = torch.tensor([4.0])
    assert (x * torch.tensor(2.0)).tolist() == [4, 6, 8]
    assert x[torch.tensor([True, False, True])].cpu().numpy().tolist() == [2, 4]


def test_tensors_on_a_gpu_are_no_arrays():
    for convert in (values(2).numpy, lambda: np.asarray(values(2))):
        with pytest.raises(TypeError, match="can't convert cuda"):
            convert()


def test_modules_move_and_gradients_stay():
    layer = torch.nn.Linear(2, 1).to("cuda")
    layer(values(3, 2)).sum().backward()
    for each in (layer.weight, layer.weight.grad, layer.weight.data):
        assert isinstance(each, CudaTensor)
        assert each.device == CUDA
    assert layer.cpu().weight.is_cpu


# -- the estimators ------------------------------------------------------------------------


def both(estimator, X, method="fit", **parameters):
    """Return the models that are fitted on the CPU and on the GPU."""
    defaults = {"max_iter": 3, "early_stopping": False, "random_state": 0}
    models = [
        estimator(**defaults | parameters, device=device) for device in ("cpu", "cuda")
    ]
    for model in models:
        getattr(model, method)(X)
    return models


def assert_same(on_cpu, on_cuda, X):
    """All methods give the same."""
    assert on_cpu.device_ == "cpu"
    assert on_cuda.device_ == "cuda:0"
    for part in on_cuda._fitted.module.state_dict().values():
        assert isinstance(part, CudaTensor)
    for name, values in on_cpu.history_.items():
        np.testing.assert_allclose(on_cuda.history_[name], values, rtol=1e-4, atol=1e-4)
    for function in methods_of(on_cpu, X):
        compare(*map(function, (on_cpu, on_cuda)))


def methods_of(model, X):
    """Return functions of a model."""
    yield lambda model: model.transform(X)
    yield lambda model: model.inverse_transform(model.transform(X))
    yield lambda model: model.score_samples(X)
    if hasattr(model, "sample"):
        yield lambda model: model.sample(5, random_state=0)
        yield lambda model: model.sample(5, mean=True, random_state=0)
        yield lambda model: np.column_stack(model.elbo(X))
        yield lambda model: model.latent_posterior(X)[0]
        yield lambda model: model.latent_posterior(X)[1]


def compare(on_cpu, on_cuda):
    if hasattr(on_cpu, "columns"):
        on_cpu, on_cuda = (
            each.apply(lambda c: c.cat.codes if c.dtype == "category" else c)
            for each in (on_cpu, on_cuda)
        )
    on_cpu, on_cuda = (np.asarray(each, dtype=float) for each in (on_cpu, on_cuda))
    np.testing.assert_allclose(on_cuda, on_cpu, rtol=1e-3, atol=1e-3)


@each_model
def test_every_model_is_the_same(names):
    network, likelihood, posterior = names
    options = {"network": SMALL.get(network, network), "image_shape": (8, 8)}
    X = rows_for(likelihood)
    options |= {"likelihood": likelihood, "posterior": posterior}
    assert_same(*both(VAETransformer, X, **options), X)
