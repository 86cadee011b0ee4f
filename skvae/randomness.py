"""Random numbers: all derived from the estimator's seed, none from global generators."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn

# All threads of a process share torch's global generator.
_GLOBAL_GENERATOR = threading.RLock()

# Numbers of the streams; the number of a fold is added to those of the folds.
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
        Epochs trained so far: a model that continues must not repeat the draws of its first
        epochs.
    rank : int, default=0
        Number of this process in a group, whose ranks have different draws.
    """

    seed: int
    epochs_before: int = 0
    rank: int = 0

    def seed_of(self, purpose, fold=0):
        """Return the seed of a stream."""
        key = (self.seed, self.epochs_before, _STREAMS[purpose] + fold)
        # Rank 0 has the draws of a process alone.
        key = (*key, self.rank) if self.rank else key
        return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)

    def generator(self, purpose, fold=0, device="cpu"):
        """Return a new torch generator at the beginning of a stream."""
        return torch.Generator(device).manual_seed(self.seed_of(purpose, fold))


@contextmanager
def seed_torch(seed):
    """Seed torch's global generators in the body, and restore their states afterwards.

    A lock lets one thread at a time do so.
    """
    # Reading the state of a device's generator would initialise CUDA.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    seed_all = torch.manual_seed if devices else torch.default_generator.manual_seed
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=devices):
        seed_all(seed)
        yield


class SeededDraws(nn.Module):
    """Base of modules that use their own random generator, not torch's global one.

    Generators cannot be copied, pickled or stored in a state dictionary; the buffers `seed`
    and `step`, the number of calls in training, are stored instead.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed):
        super().__init__()
        self.register_buffer("seed", torch.tensor(seed, dtype=torch.int64))
        self.register_buffer("step", torch.tensor(0, dtype=torch.int64))

    def next_generator(self, device):
        """Return a generator: with a new seed at each call in training, else the same."""
        seed = self.seed
        if self.training:
            self.step += 1
            seed = seed + self.step
        return torch.Generator(device).manual_seed(int(seed))
