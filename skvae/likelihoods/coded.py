"""The likelihood of categories that are coded by integers."""

from functools import lru_cache
from itertools import accumulate, pairwise
from numbers import Integral

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import nn
from torch.distributions import Distribution, constraints

from skvae.data.columns import column_name
from skvae.data.means import smoothed_mean
from skvae.data.rows import MappedRows, blocks
from skvae.likelihoods.base import Likelihood
from skvae.likelihoods.first_order import linear_log_rates


class CodedCategorical(Likelihood):
    """Categorical variables, one column of codes 0, 1, 2, ... each.

    The encoder is given indicators of the categories, and the mean is their probabilities.
    Neither is computed for a whole table at once.

    Parameters
    ----------
    n_levels : int or tuple of int
        Number of categories of each column.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> from skvae.likelihoods import CodedCategorical
    >>> VAETransformer(likelihood=CodedCategorical(n_levels=(3, 4)))
    VAETransformer(likelihood=CodedCategorical(n_levels=(3, 4)))
    """

    _parameter_constraints = {
        "n_levels": ["array-like", Interval(Integral, 1, None, closed="left")]
    }

    is_density = False
    can_clip = False
    can_corrupt = False

    def __init__(self, n_levels):
        self.n_levels = n_levels

    def check(self):
        """Raise ValueError when a hyper-parameter is out of range."""
        super().check()
        sizes = np.atleast_1d(self.n_levels).tolist()
        if not sizes or any(not isinstance(n, int) or n < 1 for n in sizes):
            raise ValueError(f"n_levels must be positive integers, got {self.n_levels!r}.")

    def n_raw(self, n_features):
        """Return the number of categories of all columns."""
        return sum(self.input_groups(n_features))

    def n_inputs(self, n_features):
        """Return the number of categories of all columns."""
        return self.n_raw(n_features)

    def input_groups(self, n_features):
        """Return the number of categories of each column."""
        if isinstance(self.n_levels, Integral):
            return (int(self.n_levels),) * n_features
        if len(self.n_levels) != n_features:
            raise ValueError(
                f"n_levels={self.n_levels!r} of the CodedCategorical likelihood must have one "
                f"number for each of {n_features} columns."
            )
        return tuple(map(int, self.n_levels))

    def input_transform(self):
        """Return the module that gives indicators for codes."""
        return Indicators(self.n_levels)

    def mean_as_inputs(self, mean):
        """Return the probabilities, in place of indicators."""
        return mean

    def collapse(self, mean):
        """Return the codes of the most likely categories."""
        parts = mean.split(self._sizes(mean.shape[-1]), dim=-1)
        return torch.stack([part.argmax(-1) for part in parts], dim=-1).to(mean.dtype)

    def distribution(self, raw):
        """Return the variables whose unnormalised log-probabilities are the raw output."""
        return Codes(raw, self._sizes(raw.shape[-1]))

    def start(self, head, rows):
        """Return the logarithms of the rows' frequencies."""
        indicators = MappedRows(rows, self.input_transform().to(rows.device), head.n_raw)
        return smoothed_mean(indicators).log().float()

    def linear_output(self, solution, centre):
        """Return log-probabilities that are linear in the code."""
        frequencies = centre.double().exp()[:, None]
        return linear_log_rates(torch.as_tensor(solution.loadings) / frequencies, centre)

    def draw(self, p, rng):
        """Draw one category of each variable, by the Gumbel-max trick."""
        logits = p.base_dist.log_probs.cpu().numpy()
        shifted = logits + rng.gumbel(size=logits.shape)
        return self.collapse(torch.from_numpy(shifted)).numpy().astype(logits.dtype)

    def check_support(self, X, feature_names=None, argument="X"):
        """Return the rows, or raise ValueError for other values than codes."""
        sizes = np.array(self.input_groups(X.shape[1]))
        invalid = np.zeros(X.shape[1], dtype=bool)
        for block in blocks(X):
            whole = (np.rint(block) == block) & (block >= 0) & (block < sizes)
            invalid |= (~whole & ~np.isnan(block)).any(axis=0)
        if invalid.any():
            worst = int(np.argmax(invalid))
            raise ValueError(
                f"The CodedCategorical likelihood needs codes 0 to {sizes[worst] - 1}, or NaN, "
                f"but {column_name(worst, feature_names)} of {argument} has other values. "
                "Encode the categories, for example with OrdinalEncoder."
            )
        return X

    def clip(self, X, name="X"):
        """Return the rows, or raise ValueError for other values than codes."""
        return self.check_support(X, argument=name)

    def _sizes(self, n_raw):
        """Return the number of categories of each column, from the sum of all."""
        is_common = isinstance(self.n_levels, Integral)
        return self.input_groups(n_raw // self.n_levels if is_common else len(self.n_levels))


class Indicators(nn.Module):
    """Gives for each code one column per category: 1 for its own, 0 for others.

    A missing code, NaN, gives NaN in all of them.

    Parameters
    ----------
    n_levels : int or tuple of int
    """

    def __init__(self, n_levels):
        super().__init__()
        self.n_levels = n_levels

    def forward(self, x):
        """Return the indicators (..., n, sum of n_levels)."""
        sizes = self.n_levels
        sizes = (int(sizes),) * x.shape[-1] if isinstance(sizes, Integral) else tuple(sizes)
        column, level, _ = _layout(sizes, x.device)
        codes = x.index_select(-1, column)
        return torch.where(codes.isnan(), codes, (codes == level).to(x.dtype))


class IndependentCategories(Distribution):
    """Base of distributions of independent categorical variables.

    Parameters
    ----------
    logits : Tensor of shape (..., sum of sizes)
    sizes : tuple of int
        Categories of each variable.
    batch_shape, event_shape : torch.Size
    """

    has_enumerate_support = False

    def __init__(self, logits, sizes, batch_shape, event_shape):
        self.sizes = sizes
        parts = logits.split(list(sizes), dim=-1)
        self.log_probs = torch.cat([part.log_softmax(-1) for part in parts], dim=-1)
        super().__init__(batch_shape, event_shape, validate_args=False)

    @property
    def mean(self):
        """Probability of each category, (..., sum of sizes)."""
        return self.log_probs.exp()

    @property
    def variance(self):
        """Variance of the indicator of each category."""
        return self.mean * (1 - self.mean)


class Codes(IndependentCategories):
    """Independent categorical variables, each a column of codes.

    Parameters
    ----------
    logits : Tensor of shape (..., sum of sizes)
    sizes : tuple of int
        Categories of each variable.
    """

    support = constraints.nonnegative_integer

    def __init__(self, logits, sizes):
        shape = torch.Size((*logits.shape[:-1], len(sizes)))
        super().__init__(logits, sizes, shape, torch.Size())

    def log_prob(self, value):
        """Log-probability of each code."""
        places = value.long() + _layout(self.sizes, value.device)[2]
        shape = torch.broadcast_shapes(places.shape[:-1], self.log_probs.shape[:-1])
        log_probs = self.log_probs.expand(*shape, -1)
        return log_probs.gather(-1, places.expand(*shape, -1))


def _layout(sizes, device):
    """Return column and level of each indicator, and the place of each column's first."""
    # A compiler's tensors stand for values, and must not be kept.
    layout = _new_layout if torch.compiler.is_compiling() else _kept_layout
    return layout(sizes, device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _kept_layout(sizes, device):
    # Not in inference mode: the tensors are used in training too.
    return _new_layout(sizes, device)


def _new_layout(sizes, device):
    column = [j for j, size in enumerate(sizes) for _ in range(size)]
    level = [code for size in sizes for code in range(size)]
    first = [start for start, _ in pairwise((0, *accumulate(sizes)))]
    return tuple(torch.tensor(part, device=device) for part in (column, level, first))
