"""Computations that are recorded once, and then repeated for other values.

A small training step spends most of its time not on arithmetic but on the Python code of
modules and distributions, on autograd, and on memory for results. All that it leaves behind is
a list of operations on tensors, which is the same for each batch of the same shape: they can be
done again on the very tensors of the first time.
"""

from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# Operations whose results differ each time, or are numbers or shapes on which Python code may
# depend.
_UNREPEATABLE = {
    torch.Tag.nondeterministic_seeded,
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
}

# Operations that take only shape and kind of the tensors that they are given.
_OF_SHAPES = {
    getattr(torch.ops.aten, name).default
    for name in ("ones_like", "zeros_like", "full_like", "new_zeros", "new_ones", "new_full")
}


def record(function, inputs):
    """Do a computation and record its operations.

    Parameters
    ----------
    function : callable
        Maps the inputs to a list of tensors, or None. It must be a function of the inputs and
        of tensors that are changed in place only, such as parameters.
    inputs : list of Tensor

    Returns
    -------
    results : list of Tensor or None
    repeat : callable or None
        Maps other inputs of the same shapes to what `function` would return for them, bit for
        bit, but without gradients. They are the same tensors each time, with other values. None
        if an operation is random, or if its result is a number or depends in
        shape on values.
    """
    # The caller may change those that it gave.
    inputs = [each.clone() for each in inputs]
    recorder = _Recorder(inputs)
    with recorder:
        results = function(*inputs)
    if not recorder.is_repeatable:
        return results, None
    steps, same_results = _in_little_memory(_needed(recorder.steps, results), results)
    calls = [step.call() for step in steps]

    @torch.no_grad()
    def repeat(*given):
        for own, other in zip(inputs, given, strict=True):
            own.copy_(other)
        for operation, args, kwargs in calls:
            operation(*args, **kwargs)
        return same_results

    return results, repeat


class _Step(NamedTuple):
    """An operation, and the tensors that it reads and writes."""

    operation: torch._ops.OpOverload
    args: tuple
    kwargs: dict
    results: list

    @property
    def reads(self):
        """Memory of the arguments, if their values are read."""
        if self.operation in _OF_SHAPES:
            return set()
        return {_memory(each) for each in _tensors((self.args, self.kwargs))}

    @property
    def is_in_place(self):
        """Whether the operation writes to an argument."""
        return self.operation._schema.is_mutable

    @property
    def writes(self):
        """Memory that is written."""
        if not self.is_in_place:
            return {_memory(each) for each in self.results}
        arguments = self.operation._schema.arguments
        given = {a.name: value for a, value in zip(arguments, self.args, strict=False)}
        given |= self.kwargs
        written = [
            given.get(argument.name)
            for argument in arguments
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        return {_memory(each) for each in _tensors(written)}

    def call(self):
        """Return function, arguments and keywords that do the same to the same tensors."""
        if self.is_in_place:
            return self.operation._op, self.args, self.kwargs
        operation, names = _with_results_as_arguments(self.operation)
        if operation is None or len(names) != len(self.results):
            return self._copy_results, (), {}
        named = dict(zip(names, self.results, strict=True))
        return operation._op, self.args, self.kwargs | named

    def _copy_results(self):
        for own, new in zip(
            self.results, _tensors(self.operation(*self.args, **self.kwargs)), strict=True
        ):
            own.copy_(new)


class _Recorder(TorchDispatchMode):
    """Notes all operations in the body, those of the gradients too.

    Attributes
    ----------
    steps : list of _Step
        They keep all tensors: memory is told apart by its address. An operation that gives
        another view of its argument is not among them, as the view remains.
    is_repeatable : bool
    """

    def __init__(self, inputs):
        super().__init__()
        self.steps, self.is_repeatable = [], True
        # Memory of what depends on the inputs or the parameters.
        self._varying = set(map(_memory, inputs))

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        step = _Step(operation, args, kwargs, _tensors(result))
        self._varying |= {_memory(each) for each in _tensors(args) if each.requires_grad}
        self.is_repeatable &= self._gives_the_same_again(operation, args)
        if not self._varying.isdisjoint(step.reads):
            self._varying |= step.writes
        if step.is_in_place or not step.writes <= step.reads:
            self.steps.append(step)
        return result

    def _gives_the_same_again(self, operation, args):
        if not _UNREPEATABLE.intersection(operation.tags):
            return True
        # Elements by a mask that is the same each time.
        is_index = operation is torch.ops.aten.index.Tensor
        indices = {_memory(each) for each in _tensors(args[1:])}
        return is_index and self._varying.isdisjoint(indices)


def _needed(steps, results):
    """Return the steps on which results depend, without constants, which remain."""
    needed, found = {_memory(each) for each in _tensors(results)}, []
    for step in reversed(steps):
        if not needed.isdisjoint(step.writes):
            needed |= step.reads
            found.append(step)
    changed = {memory for step in found if step.is_in_place for memory in step.writes}
    fixed, others = set(), []
    for step in reversed(found):
        if step.reads <= fixed and step.writes.isdisjoint(changed):
            fixed |= step.writes
        else:
            others.append(step)
    return others


def _in_little_memory(steps, results):
    """Return steps and results on tensors of which one takes the memory of another.

    That of a result is free again after the last step that reads it: what a step reads is
    then more often in the cache.
    """
    last, places, free = {}, {}, defaultdict(list)
    for number, step in enumerate(steps):
        last |= dict.fromkeys(step.reads | step.writes, number)
    last |= dict.fromkeys(map(_memory, _tensors(results)), len(steps))
    for number, step in enumerate(steps):
        if not step.is_in_place:
            for each in step.results:
                same_size = free[each.untyped_storage().nbytes()]
                places[_memory(each)] = (
                    same_size.pop() if same_size else each.untyped_storage().clone()
                )
        for memory in step.reads | step.writes:
            if last[memory] == number and memory in places:
                free[places[memory].nbytes()].append(places[memory])

    def moved(value):
        place = places.get(_memory(value)) if isinstance(value, Tensor) else None
        if place is None:
            return value
        empty = torch.empty(0, dtype=value.dtype, device=value.device)
        return empty.set_(place, value.storage_offset(), value.size(), value.stride())

    with torch.no_grad():
        moved_steps = [
            _Step(step.operation, *tree_map(moved, (step.args, step.kwargs, step.results)))
            for step in steps
        ]
        return moved_steps, tree_map(moved, results)


@lru_cache(maxsize=256)
def _with_results_as_arguments(operation):
    """Return the overload that writes to given tensors, and their names; or None."""
    own = _signature(operation._schema.arguments)
    packet = operation.overloadpacket
    for name in packet.overloads():
        schema = getattr(packet, name)._schema
        outs = [argument.name for argument in schema.arguments if argument.is_out]
        rest = [argument for argument in schema.arguments if not argument.is_out]
        if len(outs) == len(operation._schema.returns) and _signature(rest) == own:
            return getattr(packet, name), outs
    return None, []


def _signature(arguments):
    return [(argument.name, str(argument.type)) for argument in arguments]


def _tensors(values):
    return [each for each in tree_leaves(values) if isinstance(each, Tensor)]


def _memory(tensor):
    return tensor.untyped_storage()._cdata
