"""The device that torch pretends to have behaves as CUDA does."""

import numpy as np
import pytest
import torch
from pretend_cuda import CUDA, CudaTensor, pretended_cuda


@pytest.fixture(autouse=True)
def _cuda():
    with pretended_cuda():
        yield


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
