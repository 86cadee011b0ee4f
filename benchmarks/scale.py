"""Training in a group of processes: rows a second, memory, and where the time goes.

    python benchmarks/scale.py speed      # one process, a group, DistributedDataParallel
    python benchmarks/scale.py memory     # twice the rows that one process may hold
    python benchmarks/scale.py parts      # start and epoch with 1, 2 and 4 processes
    python benchmarks/scale.py paper      # carried on to 8 GPUs and 64 machines
    python benchmarks/scale.py nccl       # on CUDA: one rank on nccl is as no group
    python benchmarks/scale.py speed --save speed

A dense network, 784-512-2-512-784, Bernoulli, on random rows. Figures of `speed` and `parts`
are differences between trainings of different lengths, and leave out the start; medians of
rounds in turn. On a machine that does other work at the same time they mean little.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import torch
from _group import Stopwatch, run
from _machine import describe_machine
from _networks import carried_on
from _results import Table, add_option, save
from overhead import HIDDEN, LATENT, WIDTH, PlainVAE
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from skvae import VAETransformer
from skvae.networks import MLP

BATCHES = (128, 512, 2048)
# A group's buffer of gradients: one number for each parameter, float32.
BYTES = 4 * sum(p.numel() for p in PlainVAE().parameters())


def build(batch_size, epochs, **parameters):
    return VAETransformer(
        LATENT,
        network=MLP((HIDDEN,), linear_map=False),
        likelihood="bernoulli",
        batch_size=batch_size,
        max_iter=epochs,
        early_stopping=False,
        random_state=0,
        **{"device": "cpu"} | parameters,
    )


def print_line(*cells):
    print(" | ".join(map(str, cells)), flush=True)


def rows_of(rank, size, n_rows):
    """Return the rows of one rank; they are drawn in its own process."""
    n_own = n_rows // size
    return (np.random.RandomState(rank).rand(n_own, WIDTH) > 0.5).astype(np.float32)


# -- speed -----------------------------------------------------------------------------------


def seconds_of_fit(X, batch_size, epochs, group=None, device="cpu"):
    start = time.perf_counter()
    build(batch_size, epochs, device=device).fit(X, group=group)
    return time.perf_counter() - start


def seconds_of_ddp(X, batch_size, epochs):
    """Return the seconds of torch's own loop in a group."""
    x, own = torch.from_numpy(X), batch_size // distributed.get_world_size()
    model = DistributedDataParallel(Loss(PlainVAE()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    start = time.perf_counter()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(own):
            optimizer.zero_grad()
            model(x[batch]).backward()
            optimizer.step()
    return time.perf_counter() - start


class Loss(torch.nn.Module):
    """A module whose `forward` is the loss, as DistributedDataParallel needs it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.loss(x)


def rates(rank, size, n_rows, way, rounds, device="cpu"):
    """Return the rows a second of all ranks together, by batch size."""
    X = rows_of(rank, size, n_rows)
    take = {
        "fit": lambda batch, epochs: seconds_of_fit(
            X, batch, epochs, "world" if size > 1 else None, device
        ),
        "ddp": lambda batch, epochs: seconds_of_ddp(X, batch, epochs),
    }[way]
    found = {}
    for batch in BATCHES:
        take(batch, 1)
        longer = [take(batch, 4) - take(batch, 1) for _ in range(rounds)]
        found[batch] = 3 * n_rows / np.median(longer)
    return found


#: Processes, threads of each, and the function that trains, by the name of the option.
WAYS = {
    "one-thread": ("one process, one thread", 1, 1, "fit"),
    "two-threads": ("one process, two threads", 1, 2, "fit"),
    "group": ("two processes, group", 2, 1, "fit"),
    "ddp": ("two processes, DistributedDataParallel", 2, 1, "ddp"),
}


def speed(n_rows, rounds, ways):
    print_line("rows a second by global batch", *BATCHES)
    rows = []
    for name, size, threads, way in map(WAYS.get, ways):
        found = run(rates, size, size, n_rows, way, rounds, threads=threads)[0]
        rows.append([name, *(found[batch] for batch in BATCHES)])
        print_line(name, *(f"{rate:,.0f}" for rate in rows[-1][1:]))
    title = f"Rows a second by global batch, {n_rows} rows, medians of {rounds} rounds"
    return [Table(title, ["training", *map(str, BATCHES)], rows)]


# -- memory ----------------------------------------------------------------------------------


def fit_with_limit(rank, size, n_rows, most_bytes):
    """Return whether a rank can hold its rows and train, with a limit on new memory."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + most_bytes, used + most_bytes))
    try:
        X = np.ones((n_rows // size, WIDTH), dtype=np.float32)
        X[::2] = 0
        build(2048, 1).fit(X, group="world" if size > 1 else None)
    except MemoryError:
        return False
    return True


def memory(n_rows):
    # Rows of one rank and as much again for the training; all rows alone are more.
    most = 4 * WIDTH * n_rows // 2 + 300 * 2**20
    alone, both = (run(fit_with_limit, size, size, n_rows, most) for size in (1, 2))
    sizes = [f"{size / 2**20:,.0f}" for size in (4 * WIDTH * n_rows, most)]
    print("{} MiB of rows, {} MiB a process".format(*sizes))
    print(f"one process: {alone}; two processes: {both}")
    columns = ["rows, MiB", "limit of a process, MiB", "one process", "two processes"]
    fits = ["fits" if all(ranks) else "does not fit" for ranks in (alone, both)]
    return [Table("Rows and a limit on the memory of a process", columns, [[*sizes, *fits]])]


# -- parts -----------------------------------------------------------------------------------


def parts_of(rank, size, n_rows, batch_size):
    """Return the seconds of the start, and those of an epoch by what they are spent on."""
    X, group = rows_of(rank, size, n_rows), "world" if size > 1 else None
    start = seconds_of_fit(X, batch_size, 0, group)
    found = []
    for epochs in (1, 3):
        with Stopwatch() as watch:
            whole = seconds_of_fit(X, batch_size, epochs, group)
        found.append(np.array([whole, watch.communication, watch.waiting]))
    whole, communication, waiting = (found[1] - found[0]) / 2
    return start, whole - communication - waiting, communication, waiting


def parts(n_rows):
    columns = ["processes", "batch", "start s", "epoch: arithmetic s", "communication s"]
    columns += ["waiting s"]
    print_line(*columns)
    rows = []
    for size in (1, 2, 4):
        for batch in BATCHES:
            seconds = np.mean(run(parts_of, size, size, n_rows, batch), 0)
            rows.append([size, batch, *(f"{s:.2f}" for s in seconds)])
            print_line(*rows[-1])
    return [Table(f"Where the time goes, {n_rows} rows", columns, rows)]


# -- on paper --------------------------------------------------------------------------------


def paper(n_rows, rounds):
    """Carry the seconds of a step of one process, on a GPU where there is one, on to groups."""
    device, threads = ("cuda", 1) if torch.cuda.is_available() else ("cpu", 2)
    (found,) = run(rates, 1, 1, n_rows, "fit", rounds, device, threads=threads)
    seconds = {batch: batch / rate for batch, rate in found.items()}
    tables = carried_on(seconds, device, BYTES)
    for table in tables:
        print(table.title)
        for row in [table.columns, *table.rows]:
            print_line(*row)
    return tables


# -- a GPU -----------------------------------------------------------------------------------


def nccl(n_rows):
    """Compare one rank on nccl with no group: a group of one is none, so gather by hand."""
    if not torch.cuda.is_available():
        print("no GPU")
        return []
    from skvae.group import Group

    distributed.init_process_group("nccl", store=distributed.HashStore(), rank=0, world_size=1)
    flat = torch.ones(BYTES // 4, device="cuda")
    before = flat.clone()
    group = Group(distributed.group.WORLD)
    group.begin_steps([flat])
    group.add(False, True)
    X = rows_of(0, 1, n_rows)
    models = [build(512, 2, device="cuda").fit(X, group=g) for g in (None, "world")]
    losses = [model.history_["loss"] for model in models]
    same = {
        "the sum of one rank is itself": torch.equal(flat, before),
        "the same losses": np.array_equal(*losses),
    }
    for name, holds in same.items():
        print(f"{name}:", holds)
    distributed.destroy_process_group()
    rows = [[name, "yes" if holds else "no"] for name, holds in same.items()]
    return [Table("One rank on nccl beside no group", ["comparison", "holds"], rows)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["speed", "memory", "parts", "paper", "nccl"])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="of speed")
    add_option(parser)
    options = parser.parse_args()
    print(describe_machine())
    tables = {
        "speed": lambda rows: speed(rows, options.rounds, options.ways),
        "paper": lambda rows: paper(rows, options.rounds),
        "memory": memory,
        "parts": parts,
        "nccl": nccl,
    }[options.part](options.rows)
    save(__file__, tables, options.save)
