"""Devices, dtypes, threads and memory."""

import os
import re
import threading
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

# From here on a second thread makes a step faster.
_SHARED_ELEMENTS = 2**15
_SHARED_PRODUCTS = 2**24
_PROCESS = os.getpid()


def resolve_device(device):
    """Return the torch device for a name; refuse one that is not there."""
    name = str(device)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    match = re.fullmatch(r"(cpu|cuda)(?::([0-9]+))?", name)
    if match is None:
        raise ValueError(f"Unknown device {name!r}. Use 'auto', 'cpu', 'cuda' or 'cuda:<n>'.")
    count = torch.cuda.device_count()
    if match[1] == "cuda" and int(match[2] or 0) >= count:
        raise ValueError(
            f"device={name!r} was asked for, but torch finds {count} CUDA devices. Use "
            "device='auto' or 'cpu', or install a CUDA build of torch."
        )
    return torch.device(name)


def training_dtype(precision, device):
    """Return the dtype of the networks' products for a `precision`; None is float32.

    A precision that the device has no instructions for is refused: it would only be slower.
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
            f"precision={precision!r} was asked for, but the device {device} has no {needed}. "
            "Use precision='float32'."
        )
    return None if precision == "tf32" else torch.bfloat16


def _cpu_has_bfloat16():
    """Whether the processor multiplies bfloat16 itself; torch has no public function."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


# torch's settings for float32 on CUDA; by default convolutions compute in TF32.
_CUDA_FLOAT32 = (
    torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn,  # type: ignore[attr-defined]
    torch.backends.cuda.matmul,
)
_lock = threading.Lock()
_requests: list[str] = []
_before: list[str] = []


@contextmanager
def cuda_float32(tf32=False):
    """Let CUDA compute float32 exactly, or in TF32.

    The settings belong to the whole process: they are exact while any thread asks for that,
    and are restored when the last thread leaves.
    """
    request = "tf32" if tf32 else "ieee"
    with _lock:
        if not _requests:
            _before[:] = [part.fp32_precision for part in _CUDA_FLOAT32]
        _requests.append(request)
        _set_cuda_float32()
    try:
        yield
    finally:
        with _lock:
            _requests.remove(request)
            _set_cuda_float32()


def _set_cuda_float32():
    strictest = "ieee" if "ieee" in _requests else "tf32"
    for part, before in zip(_CUDA_FLOAT32, _before, strict=True):
        part.fp32_precision = strictest if _requests else before


@contextmanager
def explain_out_of_memory():
    """Raise MemoryError, which says what to lower, when the device's memory is used up."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(
            "The device has no memory left. Lower batch_size, n_samples or the sizes of the "
            f"network's layers, or use device='cpu'. torch says: {error}"
        ) from error


def is_forked():
    """Whether this process is a fork of the one that imported the package.

    There GNU OpenMP waits forever for the threads that the parent has used.
    """
    return os.getpid() != _PROCESS


@contextmanager
def one_thread():
    """Compute on one thread, without changing the number that other threads use."""
    before = torch.get_num_threads()
    with ExitStack() as stack:
        if is_forked():
            # Unlike OpenMP's, this setting also holds for MKL once the parent has used it.
            stack.callback(torch.set_num_threads, before)
            torch.set_num_threads(1)
        elif before > 1:
            stack.enter_context(_openmp().limit(limits=1))
        yield


@cache
def _openmp():
    """Return the controller of torch's OpenMP; finding it takes as long as several steps."""
    return ThreadpoolController().select(user_api="openmp")


def limit_threads(n_elements, n_products=0):
    """Return a context that uses one thread for work that is too small to share.

    torch wakes all its threads even for products of a few rows. That gains nothing on an
    idle machine, and on a busy one each waits for the others at every operation.

    Parameters
    ----------
    n_elements : int
        Elements of a batch at its widest.
    n_products : int, default=0
        Parameters times rows of a batch.
    """
    large = n_elements >= _SHARED_ELEMENTS or n_products >= _SHARED_PRODUCTS
    return nullcontext() if large and not is_forked() else one_thread()
