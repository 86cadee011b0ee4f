"""The batches of an epoch, and gradients over the rows of several ranks."""

import pytest
import torch
from torch import nn

from skvae.training.epoch_steps import GroupSteps, OwnSteps


class FakeGroup:
    """A group in one process: the gradients of the other ranks are given."""

    def __init__(self, counts, others=(), stops=()):
        self.counts, self.others, self.stops = counts, list(others), list(stops)

    def gather(self, value):
        return self.counts

    def begin_steps(self, buffers):
        self.buffers = buffers

    def add(self, stop, is_last):
        if self.others:
            self.buffers[0][:-2] += self.others.pop(0)
        return stop or (bool(self.stops) and self.stops.pop(0))


def group_steps(counts, batch_size, rank=0, parameters=(), **options):
    parameters = list(parameters) or [nn.Parameter(torch.zeros(1))]
    return GroupSteps(FakeGroup(counts, **options), counts[rank], batch_size, parameters)


def test_own_batches_are_those_of_split():
    steps, order = OwnSteps(10, 4), torch.randperm(10)
    assert [b.tolist() for b in steps.batches(order)] == [b.tolist() for b in order.split(4)]
    assert (steps.n_steps, steps.rows_after(2), steps.rows_after(3)) == (3, 8, 10)
    assert steps.ends(True)
    assert not steps.ends(False)


@pytest.mark.parametrize("counts", [(50, 50), (31, 69), (3, 97), (1, 1, 98)])
def test_every_row_is_seen_once_and_batches_have_nearly_the_size(counts):
    parts = []
    for rank, n_rows in enumerate(counts):
        steps = group_steps(counts, 16, rank)
        batches = steps.batches(torch.arange(n_rows))
        assert torch.cat(batches).tolist() == list(range(n_rows))
        sizes = [len(batch) for batch in batches]
        assert max(sizes) - min(sizes) <= 1
        assert steps.largest == max(sizes)
        parts.append(sizes)
    assert len(sizes) == steps.n_steps == 7
    together = [sum(sizes) for sizes in zip(*parts, strict=True)]
    assert max(together) <= 16 + len(counts)
    assert [steps.rows_after(done) for done in (1, 7)] == [together[0], 100]


def test_gradients_are_means_over_the_rows_of_all_ranks():
    weight = nn.Parameter(torch.zeros(2, 3).mT)
    unused = nn.Parameter(torch.zeros(2))
    other = torch.arange(8.0)
    steps = group_steps((6, 2), 4, parameters=[weight, unused], others=[other / 4])
    steps.batches(torch.arange(6))
    weight.grad = torch.full((3, 2), 2.0)
    steps.join_gradients(1, 3)
    # In the layout of the weight, which is transposed.
    expected = 0.75 * 2.0 + other[:6].reshape(2, 3).mT / 4
    torch.testing.assert_close(weight.grad, expected)
    assert weight.grad.stride() == weight.stride()
    torch.testing.assert_close(unused.grad, other[6:] / 4)


def test_a_frozen_parameter_gets_no_gradient():
    frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
    free = nn.Parameter(torch.zeros(2))
    steps = group_steps((4, 4), 8, parameters=[frozen, free])
    free.grad = torch.ones(2)
    steps.join_gradients(1, 4)
    assert frozen.grad is None
    torch.testing.assert_close(free.grad, torch.full((2,), 0.5))


def test_a_wish_to_stop_ends_the_epoch_after_the_next_step_and_not_the_next_epoch():
    steps = group_steps((8, 8), 4)
    ended = []
    for wish in (False, True, False):
        steps.join_gradients(1, 2)
        ended.append(steps.ends(wish))
    assert ended == [False, False, True]
    steps.batches(torch.arange(8))
    steps.join_gradients(1, 2)
    assert not steps.ends(False)


def test_the_wish_of_another_rank_ends_the_epoch_at_once():
    steps = group_steps((8, 8), 4, stops=[False, True])
    ended = []
    for _ in range(2):
        steps.join_gradients(1, 2)
        ended.append(steps.ends(False))
    assert ended == [False, True]
