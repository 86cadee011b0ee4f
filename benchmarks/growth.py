"""How the time of a fit grows: rows, features, latent dimensions, hidden units.

    python benchmarks/growth.py

Epochs and batch size are fixed, so that the work is in proportion to the rows. Prints the
slope of the last step of each line on log-log axes, 1 being linear, and saves the picture.
"""

import argparse
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from _machine import describe_machine
from _results import Table, add_option, save
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer
from skvae.networks import MLP

BASE = {"rows": 10_000, "features": 64, "latent_dim": 2, "hidden units": 128}
LINES = {
    "rows": (1_000, 10_000, 100_000, 1_000_000),
    "features": (10, 100, 1_000, 10_000),
    "latent_dim": (1, 4, 16, 64),
    "hidden units": (16, 128, 1_024, 8_192),
}


def seconds(epochs, sizes):
    """Return the time of one fit on low-rank rows with noise."""
    rng = np.random.default_rng(0)
    n, d = sizes["rows"], sizes["features"]
    X = rng.standard_normal((n, 5), dtype=np.float32) @ rng.random((5, d), dtype=np.float32)
    X += rng.standard_normal(X.shape, dtype=np.float32)
    vae = VAETransformer(
        sizes["latent_dim"],
        network=MLP((sizes["hidden units"],)),
        batch_size=128,
        max_iter=epochs,
        early_stopping=False,
        random_state=0,
        device="cpu",
    )
    start = time.perf_counter()
    vae.fit(X)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", nargs="*", default=list(LINES), choices=list(LINES))
    parser.add_argument("--plot", default="growth.png")
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    seconds(1, BASE)
    figure, axes = plt.subplots(
        1,
        len(args.lines),
        figsize=(3.2 * len(args.lines), 3.2),
        layout="constrained",
        sharey=True,
    )
    tables = []
    for ax, name in zip(np.atleast_1d(axes), args.lines, strict=True):
        columns, cells = [name], [[*map(str, LINES[name]), "last slope"]]
        for epochs, label in ((0, "start alone"), (1, "start and one epoch")):
            times = [seconds(epochs, BASE | {name: value}) for value in LINES[name]]
            slope = np.diff(np.log(times))[-1] / np.diff(np.log(LINES[name]))[-1]
            print(
                f"{name}, {label}: {np.round(times, 3)} s, last slope {slope:.2f}", flush=True
            )
            columns.append(f"{label}, s")
            cells.append([*(f"{each:.3f}" for each in times), f"{slope:.2f}"])
            ax.loglog(LINES[name], times, "o-", label=label)
        rows = [list(row) for row in zip(*cells, strict=True)]
        tables.append(Table(f"Seconds of a fit by {name}", columns, rows))
        ax.set(xlabel=name)
    np.atleast_1d(axes)[0].set_ylabel("seconds")
    np.atleast_1d(axes)[0].legend()
    figure.savefig(args.plot, dpi=110)
    save(__file__, tables, args.save)


if __name__ == "__main__":
    main()
