"""One process that trains a model of its own: what stands in the place of a group.

The methods are those of :class:`skvae.group.Group`, and exchange nothing.
"""

from contextlib import contextmanager
from contextvars import ContextVar


class Alone:
    """One process that trains a model of its own: nothing is exchanged."""

    rank, size, is_main = 0, 1, True

    @contextmanager
    def sharing_errors(self):
        """Do nothing: there are no other ranks."""
        yield

    @contextmanager
    def joining(self):
        """Let statistics of rows be those of the rows of this process."""
        token = _JOINED.set(self)
        try:
            yield
        finally:
            _JOINED.reset(token)

    def sum(self, *values):
        """Return the sum over all ranks of each of several arrays, tensors or numbers."""
        return values

    def gather(self, value):
        """Return a list of the values of all ranks."""
        return [value]

    def fold(self, function, value):
        """Return the values of all ranks, reduced to one by a function of two values."""
        return value

    def concatenate(self, array):
        """Return the arrays of all ranks, concatenated in their order."""
        return array

    def mean(self, values):
        """Return means over the last axis, that of the rows, over the rows of all ranks."""
        return values.mean(-1)

    def place(self, n_rows):
        """Return the number of rows of the ranks before this one, and of all ranks."""
        return 0, n_rows

    def broadcast(self, tensors):
        """Replace tensors by those of rank 0."""

    def agree(self, wish):
        """Return whether any rank has the wish."""
        return wish

    def average(self, value, n_rows):
        """Return the mean of the numbers of all ranks, weighted by their rows."""
        return value

    def of_main(self, value):
        """Return the value that rank 0 has."""
        return value

    def own_device(self, name):
        """Return the name of the device of this rank, for that of all ranks."""
        return name


ALONE = Alone()
_JOINED: ContextVar[Alone] = ContextVar("joined", default=ALONE)


def joined():
    """Return the group whose rows a statistic is of: in `Group.joining`, else `ALONE`."""
    return _JOINED.get()
