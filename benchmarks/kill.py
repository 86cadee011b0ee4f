"""Kill a training that keeps a checkpoint, at random moments: the file must always load.

Each child resumes from the file, trains and is killed (SIGKILL); then the file must hold a
model that works and has every epoch that an earlier file had.
"""

import argparse
import os
import pickle
import random
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
from _machine import describe_machine
from sklearn.datasets import load_iris

from skvae import VAETransformer
from skvae.callbacks import Checkpoint

_X = load_iris().data


def train(path):
    """Go on from the file, or start, for longer than anybody waits."""
    if path.exists():
        vae = pickle.loads(path.read_bytes()).set_params(warm_start=True)
    else:
        vae = VAETransformer(max_iter=10**6, early_stopping=False)
        vae.set_callbacks(Checkpoint(path))
    vae.fit(_X)


def half_written(path):
    """Return the names of the files that were being written at a kill."""
    return {file.name for file in path.parent.glob(f".{path.name}.*.tmp")}


def check(path, n_iter):
    """Return the epochs of the file's model; raise what is wrong with it."""
    if not path.exists():
        assert n_iter == 0, "the file is gone"
        return 0
    vae = pickle.loads(path.read_bytes())
    assert vae.n_iter_ >= n_iter, f"{vae.n_iter_} epochs, before {n_iter}"
    assert vae.transform(_X).shape == (len(_X), 2)
    assert vae._moments, "the optimiser's moments are missing"
    left = {name for name in os.listdir(path.parent) if name not in half_written(path)}
    assert left == {path.name}, f"left behind: {sorted(left)}"
    return vae.n_iter_


def in_child(function, *args):
    """Run in a forked process; return its id. The parent itself computes nothing."""
    child = os.fork()
    if child:
        return child
    try:
        warnings.simplefilter("ignore")
        function(*args)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def checked_in_child(path, n_iter):
    """Return the epochs of the file's model as a child finds them, or None."""
    reader, writer = os.pipe()

    def tell():
        os.write(writer, str(check(path, n_iter)).encode())

    child = in_child(tell)
    os.close(writer)
    with open(reader) as answer:
        text = answer.read()
    return int(text) if os.waitpid(child, 0)[1] == 0 else None


def run(kills, seed, most_seconds):
    """Kill so many times; return the number of failures."""
    # What is imported on first use is so before the forks. One thread, and no gradient:
    # a fork must not lose threads of torch.
    torch.set_num_threads(1)
    VAETransformer(max_iter=0).fit(_X).transform(_X)
    rng = random.Random(seed)
    failures = n_iter = halves = missing = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vae.pickle"
        for _ in range(kills):
            before = half_written(path)
            child = in_child(train, path)
            time.sleep(rng.uniform(0, most_seconds))
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)[1]
            halves += len(half_written(path) - before)
            missing += not path.exists()
            found = checked_in_child(path, n_iter)
            failures += found is None or ended != signal.SIGKILL
            n_iter = n_iter if found is None else found
    print(
        f"{kills} kills of seed {seed}: {failures} files did not load or lost epochs; "
        f"{halves} kills fell into a writing, {missing} before the first; "
        f"{n_iter} epochs in the last file"
    )
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.5, help="at most, to a kill")
    args = parser.parse_args()
    failures = run(args.kills, args.seed, args.seconds)
    print(describe_machine())
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
