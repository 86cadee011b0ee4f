"""Fit small models hundreds of times in one process: nothing may be left behind.

Prints memory, threads and open files as the fits go by, and fails where the memory after
the last fit is more than 5% above that after the tenth.

    python benchmarks/soak.py [--fits 500]
"""

import argparse
import gc
import os
import resource
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skops.io
from _machine import describe_machine
from sklearn.datasets import load_digits

from skvae import TRUSTED_TYPES, AutoencoderTransformer, VAETransformer
from skvae.display import LatentGridFilm, LatentSpaceDisplay
from skvae.networks import ConvNet

X, Y = load_digits(return_X_y=True)
_TOLERANCE = 1.05


class Watch:
    """A callback that asks for the fitted estimator after each epoch."""

    def setup(self, estimator, context):
        """Do nothing."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Use what was trained so far."""
        if fitted_estimator is not None:
            fitted_estimator.transform(X[:5])

    def teardown(self, estimator, context):
        """Do nothing."""


def _cross_validated(seed):
    return VAETransformer(max_iter=2, random_state=seed).fit(X[:60, :20])


def _hold_out(seed):
    model = VAETransformer(max_iter=3, early_stopping=True, random_state=seed).fit(X[:100])
    model.sample(20, random_state=seed)
    model.score(X[:50])
    return model


def _partial(seed):
    model = VAETransformer(random_state=seed)
    for start in range(0, 120, 40):
        model.partial_fit(X[start : start + 40])
    return model


def _watched(seed):
    with tempfile.TemporaryDirectory() as folder:
        film = LatentGridFilm(f"{folder}/film.gif", n_grid=3, first_epoch=2)
        model = VAETransformer(
            image_shape=(8, 8), max_iter=2, early_stopping=False, random_state=seed
        )
        return model.set_callbacks(Watch(), film).fit(X[:100])


def _autoencoder(seed):
    model = AutoencoderTransformer(noise=0.1, max_iter=2, random_state=seed)
    model.fit(X[:60]).inverse_transform(model.transform(X[:60]))
    return model


def _convolutional(seed):
    network = ConvNet(channels=(4, 8), batch_norm=True)
    model = VAETransformer(
        network=network,
        likelihood="bernoulli",
        image_shape=(8, 8),
        max_iter=2,
        early_stopping=True,
        random_state=seed,
    )
    model.fit(X[:80] / 16).score(X[:20] / 16)
    return model


def _saved_and_drawn(seed):
    import matplotlib.pyplot as plt

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skops"
        skops.io.dump(VAETransformer(max_iter=0, random_state=seed).fit(X[:100]), path)
        model = skops.io.load(path, trusted=TRUSTED_TYPES)
    display = LatentSpaceDisplay.from_estimator(model, X[:100], Y[:100])
    plt.close(display.figure_)
    return model


def _refused(seed):
    model = _hold_out(seed)
    with np.testing.assert_raises(ValueError):
        model.fit(np.full((5, 64), np.nan))
    return model


#: What one fit is, of each kind in turn.
KINDS: dict[str, Callable] = {
    "cross-validated": _cross_validated,
    "hold-out": _hold_out,
    "partial_fit": _partial,
    "callbacks": _watched,
    "autoencoder": _autoencoder,
    "convolutional": _convolutional,
    "saved and drawn": _saved_and_drawn,
    "refused": _refused,
}


def fit_once(number):
    """Fit a model of the kind whose turn it is, and return it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(KINDS.values())[number % len(KINDS)](number)


def left_behind():
    """Return what a process may leave: open files, threads and figures."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    folder = Path("/proc/self")
    return {
        "files": len(os.listdir(folder / "fd")) if folder.exists() else None,
        "threads": threading.active_count(),
        "system threads": len(os.listdir(folder / "task")) if folder.exists() else None,
        "figures": len(pyplot.get_fignums()) if pyplot else 0,
    }


def resident_memory():
    """Return the memory that the process holds, in MiB; its peak where Linux is not."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main():
    """Print what the process holds after ever more fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=500)
    n_fits = parser.parse_args().fits
    print(describe_machine())
    print("kinds, in turn: " + ", ".join(KINDS))
    marks = {1, 10, 20, 50, 100, 200, 300, 400, n_fits}
    seen = {}
    for number in range(n_fits):
        fit_once(number)
        if number + 1 in marks:
            gc.collect()
            seen[number + 1] = resident_memory(), left_behind()
            memory, left = seen[number + 1]
            counts = ", ".join(f"{count} {name}" for name, count in left.items())
            print(f"after {number + 1:4d} fits: {memory:6.1f} MiB, {counts}", flush=True)
    (before, held), (after, left) = seen[10], seen[n_fits]
    print(f"memory after {n_fits} fits is {after / before:.3f} times that after 10")
    if after > _TOLERANCE * before or held != left:
        raise SystemExit("Something is left behind.")


if __name__ == "__main__":
    main()
