"""The steps of the optimiser: those of torch, under the rates of one cycle."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from skvae.networks import MLP
from skvae.training.setup import Plan
from skvae.training.steps import Steps, make_optimizer, one_cycle_rate


def plan(**changes):
    defaults = {"epochs": 3, "batch_size": 4, "learning_rate": 0.01, "weight_decay": 0.0}
    return Plan(**(defaults | changes))


class Linear(nn.Linear):
    n_batch_axes = 0


# -- the optimiser --------------------------------------------------------------------


@pytest.mark.parametrize("n_models", [0, 3])
def test_only_matrices_decay(n_models):
    module = Linear(3, 2)
    module.n_batch_axes = 1 if n_models else 0
    for parameter in module.parameters():
        shape = (n_models,) * module.n_batch_axes + parameter.shape
        parameter.data, parameter.grad = torch.ones(shape), torch.zeros(shape)
    make_optimizer(module, plan(learning_rate=0.1, weight_decay=0.5)).step()
    # Without a gradient a step is the decay alone: 1 - rate * decay.
    torch.testing.assert_close(module.weight, torch.full_like(module.weight, 0.95))
    assert torch.equal(module.bias, torch.ones_like(module.bias))


def test_frozen_parameters_are_left_out():
    module = Linear(3, 2)
    module.weight.requires_grad_(False)
    optimizer = make_optimizer(module, plan())
    assert [p.shape for group in optimizer.param_groups for p in group["params"]] == [(2,)]


def test_weights_that_read_many_columns_have_a_lower_rate():
    generator = torch.Generator().manual_seed(0)
    body = MLP((8,)).build_encoder(256, 4, None, generator)
    body.n_batch_axes = 0
    optimizer = make_optimizer(body, Plan(1, 8, 0.01, 0.1))
    rates = {
        name: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for name in group["param_names"]
    }
    assert rates == {
        "hidden.0.weight": (0.005, 0.1),
        "linear_map.weight": (0.005, 0.1),
        "output.weight": (0.01, 0.1),
        "hidden.0.bias": (0.01, 0.0),
        "output.bias": (0.01, 0.0),
    }
    few = MLP((8,)).build_encoder(128, 4, None, generator)
    assert few.linear_map.rate_scale == 1
    plain = MLP((8,), linear_map=False).build_encoder(256, 4, None, generator)
    assert plain.hidden[0].rate_scale == 1


# -- the steps ------------------------------------------------------------------------


def trained(step_of, missing, n_steps=12, dtype_of_bias=torch.float32):
    """Return a module after steps with the same gradients, of which some are missing."""
    generator = torch.Generator().manual_seed(0)
    module = Linear(3, 2)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    module.bias.data = module.bias.data.to(dtype_of_bias)
    optimizer = make_optimizer(module, plan(learning_rate=0.1, weight_decay=0.5))
    step = step_of(optimizer, n_steps)
    for done in range(n_steps):
        for parameter in module.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter)
        if done in missing:
            module.bias.grad = None
        step()
    return module, optimizer


def ours(optimizer, n_steps):
    return Steps(optimizer, plan(), n_steps).step


def torchs(optimizer, n_steps):
    peaks = [group["lr"] for group in optimizer.param_groups]
    scheduler = OneCycleLR(optimizer, peaks, n_steps + 1, pct_start=0.2, cycle_momentum=False)

    def step():
        optimizer.step()
        scheduler.step()

    return step


@pytest.mark.parametrize("missing", [(), (0,), (4, 5), range(12)])
@pytest.mark.parametrize("dtype_of_bias", [torch.float32, torch.float64])
def test_steps_are_those_of_torch_bit_for_bit(missing, dtype_of_bias):
    (module, optimizer), (other, reference) = (
        trained(of, missing, dtype_of_bias=dtype_of_bias) for of in (ours, torchs)
    )
    for own, theirs in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(own, theirs)
        moments, expected = optimizer.state[own], reference.state[theirs]
        assert moments.keys() == expected.keys()
        assert all(torch.equal(moments[kind], expected[kind]) for kind in expected)


def test_an_optimizer_with_moments_continues_from_them():
    module, optimizer = trained(ours, ())
    before = optimizer.state[module.weight]["step"].clone()
    steps = Steps(optimizer, plan(one_cycle=False), 3)
    for _ in range(3):
        steps.step()
    assert optimizer.state[module.weight]["step"] == before + 3


# -- the rates ------------------------------------------------------------------------


def rates(n_steps, peak=0.5):
    """Return the learning rate at each step."""
    return np.array([one_cycle_rate(peak, done, n_steps) for done in range(n_steps)])


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5, 8, 60, 797])
@pytest.mark.parametrize("peak", [0.5, 0.005, 0.005 * 128 / 784])
def test_the_rates_are_those_of_torch_bit_for_bit(peak, n_steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    rise = max(0.2, 1.5 / (n_steps + 1))
    scheduler = OneCycleLR(optimizer, peak, n_steps + 1, pct_start=rise, cycle_momentum=False)
    expected = []
    for _ in range(n_steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_array_equal(rates(n_steps, peak), expected)


@pytest.mark.parametrize("n_steps", range(1, 25))
def test_any_number_of_steps_has_rates_up_to_the_peak(n_steps):
    seen = rates(n_steps)
    assert (seen > 0).all()
    assert (seen <= 0.5).all()


def test_the_rate_rises_for_a_fifth_of_the_steps_and_falls_to_nothing():
    seen = rates(60)
    top = seen.argmax()
    assert top == pytest.approx(0.2 * 60, abs=1)
    assert seen[top] == pytest.approx(0.5, rel=1e-2)
    assert (np.diff(seen[:top]) > 0).all()
    assert (np.diff(seen[top:]) < 0).all()
    assert seen[0] < 0.1 * 0.5
    assert seen[-1] < 0.01 * 0.5


@pytest.mark.parametrize("one_cycle", [True, False])
def test_each_step_is_taken_at_its_rate(one_cycle):
    module = Linear(3, 2)
    optimizer = make_optimizer(module, plan(learning_rate=0.5))
    steps, seen = Steps(optimizer, plan(one_cycle=one_cycle), 10), []
    for _ in range(10):
        seen.append({group["lr"] for group in optimizer.param_groups})
        steps.step()
    assert seen == [{rate} for rate in (rates(10) if one_cycle else [0.5] * 10)]


def test_moments_of_weights_without_a_gradient_do_not_become_denormal():
    ours, theirs = Linear(3, 2), Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    settings = plan(one_cycle=False)
    optimizers = [make_optimizer(module, settings) for module in (ours, theirs)]
    steps = Steps(optimizers[0], settings, 1000)
    for number in range(1000):
        for module in (ours, theirs):
            for parameter in module.parameters():
                parameter.grad = torch.full_like(parameter, float(number < 5))
        steps.step()
        optimizers[1].step()
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    smallest = torch.finfo(torch.float32).smallest_normal
    mean, theirs_mean = (
        each.state[next(module.parameters())]["exp_avg"]
        for each, module in zip(optimizers, (ours, theirs), strict=True)
    )
    assert (mean == 0).all()
    # Else this would test nothing.
    assert ((theirs_mean != 0) & (theirs_mean < smallest)).all()
