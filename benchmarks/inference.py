"""`transform` beside the bare network, and `score_samples` beside the same written plainly.

    python benchmarks/inference.py

Rounds in turn, the median of the ratios within a round. Memory is the growth of the
process's peak, measured in a fresh process each.
"""

import argparse
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from _machine import describe_machine
from _results import Table, add_option, save
from sklearn.decomposition import PCA

from skvae import VAETransformer
from skvae.networks import MLP

WIDTH, N_DRAWS = 784, 128
COLUMNS = ["call", "ms", "beside, ms", "ratio"]


def fitted(X):
    """Return a model whose training does not matter here."""
    return VAETransformer(
        network=MLP((512,), linear_map=False),
        likelihood="bernoulli",
        max_iter=0,
        random_state=0,
        device="cpu",
    ).fit(X[:2000])


def layers(body):
    """Return the network's layers alone."""
    return torch.nn.Sequential(*body.hidden, body.output)


@torch.inference_mode()
def bare_transform(vae, X, batch_size):
    """The encoder's layers in inference mode."""
    network = layers(vae._fitted.module.encoder.body)
    parts = [network(part)[:, :2] for part in torch.from_numpy(X).split(batch_size)]
    return torch.cat(parts).numpy()


@torch.inference_mode()
def plain_score_samples(vae, X, batch_size=200):
    """The importance-weighted bound as a tutorial writes it, on plain normal draws."""
    encoder, decoder = (
        layers(part.body) for part in (vae._fitted.module.encoder, vae._fitted.module.decoder)
    )
    scores = []
    for x in torch.from_numpy(X).split(batch_size):
        mean, log_scale = encoder(x).chunk(2, dim=1)
        eps = torch.randn(N_DRAWS, *mean.shape)
        z = mean + log_scale.exp() * eps
        logits = decoder(z)
        fit = -torch.nn.functional.binary_cross_entropy_with_logits(
            logits, x.expand_as(logits), reduction="none"
        ).sum(-1)
        weight = fit + 0.5 * (eps**2 - z**2).sum(-1) + log_scale.sum(-1)
        scores.append(weight.logsumexp(0) - math.log(N_DRAWS))
    return torch.cat(scores).numpy()


def compare(name, ours, theirs, rounds):
    """Print and return milliseconds and the ratio of speeds."""
    times = []
    for _ in range(rounds):
        pair = []
        for function in (ours, theirs):
            start = time.perf_counter()
            function()
            pair.append(time.perf_counter() - start)
        times.append(pair)
    mine, other = np.median(times, axis=0)
    ratio = np.median([theirs / ours for ours, theirs in times])
    row = [name, f"{mine * 1e3:.2f}", f"{other * 1e3:.2f}", f"{ratio:.2f}"]
    print("{}: {} ms, beside {} ms, ratio {}".format(*row))
    return row


def peak_memory():
    """Return the process's peak in KiB; getrusage's would begin with the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def peak_growth(which, n_rows):
    """Print by how many MiB scoring raises the process's peak memory."""
    X = np.random.default_rng(0).random((n_rows, WIDTH), dtype=np.float32)
    vae = fitted(X)
    peak = peak_memory()
    {"ours": vae.score_samples, "plain": lambda X: plain_score_samples(vae, X)}[which](X)
    print((peak_memory() - peak) // 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peak", choices=["ours", "plain"], help=argparse.SUPPRESS)
    add_option(parser)
    args = parser.parse_args()
    if args.peak:
        peak_growth(args.peak, args.rows)
        return
    print(describe_machine())
    X = np.random.default_rng(0).random((args.rows, WIDTH), dtype=np.float32)
    vae, pca = fitted(X), PCA(2).fit(X[:2000])
    speeds = [
        compare(
            f"transform of {args.rows} rows, beside the bare layers by {size}",
            lambda: vae.transform(X),
            lambda size=size: bare_transform(vae, X, size),
            3 * args.rounds,
        )
        for size in (256, 1024, 4096)
    ]
    row = X[:1]
    one = (lambda: vae.transform(row), lambda: pca.transform(row))
    speeds.append(compare("transform of one row, beside PCA's", *one, 300))
    name = f"score_samples of {args.rows} rows, beside plain torch"
    plain = lambda: plain_score_samples(vae, X)  # noqa: E731
    speeds.append(compare(name, lambda: vae.score_samples(X), plain, 2))
    peaks = []
    for which in ("ours", "plain"):
        command = [sys.executable, __file__, "--peak", which, "--rows", str(args.rows)]
        grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks.append([f"score_samples, {which}", grown.strip()])
        print("{}: peak memory grows by {} MiB".format(*peaks[-1]))
    tables = [
        Table("Speed, medians of the rounds", COLUMNS, speeds),
        Table("Growth of the peak memory", ["call", "MiB"], peaks),
    ]
    save(__file__, tables, args.save)


if __name__ == "__main__":
    main()
