"""What a machine has and how it is used best: devices, dtypes, threads, memory."""

import threading
from contextlib import contextmanager, nullcontext

import torch

from skvae.threads import is_forked, one_thread

# From here on a second thread makes a step faster.
_SHARED_ELEMENTS = 2**15
_SHARED_PRODUCTS = 2**24

# Bytes: glibc's DEFAULT_MMAP_THRESHOLD_MAX less its header and an alignment.
_LARGEST_LEARNT = 2**25 - 2**14


def resolve_device(device):
    """Return the torch device for a name; refuse one that is not there."""
    name = str(device)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    numbered = number.isascii() and number.isdigit()
    if kind not in ("cpu", "cuda") or (":" in name and not numbered):
        raise ValueError(
            f"Unknown device {name!r}. Use 'auto', 'cpu', 'cuda' or 'cuda:<number>'."
        )
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={name!r} was asked for, but torch finds "
            f"{torch.cuda.device_count()} CUDA devices. Use device='auto' or 'cpu', or "
            "install a CUDA build of torch."
        )
    return torch.device(name)


def body_dtype(precision, device):
    """Return the dtype of the networks' products for a `precision`; None is float32.

    Raises
    ------
    ValueError
        If the device has no instructions for it: it would be slower, and less exact.
    """
    on_cuda = device.type == "cuda"
    if precision == "tf32" and not (on_cuda and torch.cuda.is_tf32_supported()):
        raise ValueError(
            f"precision='tf32' was asked for, but the device {device} has no TF32 (CUDA has it "
            "from compute capability 8.0). Use precision='float32', or 'bfloat16' where the "
            "device has it."
        )
    if precision in ("float32", "tf32"):
        return None
    if not (torch.cuda.is_bf16_supported(False) if on_cuda else _cpu_has_bfloat16()):
        raise ValueError(
            f"precision='bfloat16' was asked for, but the device {device} has no bfloat16 "
            "instructions (AVX-512 BF16, AMX, or CUDA from compute capability 8.0). Use "
            "precision='float32'."
        )
    return torch.bfloat16


def _cpu_has_bfloat16():
    """Whether the processor multiplies bfloat16 itself; torch does not say publicly."""
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in asked)


# torch's settings of what CUDA makes of float32: by default TF32 but in plain products.
_CUDA_FLOAT32 = (
    torch.backends.cudnn.conv,  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn,  # type: ignore[attr-defined]
    torch.backends.cuda.matmul,
)
_lock = threading.Lock()
_asked: list[str] = []
_before: list[str] = []


@contextmanager
def cuda_float32(tf32=False):
    """Have CUDA compute float32 exactly, or in TF32 where that was asked for.

    The settings are the whole process's: while threads ask for both, it is exact. They are
    put back when the last thread is done.
    """
    wish = "tf32" if tf32 else "ieee"
    with _lock:
        if not _asked:
            _before[:] = [part.fp32_precision for part in _CUDA_FLOAT32]
        _asked.append(wish)
        _set_cuda_float32()
    try:
        yield
    finally:
        with _lock:
            _asked.remove(wish)
            _set_cuda_float32()


def _set_cuda_float32():
    wish = "ieee" if "ieee" in _asked else "tf32"
    values = [wish] * len(_CUDA_FLOAT32) if _asked else _before
    for part, value in zip(_CUDA_FLOAT32, values, strict=True):
        part.fp32_precision = value


@contextmanager
def told_of_memory():
    """Say what to lower when the device's memory is used up.

    Raises
    ------
    MemoryError
        In place of torch's error.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(
            "The device has no memory left. Lower batch_size, n_samples or the sizes of the "
            f"network's layers, or use device='cpu'. torch says: {error}"
        ) from error


@contextmanager
def few_threads(n_elements, n_products=0):
    """Work on one thread while the work is too small to share.

    torch wakes all its threads for products of a few rows: that gains nothing on an
    idle machine, and on a busy one each waits for the others at every operation.

    Parameters
    ----------
    n_elements : int
        Elements of a batch at its widest.
    n_products : int, default=0
        Parameters times rows of a batch.
    """
    large = n_elements >= _SHARED_ELEMENTS or n_products >= _SHARED_PRODUCTS
    with nullcontext() if large and not is_forked() else one_thread():
        yield


def keep_freed_blocks():
    """Let freed feature maps be used again instead of faulted in anew at each step.

    glibc maps a block of its own for what is larger than any that it has seen freed: a
    free block of the largest size that it learns from settles this. Nothing is written to
    it, so it takes no memory.
    """
    torch.empty(_LARGEST_LEARNT, dtype=torch.uint8)
