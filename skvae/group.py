"""One model, trained by several processes, each on its own rows.

``VAETransformer().fit(X, group="world")`` trains with all processes of torch.distributed, and
``group=`` may be any `torch.distributed.ProcessGroup`. Each process, a rank, passes its own
rows and the same parameters, and ends with the same fitted estimator. What starts the
processes, on one machine or many, is up to you. A script for ``torchrun --nproc-per-node 2
train.py``::

    import numpy as np
    import torch.distributed as dist
    from skvae import VAETransformer

    dist.init_process_group()
    shards = np.array_split(np.load("rows.npy", mmap_mode="r"), dist.get_world_size())
    X = shards[dist.get_rank()]
    vae = VAETransformer(batch_size=1024, random_state=0).fit(X, group="world")
    if dist.get_rank() == 0:
        np.save("codes.npy", vae.transform(X))
    dist.destroy_process_group()

On a Slurm cluster let each node start its own: ``srun torchrun --nnodes $SLURM_NNODES
--nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint $HEAD_NODE:29500 train.py``. With Ray,
call the same `fit` in the function that is given to ``ray.train.torch.TorchTrainer(train,
scaling_config=ScalingConfig(num_workers=8))``: it forms the group.

- The training is that of one process on all rows: start, units, noise and the choice of a
  likelihood are those of all rows, and a step is one of `batch_size` rows of all ranks
  together. Each rank gives its share, so shards of different sizes are fine, and every row is
  seen once in an epoch. Larger batches make a group faster, and need more epochs for the same
  loss; ``batch_size="auto"`` is that of one process.
- A part of the rows of each rank is held out, or each passes its own rows of `X_val`. There is
  no cross-validation in a group: ``early_stopping="auto"`` holds out rows, however few there
  are.
- The draws of a rank are its own: the result depends on how the rows are divided. The same
  seed, ranks and rows give the same bits.
- Batch normalisation uses the rows of each rank alone, as in DistributedDataParallel.
- A scaler before the estimator in a Pipeline is fitted on the rows of its rank alone. Leave
  it out, as the model scales the columns itself, or fit it beforehand and pass the same to
  all.
- Callbacks, checkpoints and printed lines are those of rank 0. Ctrl-C on one rank ends the
  training of all after a step.
- An error on one rank is raised on all. A rank that is lost is named by the others at once,
  or after the timeout of the group, half an hour by default: set a shorter one in
  ``init_process_group(timeout=...)`` that is longer than a step and a reading of the rows.
- `transform` and the other methods work row by row, and need no group.
"""

# Each exchange begins with a short message: whether a rank has failed or wants to stop, and
# what is exchanged. A rank that fails between two exchanges thus ends the training on all
# ranks; a mismatch would end the process.

import os
import pickle
from contextlib import contextmanager
from functools import reduce

import numpy as np
import torch

from skvae.alone import ALONE, Alone, joined
from skvae.connections import Connections, GroupError

__all__ = ["ALONE", "Alone", "Group", "GroupError", "joined", "open_group"]

# Errors that a rank raises as they are when another one has them; others are a GroupError.
_SHARED_ERRORS = (ValueError, TypeError, MemoryError)


class Group(Alone):
    """Several processes that train one model; all call the same methods in the same order.

    Parameters
    ----------
    processes : ProcessGroup

    Attributes
    ----------
    rank, size : int
    is_main : bool
        Whether this is rank 0.
    """

    def __init__(self, processes):
        self._connections = Connections(processes)
        self.rank, self.size = processes.rank(), processes.size()
        self.is_main = self.rank == 0
        self._has_failed, self._buffers = False, None

    @contextmanager
    def sharing_errors(self):
        """Raise an error of the body on all ranks; all must enter it."""
        try:
            yield
        except BaseException as error:
            # Else all ranks know of it.
            if not (self._has_failed or isinstance(error, GroupError)):
                self._share(error)
            raise

    def _share(self, error):
        """Tell the other ranks of an error of this one."""
        if self._connections.is_busy:
            # In the middle of an exchange no other one can begin.
            self._connections.leave(_cause(error))
        else:
            with self._connections.busy():
                if self._buffers is None:
                    self._begin("failure", 0, error=error)
                else:
                    self._buffers[0].zero_()
                    self._add(False, error)

    def sum(self, *values):
        """Return sums in the order of the ranks, the same bits on each."""
        arrays = [_as_float64(value) for value in values]
        flat = torch.cat([array.flatten() for array in arrays])
        with self._exchange("sum", len(flat)):
            self._connections.add(flat)
        parts = flat.split([array.numel() for array in arrays])
        return tuple(
            _as_before(part.reshape(array.shape), value)
            for part, array, value in zip(parts, arrays, values, strict=True)
        )

    def gather(self, value):
        """Return a list of the values of all ranks, which are pickled."""
        with self._exchange("gather", 0):
            return self._gather(value)

    def fold(self, function, value):
        """Reduce the values of all ranks."""
        return reduce(function, self.gather(value))

    def concatenate(self, array):
        """Concatenate the arrays of all ranks."""
        return np.concatenate(self.gather(array))

    def mean(self, values):
        """Return means over the rows of all ranks, of which one may have none."""
        total, n_rows = self.sum(values.double().sum(-1), values.shape[-1])
        return total / n_rows

    def place(self, n_rows):
        """Return the rows before those of this rank, and of all."""
        counts = self.gather(n_rows)
        return sum(counts[: self.rank]), sum(counts)

    def broadcast(self, tensors):
        """Replace tensors by those of rank 0."""
        with self._exchange("broadcast", sum(tensor.numel() for tensor in tensors)):
            for tensor in tensors:
                self._connections.broadcast(tensor)

    def agree(self, wish):
        """Return whether any rank has the wish."""
        with self._exchange("wish", 0, wish) as wishes:
            return wishes

    def average(self, value, n_rows):
        """Return a mean that is weighted by rows."""
        total, n_all = self.sum(value * n_rows, n_rows)
        return total / n_all

    def of_main(self, value):
        """Return the value that rank 0 has."""
        return self.gather(value if self.is_main else None)[0]

    def own_device(self, name):
        """Return the name of the GPU of this rank in place of "auto" and "cuda"."""
        if str(name) in ("auto", "cuda") and torch.cuda.is_available():
            return f"cuda:{os.environ.get('LOCAL_RANK', torch.cuda.current_device())}"
        return name

    def begin_steps(self, buffers):
        """Note that the next exchanges of all ranks are those of these buffers, by `add`.

        The last two elements of the first buffer are for the short message.
        """
        self._buffers = buffers

    def add(self, stop, is_last):
        """Replace the buffers by sums over all ranks; return whether any wants to stop.

        After the last time, and if any wants to stop, the next exchange is another one.
        """
        with self._connections.busy():
            stops, problem = self._add(stop)
            if stops or is_last:
                self._buffers = None
        if problem is not None:
            raise problem
        return stops

    def _add(self, stop, error=None):
        """Add up the buffers; return as `_begin`."""
        first, *others = self._buffers
        if first.device.type != "cpu":
            # To read the message from the buffer would wait for the GPU at each step.
            stops, problem = self._begin("gradients", first.numel(), stop, error)
        else:
            first[-2], first[-1] = error is not None, stop
            self._connections.add(first)
            failed, stops = first[-2:].tolist()
            problem = self._failure(error) if failed else None
            first = None
        if problem is None:
            for buffer in others if first is None else self._buffers:
                self._connections.add(buffer)
        return stops > 0, problem

    @contextmanager
    def _exchange(self, what, size, stop=False):
        """Exchange the short messages and then what the body does."""
        with self._connections.busy():
            stops, problem = self._begin(what, size, stop)
            if problem is None:
                yield stops
        if problem is not None:
            raise problem

    def _begin(self, what, size, stop=False, error=None):
        """Return whether any rank wants to stop, and the error that all are to raise."""
        code = (_CODES.index(what) + len(_CODES) * size) % 2**20
        header = torch.tensor([error is not None, stop, code, code**2], dtype=torch.float64)
        self._connections.add(header)
        failed, stops, codes, squares = header.tolist()
        problem = None
        if failed:
            problem = self._failure(error)
        elif self.size * squares != codes**2:
            problem = GroupError(
                f"The {self.size} ranks do not train in the same way: they differ in what they "
                "exchange. Pass the same parameters, and rows with the same columns, on all."
            )
        return stops > 0, problem

    def _gather(self, value):
        data = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
        return [pickle.loads(part.numpy().tobytes()) for part in self._connections.gather(data)]

    def _failure(self, error):
        """Return the error for those of the ranks, of which this one has `error` or None."""
        self._has_failed = True
        errors = self._gather(None if error is None else _cause(error))
        ranks = [rank for rank, each in enumerate(errors) if each is not None]
        kind, message = errors[ranks[0]]
        shared = kind if kind in _SHARED_ERRORS else GroupError
        return shared(f"On {_names(ranks, errors)} of {self.size}: {message}")


_CODES = ("failure", "sum", "gather", "broadcast", "wish", "gradients")


def _names(ranks, errors):
    """Return the ranks that have the same error as the first of them, as text."""
    same = [str(rank) for rank in ranks if errors[rank] == errors[ranks[0]]]
    return f"rank {same[0]}" if len(same) == 1 else f"ranks {', '.join(same)}"


def _cause(error):
    """Return class and message of an error, of a class that other ranks have too."""
    kind = next((kind for kind in _SHARED_ERRORS if isinstance(error, kind)), GroupError)
    if isinstance(error, KeyboardInterrupt):
        return kind, "the training was interrupted (KeyboardInterrupt)."
    return kind, str(error) if kind is not GroupError else f"{type(error).__name__}: {error}"


def _as_float64(value):
    return torch.as_tensor(value).detach().to("cpu", torch.float64)


def _as_before(total, value):
    """Return a sum as the kind of number, array or tensor that the summands were."""
    if isinstance(value, torch.Tensor):
        return total.to(value)
    if isinstance(value, np.ndarray):
        return total.numpy().astype(value.dtype)
    return type(value)(total.item())


def open_group(group):
    """Return the group that an argument of `fit` names; one rank alone is no group.

    Raises
    ------
    ValueError or TypeError
        If there is no such group.
    """
    if group is None:
        return ALONE
    # It is not in every build of torch.
    from torch import distributed

    if isinstance(group, str) and group == "world":
        if not (distributed.is_available() and distributed.is_initialized()):
            raise ValueError(
                "group='world' is the group of all processes of torch.distributed, and there "
                "is none: start the processes, for example with torchrun, and call "
                "torch.distributed.init_process_group() in each before fit. Leave group out to "
                "train in this process alone."
            )
        group = distributed.group.WORLD
    if not distributed.is_available() or not isinstance(group, distributed.ProcessGroup):
        raise TypeError(
            "group must be None, 'world' or a torch.distributed.ProcessGroup with this process "
            f"in it, got {group!r}."
        )
    return Group(group) if group.size() > 1 else ALONE
