"""The connections of the ranks of a process group, and what to do when one is lost."""

import pickle
import time
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch

# Seconds that a rank waits for the notes of others after it has lost a connection.
_GRACE = 3.0
# Keys in the store of the group.
_NOTE = "skvae/left/"


class GroupError(RuntimeError):
    """Raised on all ranks of a group when one of them is lost or has failed."""


class Connections:
    """Collective operations on tensors, whose failures name the rank that is lost.

    Parameters
    ----------
    processes : ProcessGroup

    Attributes
    ----------
    is_busy : bool
        Whether an exchange has begun and not ended.
    """

    def __init__(self, processes):
        self._processes = processes
        self._others = [rank for rank in range(processes.size()) if rank != processes.rank()]
        self._control = _with_cpu(processes)
        self.is_busy = False

    @contextmanager
    def busy(self):
        """Note that the body is an exchange; end the training if a connection is lost."""
        self.is_busy = True
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, GroupError):
                raise
            self.leave(None, str(error))
        self.is_busy = False

    def add(self, tensor):
        """Replace a tensor by its sum over all ranks."""
        self._of(tensor).allreduce([tensor]).wait()

    def broadcast(self, tensor):
        """Replace a tensor by that of rank 0."""
        whole = tensor.contiguous()
        self._of(tensor).broadcast(whole, 0).wait()
        if whole is not tensor:
            tensor.copy_(whole)

    def gather(self, data):
        """Return the 1-D tensors of all ranks, of any lengths."""
        size = self._control.size()
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(size)]
        self._control.allgather([lengths], [torch.tensor([len(data)])]).wait()
        longest = max(map(int, lengths))
        padded = torch.zeros(longest, dtype=data.dtype)
        padded[: len(data)] = data
        parts = [torch.empty_like(padded) for _ in range(size)]
        self._control.allgather([parts], [padded]).wait()
        return [part[: int(n)] for part, n in zip(parts, lengths, strict=True)]

    def _of(self, tensor):
        return self._control if tensor.device.type == "cpu" else self._processes

    # -- a lost rank -----------------------------------------------------------------------

    def leave(self, cause, reason=""):
        """Close the connections and, without a cause of this rank, raise GroupError.

        Parameters
        ----------
        cause : tuple of type and str, or None
            Why this rank leaves; None if it has lost a connection.
        reason : str
            What torch said of the lost connection.
        """
        timed_out = "imed out" in reason
        # After a timeout all connections are closed: it cannot be told which ranks are lost.
        closed = [] if timed_out else [rank for rank in self._others if self._is_closed(rank)]
        with suppress(Exception):
            key = f"{_NOTE}{self._control.rank()}"
            self._store().set(key, pickle.dumps((cause, closed)))
        self._close()
        if cause is None:
            raise GroupError(self._explain(self._wait_for_notes(closed), reason))

    def _store(self):
        return self._control.get_group_store()

    def _is_closed(self, rank):
        try:
            self._kept = self._control.send([torch.zeros(1)], rank, 1)
        except RuntimeError:
            return True
        return False

    def _close(self):
        """Close all connections: another rank may be waiting for this one."""
        for rank in self._others:
            with suppress(RuntimeError):
                work = self._control.recv([torch.zeros(1)], rank, 2)
                # gloo closes the connections of a group at a timeout.
                work.wait(timedelta(milliseconds=1))

    def _wait_for_notes(self, closed):
        """Return the notes of the other ranks, once each has left one or is lost."""
        notes, end = {}, time.monotonic() + _GRACE
        with suppress(Exception):
            while time.monotonic() < end:
                for rank in self._others:
                    key = f"{_NOTE}{rank}"
                    if rank not in notes and self._store().check([key]):
                        notes[rank] = pickle.loads(self._store().get(key))
                lost = set(closed).union(*(note[1] for note in notes.values()))
                if lost - set(notes) and lost | set(notes) >= set(self._others):
                    break
                if any(note[0] is not None for note in notes.values()):
                    break
                time.sleep(0.05)
        return notes

    def _explain(self, notes, reason):
        for rank, (cause, _) in notes.items():
            if cause is not None:
                return f"On rank {rank} of {self._control.size()}: {cause[1]}"
        lost = {rank for _, closed in notes.values() for rank in closed} - set(notes)
        lost -= {self._control.rank()}
        silent = sorted(lost or set(self._others) - set(notes))
        if not silent:
            return (
                "A rank has taken longer than the timeout of the process group: set a longer "
                f"one where the group is formed. torch says: {_shortened(reason)}"
            )
        names = ", ".join(map(str, silent))
        return (
            f"Rank {names} of {self._control.size()} was lost in the training: its process has "
            "ended, is stopped, cannot be reached or has not called fit. See its own output "
            "for the cause; form a new process group before you fit again. torch says: "
            f"{_shortened(reason)}"
        )


def _shortened(reason):
    """Return what torch says of a lost connection without its advice."""
    return reason.partition(". This is typically")[0].rpartition("] ")[2]


def _with_cpu(processes):
    """Return a group of the same ranks that can exchange tensors on the CPU."""
    try:
        processes._get_backend(torch.device("cpu"))
    except RuntimeError:
        from torch import distributed

        ranks = distributed.get_process_group_ranks(processes)
        return distributed.new_group(ranks, backend="gloo", use_local_synchronization=True)
    return processes
