"""Random numbers: all from a seed of the estimator's, none from the global generators."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn

# The global generator belongs to all threads of a process.
_GLOBAL_GENERATOR = threading.RLock()

# Numbers of the streams; those of the folds are followed by one for each fold.
_STREAMS = {
    "held-out draws": 1,
    "draws": 2,
    "order": 3,
    "held-out rows": 4,
    "corruption": 5,
    "fold draws": 10,
    "fold order": 100,
}


def random_generator(random_state):
    """Return a RandomState; None gives a new one, not NumPy's global one."""
    return check_random_state(np.random.RandomState() if random_state is None else random_state)


@dataclass(frozen=True)
class RandomStreams:
    """Independent random numbers for each purpose, all from one seed.

    Parameters
    ----------
    seed : int
    epochs_before : int, default=0
        Epochs that the model has behind it: one that continues must not meet the draws of
        its first epochs again.
    """

    seed: int
    epochs_before: int = 0

    def seed_of(self, purpose, fold=0):
        """Return the seed of a stream."""
        key = (self.seed, self.epochs_before, _STREAMS[purpose] + fold)
        return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)

    def generator(self, purpose, fold=0, device="cpu"):
        """Return a new torch generator at the beginning of a stream."""
        return torch.Generator(device).manual_seed(self.seed_of(purpose, fold))


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
