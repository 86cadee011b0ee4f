"""Processes on this machine that train in a group, and where their time goes."""

import os
import tempfile
import time
import warnings
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed, multiprocessing

from skvae.connections import Connections

# Elements up to which what is exchanged is a short message: it waits for the slowest rank.
_SHORT = 8


def run(function, size, *arguments, threads=1):
    """Return what ``function(rank, *arguments)`` returns in each process of a group."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        store = str(Path(folder) / "store")
        processes = [
            context.Process(
                target=_serve, args=(queue, store, function, rank, size, threads, arguments)
            )
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        results = dict(queue.get(timeout=900) for _ in processes)
        for process in processes:
            process.join()
    return [results[rank] for rank in range(size)]


def _serve(queue, store, function, rank, size, threads, arguments):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    distributed.init_process_group(
        "gloo",
        store=distributed.FileStore(store, size),
        rank=rank,
        world_size=size,
        timeout=timedelta(minutes=10),
    )
    queue.put((rank, function(rank, *arguments)))
    distributed.destroy_process_group()


class Stopwatch:
    """Adds up the seconds of a training that go into waiting and into communication."""

    def __init__(self):
        self.waiting = self.communication = 0.0

    def __enter__(self):
        self._add = Connections.add
        watch = self

        def timed(connections, tensor):
            start = time.perf_counter()
            watch._add(connections, tensor)
            took = time.perf_counter() - start
            if tensor.numel() <= _SHORT:
                watch.waiting += took
            else:
                watch.communication += took

        Connections.add = timed
        return self

    def __exit__(self, *error):
        Connections.add = self._add
