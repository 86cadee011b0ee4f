"""Training throughput of the same network, batch and data: skvae and its peers.

    pip install ".[bench]" && python benchmarks/peers.py

Rows per second of training steps on random rows, medians; each peer in a process of its
own, in turn, `--rounds` times. On a GPU: `--device cuda`, with torch's float32 exact.
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np
from _results import Table, add_option, save
from _table import print_header, print_row

PEERS = ("skvae", "torch loop", "torch DataLoader", "Keras/TF", "Keras/torch", "pythae")
ROWS = (("dense", 50), ("dense", 128), ("dense", 512), ("conv", 32), ("conv", 128))
CUDA_ROWS = (*ROWS[:3], ("dense", 2048), *ROWS[3:], ("conv", 512), ("conv", 2048))


def rows_of(device):
    """Return the networks and batch sizes: a GPU has room for larger ones."""
    return ROWS if device == "cpu" else CUDA_ROWS


def measure(peer, n_rows, threads, device):
    """Time one peer on every network and batch; run in a process of its own."""
    import _peers
    import torch

    torch.set_num_threads(threads)
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    function = {
        "skvae": _peers.skvae,
        "torch loop": _peers.torch_loop,
        "torch DataLoader": _peers.torch_dataloader,
        "pythae": _peers.pythae,
    }.get(peer, _peers.keras)
    result = {}
    for kind, batch_size in rows_of(device):
        X = _peers.random_rows(n_rows if kind == "dense" else n_rows // 8)
        result[f"{kind}, {batch_size}"] = len(X) / function(kind, X, batch_size, device)
    print(json.dumps(result))


def run(peer, args):
    """Return one peer's rows per second, from a fresh process."""
    threads = str(args.threads)
    environment = dict(os.environ, OMP_NUM_THREADS=threads, TF_NUM_INTRAOP_THREADS=threads)
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTEROP_THREADS": "1"}
    environment["KERAS_BACKEND"] = "tensorflow" if peer == "Keras/TF" else "torch"
    command = [sys.executable, __file__, "--peer", peer, "--rows", str(args.rows)]
    command += ["--threads", threads, "--device", args.device]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"{peer} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def limits(device):
    """Return the rows per second at which a step would be nothing but fast products."""
    import _peers

    rate = _peers.product_rate(device)
    print(f"float32 products of 2048 x 2048: {rate / 1e9:.0f} GFLOP/s")
    return {kind: rate / _peers.flop_per_row(kind) for kind in ("dense", "conv")}


def table(results, most, sizes):
    """Print the medians of the rounds and return them."""
    peers = list(results)
    columns = ["network, batch", *peers, "skvae / best package", "of the limit"]
    print_header(columns)
    rows = []
    for kind, batch_size in sizes:
        key = f"{kind}, {batch_size}"
        medians = {peer: np.median([one[key] for one in results[peer]]) for peer in peers}
        packages = [medians[p] for p in peers if p.startswith("Keras") or p == "pythae"]
        ratio = f"{medians['skvae'] / max(packages):.2f}" if packages else ""
        share = medians["skvae"] / most[kind]
        rates = (f"{rate:,.0f}" for rate in medians.values())
        rows.append([key, *rates, ratio, f"{share:.0%}"])
        print_row(rows[-1])
    return Table("Rows of a training step a second, medians of the rounds", columns, rows)


def plot(results, path, rows):
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(kind for kind, _ in rows))
    sizes = {kind: [size for other, size in rows if other == kind] for kind in kinds}
    figure, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(9, 3.5),
        layout="constrained",
        width_ratios=[len(sizes[kind]) for kind in kinds],
    )
    width = 0.8 / len(results)
    for ax, kind in zip(axes, kinds, strict=True):
        at = np.arange(len(sizes[kind]))
        for i, (peer, rounds) in enumerate(results.items()):
            keys = [f"{kind}, {size}" for size in sizes[kind]]
            heights = [np.median([one[key] for one in rounds]) / 1000 for key in keys]
            ax.bar(at + (i - (len(results) - 1) / 2) * width, heights, width, label=peer)
        ax.set(title=kind, xlabel="batch size", xticks=at, xticklabels=sizes[kind])
    axes[0].set_ylabel("thousand rows per second")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peers", nargs="*", default=PEERS)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--plot", default="peers.png")
    add_option(parser)
    args = parser.parse_args()
    if args.peer:
        measure(args.peer, args.rows, args.threads, args.device)
        return
    from _machine import describe_machine

    print(describe_machine(), f"; {args.threads} threads each, device {args.device}")
    most, results = limits(args.device), {}
    for _ in range(args.rounds):
        for peer in args.peers:
            figures = run(peer, args)
            if figures is not None:
                results.setdefault(peer, []).append(figures)
    sizes = rows_of(args.device)
    found = table(results, most, sizes)
    plot(results, args.plot, sizes)
    save(__file__, [found], args.save)


if __name__ == "__main__":
    main()
