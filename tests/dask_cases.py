"""A Dask cluster of two worker processes, for tests that must not hang."""

import os
import signal
import threading
from contextlib import contextmanager, suppress

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster

from skvae.dask.placement import Rank

# Of a test; on a busy machine a worker takes half of it to import torch.
SECONDS = 120


@contextmanager
def cluster_of_two():
    """Give a client of a cluster of two workers, each a process."""
    # The time after which a client that is gone no longer holds a worker.
    leases = {"lease-timeout": "2s", "lease-validation-interval": "500ms"}
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        dask.config.set({"distributed.scheduler.locks": leases}),
        LocalCluster(**options, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def time_limit(client):
    """Fail a test that takes too long; wait for workers that the last test killed."""

    def fail(*_):
        pytest.fail(f"The test took longer than {SECONDS} seconds.")

    warm_up(client)
    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def warm_up(client):
    """Wait for two workers that have imported torch."""
    client.wait_for_workers(2, timeout=SECONDS)
    # A worker that is killed may still be on the list for a moment.
    with suppress(OSError):
        client.run(lambda: __import__("skvae.dask.workers"))
    client.wait_for_workers(2, timeout=SECONDS)


def two_ranks(client):
    """Return two ranks, one on each worker, with 2 and 3 rows."""
    return [
        Rank(address, [client.scatter(np.ones((n, 2)), workers=[address], hash=False)])
        for n, address in zip((2, 3), sorted(client.nthreads()), strict=True)
    ]


@contextmanager
def after(seconds, function, *args):
    """Call a function during the body, from another thread."""
    timer = threading.Timer(seconds, function, args)
    timer.start()
    yield
    timer.join()


def kill(pids, which=signal.SIGKILL):
    for pid in pids:
        os.kill(pid, which)
