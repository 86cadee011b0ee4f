"""The torch modules of the likelihood of columns of several kinds."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.distributions import Distribution, constraints

from skvae.likelihoods.base import LikelihoodHead
from skvae.likelihoods.row_distribution import RowDistribution


class MixedHead(LikelihoodHead):
    """The heads of the parts; raw output, means and inputs are those of the parts in turn.

    Attributes
    ----------
    heads : ModuleList of LikelihoodHead
    columns : ModuleList of Columns
    """

    def __init__(self, likelihood, units):
        super().__init__(likelihood, units)
        members = likelihood.members()
        self.columns = nn.ModuleList(Columns(columns) for _, _, columns in members)
        self.heads = nn.ModuleList(
            part.head(units.of_columns(columns)) for _, part, columns in members
        )
        self.has_noise = any(head.has_noise for head in self.heads)
        noisy = [
            columns.index[head.noise_columns]
            for columns, head in self._pairs()
            if head.has_noise
        ]
        self.noisy = Columns(np.concatenate([np.zeros(0, dtype=np.intp), *noisy]))

    def _pairs(self):
        return zip(self.columns, self.heads, strict=True)

    @property
    def _noise_heads(self):
        return [head for head in self.heads if head.has_noise]

    @property
    def noise_columns(self):
        """The columns whose noise is set from held-out residuals."""
        return self.noisy.index

    @property
    def n_noises(self):
        """Number of these columns."""
        return len(self.noise_columns)

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
        raws = raw.split([head.n_raw for head in self.heads], dim=-1)
        parts = [head(each) for head, each in zip(self.heads, raws, strict=True)]
        return RowDistribution(MixedRows(parts, self.columns, self.n_features))

    def draw(self, p, rng):
        """Draw rows from `p` with NumPy's generator, as an array."""
        drawn = [
            (columns.index.cpu().numpy(), head.draw(part, rng))
            for (columns, head), part in zip(self._pairs(), p.base_dist.parts, strict=True)
        ]
        rows = np.empty((*p.batch_shape, self.n_features), dtype=drawn[0][1].dtype)
        for index, values in drawn:
            rows[..., index] = values
        return rows

    def means(self, p):
        """Return the means of the parts, one after the other."""
        parts = zip(self.heads, p.base_dist.parts, strict=True)
        return torch.cat([head.means(part) for head, part in parts], dim=-1)

    def closed_form_output(self, solution, centre):
        """Set the noises of a closed-form model; return weight and bias of the raw output."""
        n_inputs = [head.n_inputs for head in self.heads]
        centres = centre.split([head.n_raw for head in self.heads])
        ends = pairwise(np.cumsum([0, *n_inputs]))
        outputs = [
            head.closed_form_output(solution.of_features(slice(*part)), own)
            for head, own, part in zip(self.heads, centres, ends, strict=True)
        ]
        weights, biases = zip(*outputs, strict=True)
        return (torch.cat([each.float() for each in parts]) for parts in (weights, biases))

    def noise_variance(self):
        """Return the noise variance per feature in model units, NaN for features without one.

        None if no part has a noise.
        """
        noises = [
            (columns.index.cpu().numpy(), head.noise_variance())
            for columns, head in self._pairs()
        ]
        if all(noise is None for _, noise in noises):
            return None
        variance = np.full(self.n_features, np.nan)
        for index, noise in noises:
            if noise is not None:
                variance[index] = noise
        return variance

    @torch.no_grad()
    def set_noise(self, variance):
        """Set the learned noises to these variances (n_noises,), in model units."""
        for head, own in zip(self._noise_heads, self._split_noise(variance), strict=True):
            head.set_noise(own)

    def shrink(self, variance, shrinkage):
        """Shrink log-variances (..., n_noises) to the mean of their part."""
        pairs = zip(self._noise_heads, self._split_noise(variance), strict=True)
        return torch.cat([head.shrink(own, shrinkage) for head, own in pairs], dim=-1)

    def squared_residuals(self, p, x):
        """Return the squared residuals (..., n_noises) from which noises are set."""
        triples = zip(self.columns, self.heads, p.base_dist.parts, strict=True)
        residuals = [
            head.squared_residuals(part, columns(x))
            for columns, head, part in triples
            if head.has_noise
        ]
        return torch.cat(residuals, dim=-1)

    def other_log_probs(self, p, x):
        """Return the log-densities (..., n_others) of the parts without such a noise."""
        missing = x.isnan()
        each = p.base_dist.log_probs(x.masked_fill(missing, 0.0), missing)
        parts = zip(self._pairs(), p.base_dist.parts, each, strict=True)
        others = [
            head.other_log_probs(part, columns(x)) if head.has_noise else log_prob.unsqueeze(-1)
            for (columns, head), part, log_prob in parts
        ]
        return torch.cat(others, dim=-1)

    def expected_log_probs(self, residuals, variance):
        """Return the mean log-density of each feature with these mean squared residuals."""
        triples = zip(
            self._noise_heads,
            self._split_noise(residuals),
            self._split_noise(variance),
            strict=True,
        )
        return torch.cat([head.expected_log_probs(*own) for head, *own in triples], dim=-1)

    def _split_noise(self, values):
        return values.split([head.n_noises for head in self._noise_heads], dim=-1)


class MixedRows(Distribution):
    """Rows whose columns are in independent parts.

    Parameters
    ----------
    parts : list of RowDistribution
    columns : sequence of Columns
        Of each part.
    n_features : int
    """

    has_enumerate_support = False

    def __init__(self, parts, columns, n_features):
        self.parts, self.columns = parts, columns
        super().__init__(parts[0].batch_shape, torch.Size([n_features]), validate_args=False)

    @property
    def support(self):
        """The support of the parts, one after the other."""
        return constraints.cat([part.support for part in self.parts], dim=-1)

    @property
    def mean(self):
        """Means of the parts, one after the other; they may be wider than the rows."""
        return torch.cat([part.mean for part in self.parts], dim=-1)

    @property
    def variance(self):
        """Variances of the parts, one after the other."""
        return torch.cat([part.variance.expand_as(part.mean) for part in self.parts], dim=-1)

    def log_prob(self, value):
        """Log-density of rows."""
        return sum(self.log_probs(value))

    def observed_log_prob(self, values, missing):
        """Log-density of the values that are not missing."""
        return sum(self.log_probs(values, missing))

    def log_probs(self, values, missing=None):
        """Return the log-density of each part, a list."""
        pairs = zip(self.parts, self.columns, strict=True)
        if missing is None:
            return [part.log_prob(columns(values)) for part, columns in pairs]
        return [
            part.observed_log_prob(columns(values), columns(missing)) for part, columns in pairs
        ]


class MixedInputs(nn.Module):
    """The inputs of the parts, one after the other.

    Parameters
    ----------
    transforms : list of Module or None
    columns : list of ndarray of int
        Of each part.
    """

    def __init__(self, transforms, columns):
        super().__init__()
        self.columns = nn.ModuleList(map(Columns, columns))
        self.transforms = nn.ModuleList(each or nn.Identity() for each in transforms)

    def forward(self, x):
        """Return the inputs (..., n, n_inputs)."""
        pairs = zip(self.transforms, self.columns, strict=True)
        return torch.cat([transform(columns(x)) for transform, columns in pairs], dim=-1)


class Columns(nn.Module):
    """Selects columns of rows (..., n, n_features).

    Parameters
    ----------
    index : array-like of int
    """

    def __init__(self, index):
        super().__init__()
        self.register_buffer("index", torch.as_tensor(np.asarray(index)), persistent=False)

    def forward(self, x):
        """Return the columns."""
        return x.index_select(-1, self.index)
