"""Work on one thread, in a way that no other thread of the process takes notice of."""

import ctypes
import os
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController

_PROCESS = os.getpid()


def is_forked():
    """Whether this process is a fork of the one that imported the package.

    GNU's OpenMP does not survive a fork: where the parent has worked on several threads,
    the child would wait for them for ever.
    """
    return os.getpid() != _PROCESS


@contextmanager
def one_thread():
    """Keep torch's work in the body, if this thread does it, on this thread.

    ``torch.set_num_threads`` does the same, but threads that begin meanwhile take its
    number over, and keep it.
    """
    # Asked first: only then does torch know the number in a new thread.
    if torch.get_num_threads() == 1:
        yield
        return
    before = _set_mkl_threads(1)
    try:
        with _openmp().limit(limits=1):
            yield
    finally:
        _set_mkl_threads(before)


@cache
def _openmp():
    """Return what sets torch's OpenMP; to find it takes as long as several steps."""
    return ThreadpoolController().select(user_api="openmp")


def _find_mkl():
    """Return MKL's own setter of this thread's number, where torch is linked with it.

    Once ``torch.set_num_threads`` was called MKL no longer asks OpenMP.
    """
    try:
        return ctypes.CDLL("libtorch_cpu.so").MKL_Set_Num_Threads_Local
    except (OSError, AttributeError):
        # Not on Linux, or another library for products, which asks OpenMP.
        return lambda number: 0


# Takes a number, 0 for that of the process, and returns the one before.
_set_mkl_threads = _find_mkl()
