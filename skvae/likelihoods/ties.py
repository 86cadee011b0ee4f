"""Normal scores of which some stand for a whole interval: that of a tied value."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.distributions import Distribution, Normal

from skvae.data.units import column_maps


class Ties(nn.Module):
    """The intervals of the tied values of each column.

    Parameters
    ----------
    maps : sequence of (ColumnMap or None)

    Attributes
    ----------
    columns : Tensor of shape (n_tied_columns,)
        The columns that have tied values.
    scores, lower, upper : Tensor of shape (n_tied_columns, n_most), dtype float64
        The score by which each tied value is given and the ends of its interval, ascending.
        Of columns with fewer values the rest is infinite.
    """

    def __init__(self, maps):
        super().__init__()
        columns = [j for j, one in enumerate(maps) if one is not None and len(one.tied)]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        for name in ("tied_scores", "lower", "upper"):
            rows = [torch.from_numpy(getattr(maps[j], name)) for j in columns]
            table = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.inf)
            self.register_buffer(name.removeprefix("tied_"), table, persistent=False)
        inside = [0.0 if one is None else one.variance_inside for one in maps]
        self._variance = np.array(inside)

    @classmethod
    def of_units(cls, units):
        """Return the ties of normal scores, None if no value is tied."""
        maps = column_maps(units)
        has_ties = any(one is not None and len(one.tied) for one in maps)
        return cls(maps) if has_ties else None

    def find(self, value):
        """Return which scores of the columns are those of a tied value, and their intervals.

        Parameters
        ----------
        value : Tensor of shape (..., n_features)

        Returns
        -------
        found, lower, upper : Tensor of shape (..., n_tied_columns)
        """
        own = value[..., self.columns]
        flat = own.reshape(-1, own.shape[-1]).mT.contiguous()
        # In the dtype of the rows, in which the scores were rounded.
        scores = self.scores.to(value.dtype)
        index = torch.searchsorted(scores, flat).clamp(max=scores.shape[1] - 1)
        found = scores.gather(1, index) == flat
        # Any interval with a finite gradient elsewhere.
        ends = (
            self.lower.gather(1, index).masked_fill(~found, -1.0),
            self.upper.gather(1, index).masked_fill(~found, 1.0),
        )
        return tuple(part.mT.reshape(own.shape) for part in (found, *ends))

    def of_scores(self, solution):
        """Return the linear-Gaussian model of the scores from that of rows of tied scores.

        A tied value is given by the mean of its interval. The scores vary around it, and that
        is noise.
        """
        return replace(solution, noise_variance=solution.noise_variance + self._variance)


class TiedNormal(Normal):
    """Normal whose log-probability of a tied value is that of its interval.

    Parameters
    ----------
    normal : Normal
        Of scores, with shape (..., n_features).
    ties : Ties
    """

    def __init__(self, normal, ties):
        self._normal, self._ties = normal, ties
        self.loc, self.scale = normal.loc, normal.scale
        Distribution.__init__(self, normal.loc.shape, validate_args=False)

    def log_prob(self, value):
        """Log-density of a score, or log-probability of a tied value, per feature."""
        found, lower, upper = self._ties.find(value)
        columns = self._ties.columns
        # In float64: the difference of two close probabilities loses most of its digits.
        loc, scale = (part[..., columns].double() for part in (self.loc, self.scale))
        mass = log_mass((lower - loc) / scale, (upper - loc) / scale)
        each = self._normal.log_prob(value)
        own = torch.where(found, mass.to(each.dtype), each[..., columns])
        return each.index_copy(-1, columns, own)


def log_mass(lower, upper):
    """Return the log-probability that a standard normal variable is in an interval."""
    # In the lower half, where probabilities are small and keep their digits.
    flips = lower + upper > 0
    lower, upper = torch.where(flips, -upper, lower), torch.where(flips, -lower, upper)
    below = torch.special.log_ndtr(upper)
    ratio = (torch.special.log_ndtr(lower) - below).clamp(max=-1e-300)
    return below + torch.log(-torch.expm1(ratio))
