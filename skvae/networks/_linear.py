"""A linear layer whose products go where they are computed fastest.

On AMD processors with AVX-512 torch's products go through MKL, which does not use their
vectors' full width; torch also holds oneDNN, which does. The operator is private: it is
used only where it is there and right, and everything else goes through `F.linear`.
"""

from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

# Multiplications from which on oneDNN's longer call is earned back.
_LARGE = 2**22


class Linear(nn.Linear):
    """``torch.nn.Linear``, large products on the CPU by oneDNN where that is faster."""

    def forward(self, x):
        """Map rows (..., in_features) to (..., out_features)."""
        if self._is_large(x) and onednn_is_faster():
            return _OneDNNLinear.apply(x, self.weight, self.bias)
        return super().forward(x)

    def _is_large(self, x):
        return (
            x.ndim == 2
            and len(x) * self.weight.numel() >= _LARGE
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled("cpu")
        )


@cache
def onednn_is_faster():
    """Whether this machine's products should go through oneDNN.

    It follows from the machine alone, not from a timing: two runs must not differ.
    """
    return _is_amd() and torch.backends.cpu.get_cpu_capability() == "AVX512" and _is_right()


def _is_amd():
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _is_right():
    """Whether the private operator is there and computes what it should."""
    # Numbers without a generator: the first call may be inside torch.vmap.
    x = torch.arange(32 * 48, dtype=torch.float32).sin().reshape(32, 48)
    weight = x.flip(0)
    try:
        return torch.allclose(_product(x, weight), x @ weight.t(), atol=1e-4)
    except (AttributeError, RuntimeError, TypeError):
        return False


def _product(x, weight, bias=None):
    """Return ``x weight' + bias``."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


class _OneDNNLinear(torch.autograd.Function):
    """``F.linear`` of rows, forward and backward by oneDNN."""

    @staticmethod
    def forward(x, weight, bias):
        return _product(x, weight, bias)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _product(grad, weight.t()) if for_x else None,
            _product(grad.t(), x.t()) if for_weight else None,
            grad.sum(0) if for_bias else None,
        )

    @staticmethod
    def vmap(info, in_dims, x, weight, bias):
        """Several layers at once are one batched product, which torch has."""
        return torch.vmap(functional.linear, in_dims)(x, weight, bias), 0
