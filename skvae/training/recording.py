"""Computations that are recorded once, and then repeated for other values.

A small training step spends most of its time not on arithmetic but on the Python code of
modules and distributions and on autograd. All that it leaves behind is a list of operations
on tensors, which is the same for each batch of the same shape.
"""

from operator import getitem

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# Operations whose results differ each time, or are numbers or shapes on which Python code may
# depend.
_UNREPEATABLE = {
    torch.Tag.nondeterministic_seeded,
    torch.Tag.data_dependent_output,
    torch.Tag.dynamic_output_shape,
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
        bit, but without gradients. None if an operation is random, or if its result is a
        number or depends in shape on values.
    """
    recorder = _Recorder(inputs)
    with recorder:
        results = function(*inputs)
    return results, recorder.finish(results) if recorder.is_repeatable else None


class _Recorder(TorchDispatchMode):
    """Notes all operations in the body, those of the gradients too, as nodes of a graph.

    Tensors are told apart by their ids, and all are kept until the end.
    """

    def __init__(self, inputs):
        super().__init__()
        self.graph, self.constants, self.is_repeatable = Graph(), [], True
        self._nodes, self._kept = {}, []
        # Ids of results, and of those that depend on the inputs or the parameters.
        self._results, self._varying = set(), set()
        for number, tensor in enumerate(inputs):
            self._note(tensor, self.graph.placeholder(f"input_{number}"), varies=True)

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = operation(*args, **kwargs)
        self.is_repeatable &= self._gives_the_same_again(operation, args)
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        if _is_view(operation) and not any(id(each) in self._results for each in tensors):
            # It shows later changes of the parameter that it is a view of.
            return result
        varies = any(map(self._varies, tensors))
        if operation is torch.ops.aten.detach.default:
            # Without gradients there is nothing to detach from.
            self._note(result, self._node_of(args[0]), varies)
            return result
        node = self.graph.call_function(operation, *tree_map(self._node_of, (args, kwargs)))
        if isinstance(result, Tensor):
            self._note(result, node, varies)
        elif isinstance(result, tuple | list):
            for number, part in enumerate(result):
                if isinstance(part, Tensor):
                    own = self.graph.call_function(getitem, (node, number))
                    self._note(part, own, varies)
        return result

    def _gives_the_same_again(self, operation, args):
        if not _UNREPEATABLE.intersection(operation.tags):
            return True
        # Elements by a mask that is the same each time.
        is_index = operation is torch.ops.aten.index.Tensor
        return is_index and not any(self._varies(each) for each in tree_leaves(args[1]))

    def _varies(self, tensor):
        return id(tensor) in self._varying or getattr(tensor, "requires_grad", False)

    def _note(self, tensor, node, varies):
        self._kept.append(tensor)
        self._nodes[id(tensor)] = node
        self._results.add(id(tensor))
        if varies:
            self._varying.add(id(tensor))

    def _node_of(self, value):
        """Return the node of a tensor, which may be a constant; other values unchanged."""
        if isinstance(value, Tensor) and id(value) not in self._nodes:
            self._kept.append(value)
            self._nodes[id(value)] = self.graph.placeholder(f"constant_{len(self.constants)}")
            self.constants.append(value)
        return self._nodes.get(id(value), value)

    def finish(self, results):
        """Return the recorded operations as a function of the inputs."""
        self.graph.output([self._node_of(result) for result in results])
        self.graph.eliminate_dead_code()
        run, constants = GraphModule({}, self.graph).forward, self.constants
        self._nodes, self._kept = {}, []

        @torch.no_grad()
        def repeat(*inputs):
            return run(*inputs, *constants)

        return repeat


def _is_view(operation):
    """Whether an operation returns other views of its arguments and changes nothing."""
    infos = [each.alias_info for each in operation._schema.returns]
    return bool(infos) and all(info is not None and not info.is_write for info in infos)
