"""Training throughput of the same network, batch and data: skvae and its peers.

    pip install ".[bench]" && python benchmarks/peers.py

Rows per second of training steps on random rows, medians; each peer in a process of its
own, in turn, `--rounds` times.
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np

PEERS = ("skvae", "torch loop", "torch DataLoader", "Keras/TF", "Keras/torch", "pythae")
ROWS = (("dense", 50), ("dense", 128), ("dense", 512), ("conv", 32), ("conv", 128))


def measure(peer, n_rows, threads):
    """Time one peer on every network and batch; run in a process of its own."""
    import _peers
    import torch

    torch.set_num_threads(threads)
    function = {
        "skvae": _peers.skvae,
        "torch loop": _peers.torch_loop,
        "torch DataLoader": _peers.torch_dataloader,
        "pythae": _peers.pythae,
    }.get(peer, _peers.keras)
    result = {}
    for kind, batch_size in ROWS:
        X = _peers.random_rows(n_rows if kind == "dense" else n_rows // 8)
        result[f"{kind}, {batch_size}"] = len(X) / function(kind, X, batch_size)
    print(json.dumps(result))


def run(peer, args):
    """Return one peer's rows per second, from a fresh process."""
    threads = str(args.threads)
    environment = dict(os.environ, OMP_NUM_THREADS=threads, TF_NUM_INTRAOP_THREADS=threads)
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTEROP_THREADS": "1"}
    environment["KERAS_BACKEND"] = "tensorflow" if peer == "Keras/TF" else "torch"
    command = [sys.executable, __file__, "--peer", peer, "--rows", str(args.rows)]
    command += ["--threads", threads]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(f"{peer} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def print_table(results):
    peers = list(results)
    print("| network, batch | " + " | ".join(peers) + " | skvae / best package |")
    print("|" + " --- |" * (len(peers) + 2))
    for kind, batch_size in ROWS:
        key = f"{kind}, {batch_size}"
        medians = {peer: np.median([one[key] for one in results[peer]]) for peer in peers}
        packages = [medians[p] for p in peers if p.startswith("Keras") or p == "pythae"]
        ratio = f"{medians['skvae'] / max(packages):.2f}" if packages else ""
        print(f"| {key} | " + " | ".join(f"{v:,.0f}" for v in medians.values()), f"| {ratio} |")


def plot(results, path):
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    keys = [f"{kind}, {batch_size}" for kind, batch_size in ROWS]
    width = 0.8 / len(results)
    for i, (peer, rounds) in enumerate(results.items()):
        heights = [np.median([one[key] for one in rounds]) for key in keys]
        ax.bar(np.arange(len(keys)) + i * width, heights, width, label=peer)
    ax.set(yscale="log", ylabel="rows per second", xlabel="network, batch")
    ax.set_xticks(np.arange(len(keys)) + 0.4 - width / 2, keys)
    ax.legend(ncols=3, fontsize="small")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peers", nargs="*", default=PEERS)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--plot", default="peers.png")
    args = parser.parse_args()
    if args.peer:
        measure(args.peer, args.rows, args.threads)
        return
    from _machine import describe_machine

    print(describe_machine(), f"; {args.threads} threads each")
    results = {}
    for _ in range(args.rounds):
        for peer in args.peers:
            figures = run(peer, args)
            if figures is not None:
                results.setdefault(peer, []).append(figures)
    print_table(results)
    plot(results, args.plot)


if __name__ == "__main__":
    main()
