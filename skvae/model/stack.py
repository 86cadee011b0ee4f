"""Modules of one architecture, trained side by side as one stack of tensors.

A step of a small network costs the calls of its operations more than their arithmetic: as
a stack, several are trained at little more than the cost of one.
"""

import torch
from torch import nn
from torch.func import functional_call, vmap


class Stack(nn.Module):
    """Modules whose parameters become slices of common tensors.

    To train the stack is to train them. Their buffers must be the same.

    Parameters
    ----------
    members : list of Module

    Attributes
    ----------
    stack_axes : int
        Axes of its parameters that come before those of a member's.
    """

    stack_axes = 1

    def __init__(self, members):
        super().__init__()
        # A tuple, so that their parameters are not the stack's own.
        self.members = tuple(members)
        self.names = [name for name, _ in members[0].named_parameters()]
        self.stacked = nn.ParameterList()
        for parts in zip(*(member.parameters() for member in members), strict=True):
            common = nn.Parameter(torch.stack([part.detach() for part in parts]))
            self.stacked.append(common.requires_grad_(parts[0].requires_grad))
            for part, own in zip(parts, common.data, strict=True):
                part.data = own

    def train(self, mode=True):
        """Set the mode of the member that computes; the others lend their parameters."""
        self.members[0].train(mode)
        return super().train(mode)

    def map(self, function, *tensors):
        """Return ``function(member, *parts)`` for each member and its part of the tensors.

        The first axis of the tensors and of the result counts the members.
        """
        call = _Call(self.members[0], function)
        names = [f"module.{name}" for name in self.names]

        def one(parameters, *parts):
            return functional_call(call, dict(zip(names, parameters, strict=True)), parts)

        return vmap(one)(list(self.stacked), *tensors)


class _Call(nn.Module):
    """A function of a module, as a module."""

    def __init__(self, module, function):
        super().__init__()
        self.module = module
        self.function = function

    def forward(self, *inputs):
        return self.function(self.module, *inputs)
