"""Draws in torch that leave its global generator as it was."""

import threading
from contextlib import contextmanager

import torch
from torch import nn

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


class SeededDraws(nn.Module):
    """Base of modules that draw from a generator of their own, not from torch's global one.

    A generator itself could not be copied, pickled or kept in a state: `seed` and `step`,
    the calls in training so far, stand for it.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed):
        super().__init__()
        self.register_buffer("seed", torch.tensor(seed, dtype=torch.int64))
        self.register_buffer("step", torch.tensor(0, dtype=torch.int64))

    def next_generator(self, device):
        """Return the generator of one call: a new one in training, else always the same."""
        seed = self.seed
        if self.training:
            self.step += 1
            seed = seed + self.step
        return torch.Generator(device).manual_seed(int(seed))
