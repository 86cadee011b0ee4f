"""What wrapping costs: `fit` beside the plainest torch loop, `transform` beside PCA's.

    python benchmarks/overhead.py

The same network (784-512-2-512-784, Bernoulli), batch size, number of steps and optimiser
(AdamW, fused); random data; rounds in turn, medians.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from _machine import describe_machine
from _results import Table, add_option, save
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.nn import functional

from skvae import VAETransformer
from skvae.networks import MLP

WIDTH, HIDDEN, LATENT = 784, 512, 2
EPOCHS = 3


class PlainVAE(nn.Module):
    """What a tutorial writes."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT)
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH)
        )

    def loss(self, x):
        mean, log_scale = self.encoder(x).chunk(2, dim=1)
        scale = log_scale.exp()
        logits = self.decoder(mean + scale * torch.randn_like(mean))
        fit = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (mean**2 + scale**2 - 1 - 2 * log_scale).sum()
        return (fit + kl) / len(x)


def plain_loop(X, batch_size):
    x = torch.from_numpy(X)
    model = PlainVAE()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(batch_size):
            optimizer.zero_grad()
            model.loss(x[batch]).backward()
            optimizer.step()


def wrapped(X, batch_size):
    VAETransformer(
        LATENT,
        network=MLP((HIDDEN,), linear_map=False),
        likelihood="bernoulli",
        batch_size=batch_size,
        max_iter=EPOCHS,
        early_stopping=False,
        random_state=0,
        device="cpu",
    ).fit(X)


def seconds(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def compare_fit(rounds, n_rows):
    title = f"{EPOCHS} epochs of {n_rows} rows of {WIDTH}; seconds, median of {rounds} rounds"
    print(f"fit, {title}")
    print(f"{'batch':>5s} {'torch loop':>11s} {'skvae':>11s} {'ratio':>6s} (target 0.95)")
    X = np.random.default_rng(0).random((n_rows, WIDTH), dtype=np.float32)
    rows = []
    for batch_size in (50, 128, 512):
        plain_loop(X[:2000], batch_size)
        wrapped(X[:2000], batch_size)
        times = np.array(
            [[seconds(f, X, batch_size) for f in (plain_loop, wrapped)] for _ in range(rounds)]
        )
        plain, ours = np.median(times, axis=0)
        # The ratio within a round, so that a slow spell of the machine hits both.
        ratio = np.median(times[:, 0] / times[:, 1])
        rows.append([batch_size, f"{plain:.2f}", f"{ours:.2f}", f"{ratio:.3f}"])
        print("{:5d} {:>11s} {:>11s} {:>6s}".format(*rows[-1]))
    return Table(f"fit: {title}", ["batch", "torch loop", "skvae", "ratio"], rows)


def compare_transform(rounds):
    X = np.random.default_rng(0).random((2000, WIDTH), dtype=np.float32)
    vae = VAETransformer(
        LATENT, network=MLP((HIDDEN,)), max_iter=1, early_stopping=False, random_state=0
    ).fit(X)
    pca = PCA(LATENT).fit(X)
    title = f"transform of one row of {WIDTH}, microseconds, median of {rounds}"
    print(title)
    rows = []
    for dtype in (np.float32, np.float64):
        row = X[:1].astype(dtype)
        vae.transform(row)
        times = [[seconds(model.transform, row) for model in (pca, vae)] for _ in range(rounds)]
        theirs, ours = np.median(times, axis=0) * 1e6
        name = np.dtype(dtype).name
        rows.append([name, f"{theirs:.0f}", f"{ours:.0f}", f"{ours / theirs:.2f}"])
        print("{}: PCA {}, skvae {}, ratio {} (target 3)".format(*rows[-1]))
    return Table(title, ["dtype", "PCA", "skvae", "ratio"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=20_000)
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(describe_machine())
    tables = [compare_fit(args.rounds, args.rows), compare_transform(300)]
    save(__file__, tables, args.save)


if __name__ == "__main__":
    main()
