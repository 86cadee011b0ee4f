"""The likelihood of one-hot encoded categories."""

from itertools import pairwise
from numbers import Integral

import numpy as np
import torch
from torch.distributions import constraints

from skvae.data.kinds import CATEGORY, FLAG, NUMBER
from skvae.data.means import smoothed_mean
from skvae.likelihoods.base import Likelihood
from skvae.likelihoods.coded import CodedCategorical, IndependentCategories
from skvae.likelihoods.first_order import linear_log_rates


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
    is_density = False
    can_clip = False

    def __init__(self, sizes=None):
        self.sizes = sizes

    def for_columns(self, kinds, n_levels, names):
        """Return the likelihood of codes for columns of categories; else that of indicators.

        A flag beside categories, or alone, is a variable of two categories.
        """
        alone = list(kinds) == [FLAG] and self.sizes is None
        if alone or (CATEGORY in kinds and NUMBER not in kinds):
            return CodedCategorical(
                tuple(n if k == CATEGORY else 2 for k, n in zip(kinds, n_levels, strict=True))
            )
        if CATEGORY in kinds and NUMBER in kinds:
            category, number = (names[kinds.index(kind)] for kind in (CATEGORY, NUMBER))
            raise ValueError(
                f"The column {number!r} of X has numbers, and {category!r} has categories: the "
                "Categorical likelihood takes one kind. List all of them in "
                "categorical_features, or use likelihood='auto'."
            )
        return super().for_columns(kinds, n_levels, names)

    def distribution(self, raw):
        """Return the variables whose unnormalised log-probabilities are the raw output."""
        return OneHotBlocks(raw, self._sizes(raw.shape[-1]))

    def input_groups(self, n_features):
        """Return the numbers of categories."""
        return self._sizes(n_features)

    def linear_output(self, solution, centre):
        """Return log-probabilities that are linear in the code."""
        frequencies = centre.double().exp()
        return linear_log_rates(
            torch.as_tensor(solution.loadings) / frequencies[:, None], centre
        )

    def start(self, head, rows):
        """Return the logarithms of the rows' frequencies."""
        return smoothed_mean(rows).log().float()

    def draw(self, p, rng):
        """Draw one category of each variable, by the Gumbel-max trick."""
        logits = p.base_dist.log_probs.cpu().numpy()
        shifted = logits + rng.gumbel(size=logits.shape)
        drawn, start = np.zeros_like(logits), 0
        for size in self._sizes(logits.shape[-1]):
            chosen = shifted[..., start : start + size].argmax(axis=-1)
            np.put_along_axis(drawn, chosen[..., None] + start, 1.0, axis=-1)
            start += size
        return drawn

    def check_support(self, X, feature_names=None, argument="X"):
        """Return one-hot rows, or raise ValueError for others."""
        X = super().check_support(X, feature_names, argument)
        ends = np.cumsum(self._sizes(X.shape[1]))
        variables = [slice(*pair) for pair in pairwise((0, *ends))]
        invalid = sum(_count_invalid(rows, variables) for rows in self._inside(X))
        names = np.arange(X.shape[1]) if feature_names is None else feature_names
        if invalid.any():
            first = variables[int(np.argmax(invalid > 0))]
            raise ValueError(
                f"The Categorical likelihood needs exactly one 1, and else 0, in columns "
                f"{names[first.start]} to {names[first.stop - 1]} of each row of {argument}, "
                "or NaN in all of them. "
                f"{self.remedy} For several variables, use Categorical(sizes=(...))."
            )
        return X

    def _sizes(self, n_features):
        sizes = (n_features,) if self.sizes is None else tuple(self.sizes)
        whole = all(isinstance(size, Integral) and size > 0 for size in sizes)
        if not whole or sum(sizes) != n_features:
            raise ValueError(
                f"sizes={self.sizes!r} of the Categorical likelihood must be positive integers "
                f"that sum to the {n_features} features of X."
            )
        return sizes


def _count_invalid(rows, variables):
    """Count the rows in which each variable, a slice of columns, is not one-hot."""
    missing = np.isnan(rows)
    other = (rows != 0) & (rows != 1)
    return np.array(
        [
            np.count_nonzero(
                (other[:, part].any(axis=1) | (rows[:, part].sum(axis=1) != 1))
                & ~missing[:, part].all(axis=1)
            )
            for part in variables
        ]
    )


class OneHotBlocks(IndependentCategories):
    """Independent categorical variables, one-hot encoded side by side.

    Parameters
    ----------
    logits : Tensor of shape (..., n_features)
    sizes : tuple of int
        Categories of each variable.
    """

    support = constraints.independent(constraints.boolean, 1)

    def __init__(self, logits, sizes):
        super().__init__(logits, sizes, logits.shape[:-1], logits.shape[-1:])

    def log_prob(self, value):
        """Log-probability of one-hot rows."""
        return (self.log_probs * value).sum(-1)

    def observed_log_prob(self, values, missing):
        """Log-probability of the variables that are there; the indicators of others are 0."""
        return self.log_prob(values)
