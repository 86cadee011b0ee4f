"""What runs on the workers of a cluster: the ranks of a process group."""

import threading
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
from distributed import get_worker
from distributed.comm import get_address_host
from torch.distributed import ProcessGroup, ProcessGroupGloo, TCPStore

# Of a message that no rank sends.
_UNUSED_TAG = 9


class _Control:
    """By which the client reaches a rank while it runs.

    Attributes
    ----------
    stop : threading.Event
        Set to end the training after the current step, with its best state.
    group : ProcessGroup or None
    """

    def __init__(self):
        self.stop = threading.Event()
        self.group = None

    def abort(self):
        """Close the connections of the rank: what it exchanges with others ends in an error."""
        self.stop.set()
        if self.group is None:
            return
        for other in set(range(self.group.size())) - {self.group.rank()}:
            # gloo has no other way: its `abort` does nothing, but a timeout closes them.
            with suppress(RuntimeError):
                received = self.group.recv([torch.zeros(1)], other, _UNUSED_TAG)
                received.wait(timedelta(milliseconds=1))


# By run and address of the worker, of which a process may have several.
_controls: dict[tuple[str, str], _Control] = {}
_stores: dict[str, TCPStore] = {}


def stop_rank(run, dask_worker):
    """Ask the rank on this worker to end its training with the best state."""
    _control(run, dask_worker).stop.set()


def abort_rank(run, dask_worker):
    """End the rank on this worker with an error, and forget the run."""
    _control(run, dask_worker).abort()
    _forget(run, dask_worker)


def open_store(run, timeout):
    """Open the store by which the ranks of a run find each other; return its address.

    It is on the host by which Dask reaches this worker, and on a free port.
    """
    host = _host(get_worker())
    store = TCPStore(
        host, 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=timeout)
    )
    _stores[run] = store
    return host, store.port


def run_rank(run, rank, n_ranks, address, timeout, function, chunks, *args):
    """Run ``function(chunks, group, should_stop, *args)`` as one rank of a group of workers.

    Parameters
    ----------
    run : str
        Identifier of the run.
    rank, n_ranks : int
    address : tuple of (str, int)
        Of the store.
    timeout : float
        Seconds that a rank waits for another.
    function : callable
    chunks : list of arrays or frames
        The rows of this rank.
    """
    worker = get_worker()
    control = _control(run, worker)
    task = worker.get_current_task()

    def should_stop():
        # If the client is gone, the scheduler cancels its tasks, but cannot end a thread.
        state = worker.state.tasks.get(task)
        return control.stop.is_set() or state is None or state.state == "cancelled"

    with torch_threads(worker.state.nthreads):
        try:
            control.group = form_group(_host(worker), address, rank, n_ranks, timeout)
        except RuntimeError as error:
            raise RuntimeError(
                f"Not all of {n_ranks} workers met within {timeout:g} seconds: they are busy "
                "with other tasks, paused, or cannot reach each other. Raise timeout, or wait "
                f"for the other tasks. torch says: {error}"
            ) from error
        result = function(chunks, control.group, should_stop, *args)
    # After an error the client has the other ranks end too, once it knows of the first one.
    _forget(run, worker)
    return result


def form_group(host, address, rank, n_ranks, seconds):
    """Return a process group that is bound to a host and known to nobody else.

    Unlike the default group of torch it leaves the process as it was: two runs do not meet,
    and a group of the user's own may exist.
    """
    timeout = timedelta(seconds=seconds)
    store = TCPStore(*address, is_master=False, timeout=timeout)
    options = ProcessGroupGloo._Options()
    # gloo's own choice is the interface of the machine's name, which others may not reach.
    options._devices = [ProcessGroupGloo.create_device(hostname=host)]
    options._timeout = timeout
    backend = ProcessGroupGloo(store, rank, n_ranks, options)
    group = ProcessGroup(store, rank, n_ranks)
    group._set_default_backend(ProcessGroup.BackendType.GLOO)
    # On GPUs too: unlike nccl it lets several workers share one.
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        group._register_backend(torch.device(device), ProcessGroup.BackendType.GLOO, backend)
    return group


@contextmanager
def torch_threads(n_threads):
    """Compute on a number of threads; Dask lets its workers' libraries use one only."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _control(run, worker):
    return _controls.setdefault((run, worker.address), _Control())


def _forget(run, worker):
    _controls.pop((run, worker.address), None)
    _stores.pop(run, None)


def _host(worker):
    """Return the address by which Dask reaches a worker, without protocol and port."""
    return get_address_host(worker.contact_address or worker.address)
