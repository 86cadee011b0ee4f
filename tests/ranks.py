"""Processes of a process group, in which tests run functions."""

import multiprocessing
import os
import tempfile
import time
import traceback
import warnings
from datetime import timedelta
from pathlib import Path

# Seconds for one function, after which the processes are killed and the test fails.
LIMIT = 120


class Ranks:
    """Processes on this machine, one for each rank; they find each other by a file.

    Parameters
    ----------
    size : int
    timeout : float
        Of the process group, in seconds. On a machine that is busy a rank may be slow to
        start, and no other test would work after a timeout.
    """

    def __init__(self, size=2, timeout=100):
        self._folder = tempfile.TemporaryDirectory()
        store = str(Path(self._folder.name) / "store")
        context = multiprocessing.get_context("spawn")
        self.connections, self.processes = [], []
        for rank in range(size):
            own, other = context.Pipe()
            self.connections.append(own)
            process = context.Process(
                target=_serve, args=(other, store, rank, size, timeout), daemon=True
            )
            process.start()
            self.processes.append(process)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
        self._folder.cleanup()

    def start(self, function, *arguments):
        """Begin to call ``function(rank, *arguments)`` in each process."""
        for connection in self.connections:
            connection.send((function, arguments))

    def results(self, ranks=None):
        """Return what the function has returned on each rank, or the error that it raised."""
        end = time.monotonic() + LIMIT
        ranks = range(len(self.connections)) if ranks is None else ranks
        return [self._result(rank, end) for rank in ranks]

    def run(self, function, *arguments):
        """Call a function on all ranks; return the results, and raise what it raised."""
        self.start(function, *arguments)
        results = self.results()
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def _result(self, rank, end):
        if not self.connections[rank].poll(max(0, end - time.monotonic())):
            raise TimeoutError(f"rank {rank} has not answered after {LIMIT} s")
        return self.connections[rank].recv()


def _serve(connection, store, rank, size, timeout):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    distributed.init_process_group(
        "gloo",
        store=distributed.FileStore(store, size),
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=timeout),
    )
    while True:
        function, arguments = connection.recv()
        try:
            result = function(rank, *arguments)
        except BaseException as error:
            error.add_note(traceback.format_exc())
            result = error
        connection.send(result)
