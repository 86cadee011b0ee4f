"""The likelihood of one-hot encoded categories."""

from numbers import Integral

import numpy as np
import torch
from torch.distributions import Distribution, constraints

from skvae.data.rows import feature_sums
from skvae.likelihoods.base import Likelihood, LikelihoodHead


class Categorical(Likelihood):
    """Categorical variables, one-hot encoded side by side.

    Parameters
    ----------
    sizes : tuple of int, default=None
        Numbers of categories of the variables, in the order of the columns; by default
        all columns are one variable.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> from skvae.likelihoods import Categorical
    >>> VAETransformer(likelihood=Categorical(sizes=(3, 4)))
    VAETransformer(likelihood=Categorical(sizes=(3, 4)))
    """

    _parameter_constraints = {"sizes": ["array-like", None]}

    support = (0.0, 1.0)
    remedy = "Encode the categories, for example with OneHotEncoder(sparse_output=False)."

    def __init__(self, sizes=None):
        self.sizes = sizes

    def head(self, rows, units):
        """Return a :class:`CategoricalHead` centred at the rows' frequencies."""
        frequencies = (feature_sums(rows) + 0.5) / (len(rows) + 1)
        return CategoricalHead(frequencies.log().float(), self._blocks(rows.shape[1]))

    def check_support(self, X, feature_names=None, argument="X"):
        """Return one-hot rows, or raise ValueError for others."""
        X = super().check_support(X, feature_names, argument)
        start = 0
        ends = np.cumsum(self._blocks(X.shape[1]))
        broken = sum(_broken(rows, ends) for rows in self._inside(X))
        for size, is_broken in zip(self._blocks(X.shape[1]), broken, strict=True):
            if is_broken:
                raise ValueError(
                    f"The Categorical likelihood needs exactly one 1 and else 0 in columns "
                    f"{start} to {start + size - 1} of each row of {argument}. "
                    f"{self.remedy} Several features need Categorical(sizes=(...))."
                )
            start += size
        return X

    def clip(self, X, name="X"):
        """Refuse what is not one-hot: it has no nearest meaning."""
        return self.check_support(X, argument=name)

    def _blocks(self, n_features):
        sizes = (n_features,) if self.sizes is None else tuple(self.sizes)
        whole = all(isinstance(size, Integral) and size > 0 for size in sizes)
        if not whole or sum(sizes) != n_features:
            raise ValueError(
                f"sizes={self.sizes!r} of the Categorical likelihood must be positive integers "
                f"that sum to the {n_features} features of X."
            )
        return sizes


def _broken(rows, ends):
    """Count the rows in which each variable is not one-hot; `ends` are its last columns."""
    odd = (rows != 0) & (rows != 1)
    return np.array(
        [
            np.count_nonzero(odd[:, part].any(axis=1) | (rows[:, part].sum(axis=1) != 1))
            for part in map(slice, np.r_[0, ends[:-1]], ends)
        ]
    )


class CategoricalHead(LikelihoodHead):
    """Raw output is the unnormalised log-probability of each category."""

    def __init__(self, start_bias, sizes):
        super().__init__()
        self.n_raw = len(start_bias)
        self.start_bias = start_bias
        self.sizes = sizes

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
        return OneHotBlocks(raw, self.sizes)

    def draw(self, p, rng):
        """Draw one category of each variable, by the largest of Gumbel-shifted logits."""
        logits = p.log_probs.cpu().numpy()
        shifted = logits + rng.gumbel(size=logits.shape)
        drawn, start = np.zeros_like(logits), 0
        for size in self.sizes:
            chosen = shifted[..., start : start + size].argmax(axis=-1)
            np.put_along_axis(drawn, chosen[..., None] + start, 1.0, axis=-1)
            start += size
        return drawn


class OneHotBlocks(Distribution):
    """Independent categorical variables, one-hot encoded side by side.

    Parameters
    ----------
    logits : Tensor of shape (..., n_features)
    sizes : tuple of int
        Categories of each variable.
    """

    support = constraints.independent(constraints.boolean, 1)
    has_enumerate_support = False

    def __init__(self, logits, sizes):
        blocks = logits.split(list(sizes), dim=-1)
        self.log_probs = torch.cat([block.log_softmax(-1) for block in blocks], dim=-1)
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def mean(self):
        """Probability of each category."""
        return self.log_probs.exp()

    @property
    def variance(self):
        """Variance of each indicator."""
        return self.mean * (1 - self.mean)

    def log_prob(self, value):
        """Log-probability of one-hot rows."""
        return (self.log_probs * value).sum(-1)
