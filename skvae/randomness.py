"""torch's global generator, borrowed for what draws from no other."""

import threading
from contextlib import contextmanager

import torch

# The global generator belongs to all threads of a process.
_GLOBAL_GENERATOR = threading.RLock()


@contextmanager
def seed_torch(seed):
    """Seed torch's global generators for the body, and put their states back after it.

    Threads take turns.
    """
    # To read the state of a device's generator would start CUDA where it is not in use.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    seed_all = torch.manual_seed if devices else torch.default_generator.manual_seed
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=devices):
        seed_all(seed)
        yield
