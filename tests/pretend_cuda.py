"""A CUDA device that torch pretends to have, to test on the CPU where tensors are.

Its tensors hold one on the CPU, with which all is computed. As on CUDA an operation raises an
error if its operands are on different devices, and its tensors are no arrays.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from skvae.training import gradients

CUDA = torch.device("cuda", 0)
_TO_COPY = torch.ops.aten._to_copy.default
# Operations that move values between devices.
_MOVING = {torch.ops.aten.copy_.default, torch.ops.aten._foreach_copy_.default}
# Those that take indices on the CPU too, as their second argument.
_INDEXING = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put.default,
    torch.ops.aten.index_put_.default,
    torch.ops.aten._index_put_impl_.default,
}


class CudaTensor(torch.Tensor):
    """A tensor on the pretended device.

    Parameters
    ----------
    inner : Tensor
        On the CPU.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        # For torch's C++ code, which has no CUDA, it is on the device "meta".
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device="meta",
        )
        tensor.inner = inner
        return tensor

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return _compute(operation, args, kwargs or {})

    def __getitem__(self, index):
        return super().__getitem__(_as_tensors(index))

    def __setitem__(self, index, value):
        super().__setitem__(_as_tensors(index), value)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copied = self.detach().clone().requires_grad_(self.requires_grad)
            if hasattr(self, "_is_param"):
                copied._is_param = self._is_param
            memo[id(self)] = copied
        return memo[id(self)]

    def tolist(self):
        """Return the values as lists."""
        return self.inner.tolist()

    def numpy(self, *args, **kwargs):
        """Raise the error of CUDA."""
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu().")

    __array__ = numpy

    def __repr__(self):
        return f"CudaTensor({self.inner!r})"

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)

    @property
    def data(self):
        """The values, without gradients."""
        return self.detach()

    @data.setter
    def data(self, other):
        torch.Tensor.data.__set__(self, other)
        self.inner = other.inner


def _as_tensors(index):
    """Return an index with lists and arrays as tensors; torch would make them on "meta"."""
    if isinstance(index, tuple):
        return tuple(map(_as_tensors, index))
    return torch.as_tensor(index) if isinstance(index, list | np.ndarray) else index


class _Mode(TorchDispatchMode):
    """Sees operations without tensors of the device too, such as those that make one."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.name().startswith("aten::to."):
            # In inference mode it has not been replaced by a copy yet.
            with self:
                return operation.decompose(*args, **kwargs or {})
        if operation is torch.ops.aten._has_compatible_shallow_copy_type.default:
            # Whether a module that moves may keep its parameters.
            return type(args[0].data) is type(args[1].data)
        return _compute(operation, args, kwargs or {})


class _Names(TorchFunctionMode):
    """Replaces the device in calls of torch by "meta", as its C++ code has no CUDA."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is torch.device:
            return function(*args, **kwargs)
        if function in (torch.tensor, torch.as_tensor):
            # They would make one without values on "meta".
            device = kwargs.pop("device", None) or "cpu"
            return function(*args, **kwargs).to(_without_cuda(device))
        kwargs = {name: _without_cuda(value) for name, value in kwargs.items()}
        return function(*map(_without_cuda, args), **kwargs)


def _without_cuda(value):
    is_name = isinstance(value, str | torch.device)
    return torch.device("meta") if is_name and str(value).startswith("cuda") else value


# The tensors of the device are the same in inference mode.
@torch.inference_mode(False)
@torch.no_grad()
def _compute(operation, args, kwargs):
    """Do an operation on the CPU; return a tensor on the device where it would be."""
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    for each in tensors:
        assert isinstance(each, CudaTensor) or each.is_cpu, f"{operation}: without values"
    on_cuda = [each for each in tensors if isinstance(each, CudaTensor)]
    if on_cuda and len(on_cuda) < len(tensors):
        _check_devices(operation, args, kwargs)
    target = kwargs.get("device")
    if target is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
        gives_cuda = torch.device(target).type != "cpu"
    elif operation in _MOVING:
        gives_cuda = isinstance(args[0], CudaTensor)
    else:
        gives_cuda = bool(on_cuda)
    own = {id(each.inner): each for each in on_cuda}
    args, kwargs = tree_map(_inner, (args, kwargs))
    result = operation(*args, **kwargs)
    if not gives_cuda:
        return result

    def outer(value):
        if not isinstance(value, torch.Tensor):
            return value
        # An operation in place returns its operand.
        return own.get(id(value)) if id(value) in own else CudaTensor(value)

    return tree_map(outer, result)


def _inner(value):
    return value.inner if isinstance(value, CudaTensor) else value


def _check_devices(operation, args, kwargs):
    if operation in _MOVING or operation is _TO_COPY:
        return
    if operation in _INDEXING and isinstance(args[0], CudaTensor):
        args = (args[0], *args[2:])
    for each in tree_leaves((args, kwargs)):
        # A number is taken as it is, but nothing is written into it.
        if isinstance(each, torch.Tensor) and not isinstance(each, CudaTensor):
            is_written = each is args[0] and operation._schema.is_mutable
            if each.ndim or is_written:
                raise RuntimeError(
                    "Expected all tensors to be on the same device, but found at least two "
                    f"devices, cuda:0 and cpu! ({operation})"
                )


class _Generator(torch.Generator):
    """A generator whose draws are those of one on the CPU with the same seed."""

    def __new__(cls, device="cpu"):
        generator = super().__new__(cls, "cpu")
        generator._device = torch.device(device)
        return generator

    device = property(lambda self: self._device)


def _capture(function, inputs):
    """Repeat a computation in place of its kernels."""
    return function(*inputs), function


@contextmanager
def pretended_cuda():
    """Let torch have one CUDA device in the body."""
    cuda = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "is_initialized": lambda: False,
        "_lazy_init": lambda: None,
        "current_device": lambda: 0,
        "mem_get_info": lambda device=None: (2**40, 2**40),
    }
    with ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(torch.cuda, **cuda))
        stack.enter_context(mock.patch.object(torch, "Generator", _Generator))
        stack.enter_context(mock.patch.object(torch.Tensor, "pin_memory", lambda self: self))
        stack.enter_context(mock.patch.object(gradients, "capture", _capture))
        stack.enter_context(_Names())
        stack.enter_context(_Mode())
        yield
