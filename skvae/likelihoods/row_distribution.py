"""p(x|z) of whole rows, some of whose values may be missing."""

import torch
from torch.distributions import Independent

from skvae.data.missing import IncompleteRows


class RowDistribution(Independent):
    """p(x|z) of whole rows, whose density can leave out missing values.

    Parameters
    ----------
    base : Distribution
        Of independent features, or of whole rows with a method
        ``observed_log_prob(values, missing)`` if values may be missing.
    """

    def __init__(self, base):
        super().__init__(base, 1 - len(base.event_shape), validate_args=False)

    def log_prob(self, value):
        """Log-density per row, of a tensor or of IncompleteRows."""
        if not isinstance(value, IncompleteRows):
            return super().log_prob(value)
        return self.observed_log_prob(value.values, value.missing)

    def observed_log_prob(self, values, missing):
        """Log-density per row of the values that are not missing."""
        base = self.base_dist
        if len(base.event_shape) == 0:
            return torch.where(missing, 0.0, base.log_prob(values)).sum(-1)
        if not hasattr(base, "observed_log_prob"):
            raise ValueError(
                f"{type(base).__name__} has no method observed_log_prob(values, missing): "
                "this likelihood takes no missing values. Fill them first, for example with "
                "SimpleImputer."
            )
        return base.observed_log_prob(values, missing)
