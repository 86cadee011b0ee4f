"""How an epoch is divided into steps: in one process, or in a group of them."""

import torch


class OwnSteps:
    """Steps of one process on its own rows.

    Parameters
    ----------
    n_rows : int
    batch_size : int

    Attributes
    ----------
    n_rows : int
        Rows of an epoch; in a group those of all ranks.
    n_steps : int
    largest : int
        Rows of the largest batch of this process.
    """

    def __init__(self, n_rows, batch_size):
        self.n_rows, self.largest = n_rows, batch_size
        self.n_steps = -(-n_rows // batch_size)

    def batches(self, order):
        """Return the batches of one order of the rows."""
        return order.split(self.largest, dim=-1)

    def join_gradients(self, done, n_own):
        """Replace the gradients of step `done`, of `n_own` rows, by those of all ranks."""

    def ends(self, stop):
        """Return whether the epoch ends after this step, as this process wants or not."""
        return stop

    def rows_after(self, done):
        """Return how many rows have been seen after so many steps."""
        return min(done * self.largest, self.n_rows)

    def end_epoch(self, module, totals):
        """Return the terms of the epoch; in a group all ranks then have the same module."""
        return totals


class GroupSteps(OwnSteps):
    """Steps that all ranks of a group take together, each with a part of the batch.

    Each rank divides its rows into as many parts as there are steps, of nearly equal sizes: the
    parts of ranks with more rows are larger, and every row is seen once in an epoch. Gradients
    are means over the rows of all parts, and travel in one buffer.

    Parameters
    ----------
    group : Group
    n_rows : int
        Rows of this rank.
    batch_size : int
        Rows of a batch of all ranks together.
    parameters : list of Parameter
    """

    def __init__(self, group, n_rows, batch_size, parameters):
        self.group = group
        counts = torch.tensor(group.gather(n_rows))
        self.n_rows = int(counts.sum())
        self.n_steps = -(-self.n_rows // batch_size)
        self.largest = -(-n_rows // self.n_steps)
        # As `tensor_split` has it, the first parts have one row more.
        wholes, rests = counts // self.n_steps, counts % self.n_steps
        steps = torch.arange(self.n_steps)[:, None]
        self._sizes = (wholes + (steps < rests)).sum(1).tolist()
        self._buffers = _Buffers([p for p in parameters if p.requires_grad])
        self._wants_stop = self._stops = False

    def batches(self, order):
        """Return the parts of an order of the rows of this rank."""
        # A new epoch: an earlier wish to stop has been met.
        self._wants_stop = self._stops = False
        self.group.begin_steps(self._buffers.flats)
        return order.tensor_split(self.n_steps, dim=-1)

    def join_gradients(self, done, n_own):
        """Average the gradients over the rows of all ranks."""
        self._buffers.fill(n_own / self._sizes[done - 1])
        self._stops = self.group.add(self._wants_stop, done == self.n_steps)
        self._buffers.give_back()

    def ends(self, stop):
        """Return whether any rank wants to stop; the others hear of it at the next step."""
        # The others hear of it with the next gradients, and all take that step too.
        self._wants_stop |= stop
        return self._stops

    def rows_after(self, done):
        """Return how many rows of all ranks have been seen."""
        return sum(self._sizes[:done])

    def end_epoch(self, module, totals):
        """Make the modules the same, also their buffers; return the terms of all rows."""
        self.group.broadcast(list(module.state_dict().values()))
        return self.group.sum(totals)[0]


class _Buffers:
    """The gradients of parameters, side by side in one buffer for each dtype.

    Parameters
    ----------
    parameters : list of Parameter

    Attributes
    ----------
    flats : list of Tensor
        The buffers; the first has two elements more.
    """

    def __init__(self, parameters):
        self._parameters = parameters
        self._views, starts = [], {}
        for p in parameters:
            starts[p.dtype] = starts.get(p.dtype, 0) + p.numel()
        device = parameters[0].device
        extra = [2] + [0] * (len(starts) - 1)
        flats = {
            dtype: torch.zeros(size + more, dtype=dtype, device=device)
            for (dtype, size), more in zip(starts.items(), extra, strict=True)
        }
        self.flats = list(flats.values())
        starts = dict.fromkeys(flats, 0)
        for p in parameters:
            # In the memory layout of the parameter, which the optimiser relies on.
            view = flats[p.dtype].as_strided(p.shape, p.stride(), starts[p.dtype])
            self._views.append(view)
            starts[p.dtype] += p.numel()

    @torch.no_grad()
    def fill(self, weight):
        """Fill the buffers with the gradients times a weight; those that are None are 0."""
        pairs = zip(self._views, self._parameters, strict=True)
        there = [(view, p.grad) for view, p in pairs if p.grad is not None]
        if len(there) < len(self._views):
            torch._foreach_zero_(self.flats)
        for view, gradient in there:
            # At once: to copy and then to multiply would pass twice through the memory.
            torch.mul(gradient, weight, out=view)

    def give_back(self):
        """Make the buffers the gradients of the parameters."""
        for view, parameter in zip(self._views, self._parameters, strict=True):
            parameter.grad = view
