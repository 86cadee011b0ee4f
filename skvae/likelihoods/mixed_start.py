"""The linear-Gaussian model of inputs of several kinds: the start of the training.

Numbers are standardised. The indicators of the categories of one variable are divided by the
roots of their frequencies, as in multiple correspondence analysis, and share one noise: they
are then uncorrelated among themselves, with the variance 1 in all directions but one, and no
factor is spent on their sum being 1.

References
----------
J. Pages (2014), Multiple Factor Analysis by Example Using R, chapter 3 (factor analysis of
mixed data).
"""

from dataclasses import replace

import numpy as np
import torch

from skvae.data.means import feature_moments
from skvae.data.rows import MappedRows, count_rows
from skvae.likelihoods.expectation_maximization import linear_gaussian_of_observed
from skvae.likelihoods.factor_analysis import LinearGaussian, factor_analysis
from skvae.likelihoods.second_moments import second_moment

# The least noise of inputs that are no measurements, relative to their variance: a linear model
# that explains a category nearly completely says little about its probability.
_MIN_NOISE = 0.5
# Nats per row, and iterations: many rare categories would need many, of little use.
_TOLERANCE, _MAX_ITERATIONS = 1e-4, 100
_EIGENVALUE_TOLERANCE = 1e-4


class ScaledInputs:
    """Inputs in units in which a factor analysis does not depend on their kinds.

    Parameters
    ----------
    inputs : Tensor or StreamedRows of shape (n, n_inputs)
    groups : tuple of int
        Sizes of the groups of inputs that indicate the categories of one variable; 1 for
        other inputs.
    is_scaled : ndarray of shape (n_inputs,), dtype bool
        Inputs that are centred and scaled by their units already.
    """

    def __init__(self, inputs, groups, is_scaled):
        mean, variance = (each.numpy() for each in feature_moments(inputs))
        sizes = np.repeat(groups, groups)
        self.starts = np.cumsum((0, *groups[:-1]))
        self.groups = np.array(groups)
        self.least = np.where(is_scaled, 0.0, _MIN_NOISE)
        # Numbers alone have the same model as without other parts.
        self.pool = None if is_scaled.all() else self._common_noise
        # Other categories than those that are there have no variance.
        self.varying = np.add.reduceat((variance > 0).astype(int), self.starts)
        scale = np.sqrt(np.where(sizes > 1, mean, variance))
        self.mean = np.where(is_scaled, 0.0, mean)
        self.scale = np.where((variance > 0) & ~is_scaled, scale, 1.0)
        shift, factor = (
            torch.as_tensor(each).to(inputs.device) for each in (self.mean, self.scale)
        )
        self.rows = MappedRows(
            inputs, lambda x: ((x - shift) / factor).float(), inputs.shape[1]
        )

    def _common_noise(self, noise):
        """Return noise variances of which each group has a common one.

        The variances of `k` indicators are those along `k - 1` directions.
        """
        of_groups = np.add.reduceat(noise, self.starts) / np.maximum(self.varying - 1, 1)
        is_grouped = np.repeat(self.groups > 1, self.groups)
        pooled = np.where(is_grouped, np.repeat(of_groups, self.groups), noise)
        return np.maximum(pooled, self.least)

    def complete_model(self, latent_dim):
        """Return the factor analysis of complete rows."""
        limits, precision, n_rows = {}, 0.0, count_rows(self.rows)
        if self.pool is not None:
            precision = _EIGENVALUE_TOLERANCE
            limits = {"pool": self.pool, "tol": _TOLERANCE, "max_iter": _MAX_ITERATIONS}
        covariance = second_moment(self.rows, latent_dim, precision)
        model = factor_analysis(covariance, latent_dim, n_rows, **limits)
        # For numbers that are constant in these rows only, add one pseudo-observation.
        unseen = covariance.diagonal() == 0
        noise = np.where(unseen, 1 / (n_rows + 1), model.noise_variance)
        return self._unscaled(replace(model, noise_variance=noise))

    def observed_model(self, latent_dim, tol):
        """Return the factor analysis of the values that are there."""
        model = linear_gaussian_of_observed(self.rows, latent_dim, pool=self.pool, tol=tol)
        return self._unscaled(model)

    def _unscaled(self, model):
        """Return a model of scaled inputs as one of the inputs themselves."""
        return LinearGaussian(
            loadings=model.loadings * self.scale[:, None],
            noise_variance=model.noise_variance * self.scale**2,
            projection=model.projection / self.scale,
            posterior_scale=model.posterior_scale,
            mean=self.mean + model.mean * self.scale,
        )
