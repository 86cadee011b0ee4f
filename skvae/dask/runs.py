"""Run a function on workers that form a process group, and watch them."""

import math
import threading
import uuid
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from time import monotonic, sleep

from distributed import CancelledError, Semaphore, wait

from skvae.dask.workers import abort_rank, open_store, run_rank, stop_rank
from skvae.training.progress import Progress

# Seconds from one look at the workers to the next.
_POLL = 0.2
# Seconds that ranks are given to end after another one has failed.
_GRACE = 10.0
# Seconds after which the scheduler has noticed that a worker is gone.
_NOTICE = 2.0


def run_in_group(client, ranks, function, *args, timeout, ends_early=True):
    """Run ``function(chunks, group, should_stop, ...)`` on the workers of some ranks.

    Other calls that share a worker wait until this one has ended.

    Parameters
    ----------
    client : Client
    ranks : list of Rank
    function : callable
        Called with the chunks of the rank, a process group of all ranks, and a function that
        says whether to end early; then `args`, and the arguments of the rank.
    *args
        More arguments, for all ranks; futures are replaced by their results.
    timeout : float
        Seconds that a rank waits for another.
    ends_early : bool, default=True
        Whether the first Ctrl-C asks the ranks to end early. Else it raises
        KeyboardInterrupt, as the second one does.

    Returns
    -------
    list
        The results in the order of the ranks.

    Raises
    ------
    RuntimeError
        If a worker leaves the cluster or no longer answers; the message names it.
    KeyboardInterrupt
        At the second Ctrl-C, or at the first.
    Exception
        The error of the function on the rank that failed first.
    """
    with _reserved(client, [rank.address for rank in ranks]):
        run = _Run(client, ranks, timeout)
        try:
            return run.results(function, args, ends_early)
        finally:
            run.end()


class _Run:
    """The tasks of a group of workers, and how the client waits for them.

    Parameters
    ----------
    client, ranks, timeout
        As in :func:`run_in_group`.
    """

    def __init__(self, client, ranks, timeout):
        self.client, self.ranks, self.timeout = client, ranks, timeout
        self.name = f"skvae-{uuid.uuid4().hex}"
        self.addresses = [rank.address for rank in ranks]
        self.heartbeats = _Heartbeats(client, self.addresses)
        self.progress = Progress()
        self.tasks = []

    def results(self, function, args, ends_early):
        """Run the ranks and return their results."""
        self.tasks = [self._submit(self.addresses[0], open_store, self.timeout)]
        self._wait(at_most=self.timeout)
        store, n_ranks = self.tasks[0].result(), len(self.ranks)
        self.tasks = [
            self._submit(
                each.address,
                run_rank,
                i,
                n_ranks,
                store,
                self.timeout,
                function,
                each.chunks,
                *args,
                *each.arguments,
            )
            for i, each in enumerate(self.ranks)
        ]
        with self.progress.noting_ctrl_c() if ends_early else nullcontext():
            self._wait()
        return [self._result(task) for task in self.tasks]

    def end(self):
        """End the tasks that still run, so that the workers are free for others."""
        if all(task.status == "finished" for task in self.tasks):
            return
        self._tell(abort_rank)
        lost = self._lost(self.timeout / 2)
        there = zip(self.addresses, self.tasks, strict=False)
        with suppress(TimeoutError, CancelledError):
            wait([task for address, task in there if address not in lost], timeout=_GRACE)
        self.client.cancel(self.tasks)

    def _submit(self, address, function, *args):
        return self.client.submit(function, self.name, *args, workers=[address], pure=False)

    def _wait(self, at_most=math.inf):
        """Wait until all tasks have ended; raise an error if one cannot, or has failed."""
        told, end = False, monotonic() + at_most
        while pending := [task for task in self.tasks if not task.done()]:
            # A task is cancelled if a chunk that it needs is lost for good.
            with suppress(TimeoutError, CancelledError):
                wait(pending, timeout=_POLL, return_when="FIRST_COMPLETED")
            self._check_workers(self.timeout)
            self._check_tasks()
            if monotonic() > end and not self.tasks[0].done():
                raise RuntimeError(
                    f"The worker {self.addresses[0]} did not begin within {at_most:g} seconds: "
                    "it is busy with other tasks, or paused. Raise timeout, or wait for it."
                )
            if self.progress.interrupted and not told:
                self._tell(stop_rank)
                told = True

    def _result(self, task):
        """Return the result of a task that has ended, unless its worker is lost with it."""
        seconds = 1.0
        while True:
            with suppress(TimeoutError):
                return task.result(timeout=seconds)
            self._check_workers(self.timeout)
            # A large result takes its time.
            seconds *= 2

    def _check_workers(self, seconds):
        lost = self._lost(seconds)
        if lost:
            names = ", ".join(map(str, lost))
            raise RuntimeError(
                f"The training ended because the cluster lost {names}: such a worker has left, "
                "or has not answered. The estimator is as before. Fit again: Dask computes "
                "the lost chunks again, on the workers that are there."
            )

    def _check_tasks(self):
        """Raise the error of a task that has failed, unless a lost worker is the cause."""
        failed = [i for i, t in enumerate(self.tasks) if t.status in ("error", "cancelled")]
        if not failed:
            return
        try:
            self.tasks[failed[0]].result()
        except Exception as error:
            if isinstance(error, RuntimeError | CancelledError):
                self._check_workers_for(_NOTICE)
            ranks = ", ".join(f"{i} {address}" for i, address in enumerate(self.addresses))
            error.add_note(f"It was raised on rank {failed[0]} of the workers {ranks}.")
            raise

    def _check_workers_for(self, seconds):
        """Raise RuntimeError for lost workers, as a rank may notice them before Dask does."""
        end = monotonic() + seconds
        while monotonic() < end:
            self._check_workers(self.timeout / 2)
            sleep(_POLL)

    def _lost(self, seconds):
        """Return the workers that have left, or whose last heartbeat is too long ago."""
        there = self.client.nthreads(workers=self.addresses)
        silent = self.heartbeats.older_than(seconds)
        return [a for a in self.addresses if a not in there or a in silent]

    def _tell(self, function):
        """Call a function on the workers; do not wait, as one may be stopped."""

        def tell():
            # Also of a client that has been closed since.
            with suppress(Exception):
                self.client.run(function, self.name, workers=self.addresses, on_error="ignore")

        threading.Thread(target=tell, daemon=True).start()


class _Heartbeats:
    """When the client last saw signs of life of some workers.

    Parameters
    ----------
    client : Client
    addresses : list of str
    """

    def __init__(self, client, addresses):
        self.client, self.addresses = client, addresses
        self._looked = -math.inf
        self._seen = {address: (None, monotonic()) for address in addresses}

    def older_than(self, seconds):
        """Return the workers whose last sign of life is longer ago."""
        now = monotonic()
        if now - self._looked > seconds / 10:
            self._looked = now
            self._look(now)
        return [address for address, (_, when) in self._seen.items() if now - when > seconds]

    def _look(self, now):
        # Times are compared with those of the same clock only.
        # By default some versions of Dask list five workers.
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        for address in self.addresses:
            last = workers.get(address, {}).get("last_seen")
            if last != self._seen[address][0]:
                self._seen[address] = last, now


@contextmanager
def _reserved(client, addresses):
    """Wait for runs on the same workers to end, and let others wait for the body.

    Else two runs might each have a rank that waits for the other run's. All ask for the
    workers in the same order. `MultiLock` would stay locked for good if a client were killed;
    the lease of a semaphore ends by itself.
    """
    with ExitStack() as stack:
        for address in sorted(addresses):
            lock = Semaphore(
                name=f"skvae.dask {address}", scheduler_rpc=client.scheduler, loop=client.loop
            )
            stack.enter_context(_renewed(lock))
            stack.enter_context(lock)
        yield


@contextmanager
def _renewed(lock):
    """Renew the lease of a semaphore in the body only, also if Ctrl-C ends the waiting."""
    try:
        yield
    finally:
        lock.refresh_callback.stop()
