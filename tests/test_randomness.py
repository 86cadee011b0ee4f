"""Draws in torch leave its global generator as it was."""

import copy

import pytest
import torch

from skvae.randomness import SeededDraws, seed_torch


def test_the_seed_decides_the_draws_whatever_came_before():
    draws = []
    for seed in (0, 0, 1):
        torch.rand(3)
        with seed_torch(seed):
            draws.append(torch.rand(5))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("error", [None, KeyError])
def test_the_generator_is_put_back_after_an_error_too(error):
    before = torch.get_rng_state()
    try:
        with seed_torch(0):
            torch.rand(5)
            if error is not None:
                raise error
    except KeyError:
        pass
    assert torch.equal(torch.get_rng_state(), before)


def draw(module):
    return torch.rand(5, generator=module.next_generator("cpu"))


def test_calls_in_training_differ_and_those_in_evaluation_do_not():
    module = SeededDraws(3)
    first, second = draw(module.train()), draw(module)
    assert not torch.equal(first, second)
    assert torch.equal(draw(module.eval()), draw(module))
    assert int(module.step) == 2


def test_a_copy_and_a_restored_state_go_on_as_the_original():
    module, restored = SeededDraws(3), SeededDraws(4)
    draw(module)
    restored.load_state_dict(module.state_dict())
    twin = copy.deepcopy(module)
    following = draw(module)
    assert torch.equal(draw(twin), following)
    assert torch.equal(draw(restored), following)
