"""Devices, dtypes, threads and memory."""

import os
import re
import threading
import warnings
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

# From these sizes on a second thread makes a step faster.
_SHARED_ELEMENTS = 2**15
_SHARED_PRODUCTS = 2**24
_PROCESS = os.getpid()


def resolve_device(device):
    """Return the torch device for a name, or raise ValueError if it is not available."""
    name = str(device)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    match = re.fullmatch(r"(cpu|cuda)(?::([0-9]+))?", name)
    if match is None:
        raise ValueError(f"Unknown device {name!r}. Use 'auto', 'cpu', 'cuda' or 'cuda:<n>'.")
    count = torch.cuda.device_count()
    if match[1] == "cuda" and int(match[2] or 0) >= count:
        raise ValueError(
            f"device={name!r} is not available: torch finds {count} CUDA devices. Use "
            "device='auto' or 'cpu', or install a CUDA build of torch."
        )
    if name == "cuda":
        # With its number: a tensor's device has one, and the current device may change.
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(name)


def training_dtype(precision, device):
    """Return the dtype of the networks' products for a `precision`; None is float32.

    Without instructions for it on the device, which would make it slower, raise ValueError.
    """
    if precision == "float32":
        return None
    on_cuda = device.type == "cuda"
    if precision == "tf32":
        available = on_cuda and torch.cuda.is_tf32_supported()
        needed = "TF32 (CUDA from compute capability 8.0)"
    else:
        available = torch.cuda.is_bf16_supported(False) if on_cuda else _cpu_has_bfloat16()
        needed = "bfloat16 instructions (AVX-512 BF16, AMX or CUDA from compute capability 8.0)"
    if not available:
        raise ValueError(
            f"precision={precision!r} is not available: the device {device} has no {needed}. "
            "Use precision='float32'."
        )
    return None if precision == "tf32" else torch.bfloat16


def _cpu_has_bfloat16():
    """Whether the processor can multiply bfloat16; torch has no public function for this."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


# torch's settings for float32 on CUDA; by default convolutions compute in TF32.
_CUDA_FLOAT32 = (
    torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn,  # type: ignore[attr-defined]
    torch.backends.cuda.matmul,
)
# That of the CPU's products is changed too by the older setting of matrix products.
_FLOAT32 = (*_CUDA_FLOAT32, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
with suppress(RuntimeError), warnings.catch_warnings(action="ignore"):
    # Torch 2.9 warns once, at the first use of an older name of these.
    torch.get_float32_matmul_precision()
_lock = threading.Lock()
_requests: list[str] = []


@dataclass(frozen=True)
class _Float32Settings:
    """torch's settings for float32 as they are.

    There are older names for them, ``allow_tf32`` and `torch.get_float32_matmul_precision`,
    which raise an error where the new names say something else.

    Attributes
    ----------
    precisions : list of str
        Those of `_FLOAT32`, or only of its first parts.
    older : tuple of (str, bool) or None
        Of matrix products and of cuDNN by the older names; None if reading raises an error.
    """

    precisions: list
    older: tuple | None

    @classmethod
    def read(cls):
        precisions = [part.fp32_precision for part in _FLOAT32]
        try:
            older = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        except RuntimeError:
            older = None
        return cls(precisions, older)

    def with_cuda(self, precision):
        """Return the settings with another precision on CUDA, "ieee" or "tf32"."""
        tf32 = precision == "tf32"
        older = None if self.older is None else ("high" if tf32 else "highest", tf32)
        return _Float32Settings([precision] * len(_CUDA_FLOAT32), older)

    def apply(self):
        if self.older is not None:
            matmul, torch.backends.cudnn.allow_tf32 = self.older
            torch.set_float32_matmul_precision(matmul)
        # After the older ones, which set these too.
        for part, precision in zip(_FLOAT32, self.precisions, strict=False):
            part.fp32_precision = precision


_before: list[_Float32Settings] = []


@contextmanager
def cuda_float32(tf32=False):
    """Compute float32 on CUDA exactly, or in TF32.

    The settings are global: they are exact while any thread needs that, and are restored
    after the last thread. They can be read by torch's older names too.
    """
    request = "tf32" if tf32 else "ieee"
    with _lock:
        if not _requests:
            _before[:] = [_Float32Settings.read()]
        _requests.append(request)
        _set_cuda_float32()
    try:
        yield
    finally:
        with _lock:
            _requests.remove(request)
            _set_cuda_float32()


def _set_cuda_float32():
    (settings,) = _before
    if _requests:
        settings = settings.with_cuda("ieee" if "ieee" in _requests else "tf32")
    settings.apply()


@contextmanager
def explain_out_of_memory():
    """Raise MemoryError that says which parameters to reduce, if memory is exhausted."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(
            "The device is out of memory. Lower batch_size, n_samples or the sizes of the "
            f"network's layers, or use device='cpu'. torch says: {error}"
        ) from error


def is_forked():
    """Whether this process is a fork of the one that imported the package.

    In a fork GNU OpenMP waits forever for the threads of the parent.
    """
    return os.getpid() != _PROCESS


@contextmanager
def one_thread(*, numpy=False):
    """Compute on one thread, without changing the number that other threads use.

    With `numpy` its products are computed on one thread too.
    """
    before = torch.get_num_threads()
    with ExitStack() as stack:
        if numpy:
            stack.enter_context(_controller("blas").limit(limits=1))
        if is_forked():
            # Unlike that of OpenMP, this limit applies to MKL too if the parent has used it.
            stack.callback(torch.set_num_threads, before)
            torch.set_num_threads(1)
        elif before > 1:
            stack.enter_context(_controller("openmp").limit(limits=1))
        yield


@cache
def _controller(user_api):
    """Return the controller of a kind of threads; cached, as it takes as long as some steps.

    Those of torch are "openmp", and those of NumPy "blas".
    """
    return ThreadpoolController().select(user_api=user_api)


def limit_threads(n_elements, n_products=0):
    """Return a context manager that uses one thread if the work is too small for several.

    torch uses all its threads even for products of a few rows. That is no faster on an idle
    machine, and on a busy one the threads wait for each other at every operation.

    Parameters
    ----------
    n_elements : int
        Elements of a batch in the widest layer.
    n_products : int, default=0
        Number of parameters times rows of a batch.
    """
    large = n_elements >= _SHARED_ELEMENTS or n_products >= _SHARED_PRODUCTS
    return nullcontext() if large and not is_forked() else one_thread()
