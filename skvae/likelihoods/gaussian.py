"""The Gaussian likelihood."""

from dataclasses import replace
from numbers import Real

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions

from skvae.data.marginals import NormalScores
from skvae.data.rows import blocks, feature_moments
from skvae.data.units import Units
from skvae.likelihoods.base import Likelihood
from skvae.likelihoods.expectation_maximization import linear_gaussian_of_observed
from skvae.likelihoods.factor_analysis import (
    MIN_NOISE_VARIANCE,
    factor_analysis,
    probabilistic_pca,
)
from skvae.likelihoods.gaussian_heads import GaussianHead, HeteroscedasticHead, SpikedNormal
from skvae.likelihoods.second_moments import second_moment
from skvae.likelihoods.ties import Ties

# The rule for noise="auto", as its documentation has it.
_SHARE_AT_ENDS = 0.2
_MIN_STEPS = 8
_MANY_COLUMNS = 100
_LIKE_RANGES = 2.5


class Gaussian(Likelihood):
    """Gaussian features around the decoded mean.

    Data are centred and scaled inside the model, so that training does not depend on their
    units; densities are in the units of the data.

    Parameters
    ----------
    noise : {"auto", "per_feature", "isotropic", "heteroscedastic"} or float, default="auto"
        - ``"auto"``: "isotropic" if the columns are like the pixels of an image, one quantity
          many times, else "per_feature" (see Notes). ``likelihood_`` of a fitted estimator
          shows which.
        - ``"per_feature"``: one learned variance per feature, as in
          :class:`~sklearn.decomposition.FactorAnalysis`.
        - ``"isotropic"``: one learned variance for all, as in
          :class:`~sklearn.decomposition.PCA`'s probabilistic model.
        - ``"heteroscedastic"``: one for each feature of each row, from the decoder.
        - a float: that standard deviation, fixed, in the units of the data.

    mean : {"identity", "sigmoid"}, default="identity"
        Function from the decoder's output to the mean. With "sigmoid" the mean, like the
        data, is in [0, 1]; data are then not scaled inside the model, and the start is
        random.

    Notes
    -----
    With ``noise="auto"`` the noise is isotropic if `image_shape` is given, or if one of two
    things is true of the columns that vary. At least half of them have the same lowest and
    the same highest value, or the same number of steps between these, 8 or more, a step being
    the difference of the two lowest values, whatever the scaling; and the lowest and the
    highest value are at least a fifth of the column's cells. Or there are at least 100 of
    them, and the ranges of at least half are within a factor 2.5 of the median range.

    A learned variance is bounded below by 1e-6 times the variance of the feature: in a
    Heywood case, where a factor explains a feature completely, the maximum-likelihood
    noise is zero and the likelihood unbounded.

    With ``noise="per_feature"`` a feature that is constant in the training data has the
    density that `FactorAnalysis` gives it, a normal of variance 1e-12, mixed with a normal
    of variance 1 and weight 1e-6: a new value there then costs a row about 14 nats and not
    1e12.

    Examples
    --------
    >>> from skvae import VAETransformer
    >>> from skvae.likelihoods import Gaussian
    >>> VAETransformer(likelihood=Gaussian(noise="isotropic"))
    VAETransformer(likelihood=Gaussian(noise='isotropic'))
    """

    _parameter_constraints = {
        "noise": [
            StrOptions({"auto", "per_feature", "isotropic", "heteroscedastic"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "mean": [StrOptions({"identity", "sigmoid"})],
        "marginals": [StrOptions({"normal"}), None],
    }

    def __init__(self, noise="auto", mean="identity", marginals=None):
        self.noise = noise
        self.mean = mean
        self.marginals = marginals

    def check(self):
        """Raise ValueError or TypeError if a parameter, or two together, are invalid."""
        super().check()
        if self._has_scores and self._sigmoid:
            raise ValueError(
                "marginals='normal' maps each column to normal scores, which are not in "
                "[0, 1]: use it with mean='identity'."
            )
        if self._has_scores and self._fixed:
            raise ValueError(
                f"noise={self.noise} is a standard deviation in the units of the data, and "
                "with marginals='normal' the model has none there: use a learned noise, as "
                "noise='auto' is, or marginals=None."
            )

    def for_data(self, X, image_shape=None):
        """Return the likelihood with its noise chosen, where that is "auto"."""
        if self.noise != "auto":
            return self
        isotropic = image_shape is not None or has_like_columns(X)
        return clone(self).set_params(noise="isotropic" if isotropic else "per_feature")

    @property
    def support(self):
        """All real numbers; with a sigmoid mean the unit interval."""
        return (0.0, 1.0) if self._sigmoid else (-np.inf, np.inf)

    @property
    def remedy(self):
        """What to do with values outside the support."""
        return "Scale it, for example with MinMaxScaler, or use mean='identity'."

    @property
    def raw_per_feature(self):
        """A mean; with heteroscedastic noise also a log-scale."""
        return 2 if self._heteroscedastic else 1

    @property
    def start_gain(self):
        """Reduced if scales are decoded: one that is small by chance has huge gradients."""
        return 0.1 if self._heteroscedastic else 1.0

    def units(self, X):
        """Standardise; by one scale for all features unless each has its own noise.

        With normal marginals the units are normal scores.
        """
        if self._has_scores:
            return NormalScores.of_rows(X)
        if self._sigmoid:
            return super().units(X)
        return Units.standardizing(X, shared=not self._own_scales)

    def head(self, units):
        """Return a :class:`GaussianHead` or a :class:`HeteroscedasticHead`."""
        kind = HeteroscedasticHead if self._heteroscedastic else GaussianHead
        return kind(self, units)

    def ties(self, units):
        """Return the intervals of scores that stand for one value, None without any."""
        return Ties.of_units(units) if self._has_scores else None

    def parameters(self, units):
        """Return the log-scale of a learned noise: one, or one per feature."""
        if self._fixed or self._heteroscedastic:
            return {}
        n_scales = len(units.scale) if self.is_per_feature else 1
        return {"log_scale": torch.zeros(n_scales, dtype=torch.float32)}

    def decoded_mean(self, raw):
        """Return the mean of raw output, in model units."""
        return raw.sigmoid() if self._sigmoid else raw

    def start(self, head, rows):
        """Return the raw output for the rows' mean; set a learned noise to their variance."""
        if self._has_scores or not (self._sigmoid or self._heteroscedastic):
            # In model units the mean is 0 and the variance 1.
            return torch.zeros(head.n_raw, dtype=torch.float32)
        mean, variance = feature_moments(rows)
        inner = mean.float().clamp(1e-3, 1 - 1e-3)
        raw = inner.logit() if self._sigmoid else torch.zeros_like(inner)
        if self._heteroscedastic:
            scale = variance.sqrt().float().clamp(min=MIN_NOISE_VARIANCE**0.5)
            return torch.cat([raw, scale.log()])
        if self.noise == "isotropic":
            # The variance around the common mean of all features.
            variance = variance + mean.var(correction=0)
        # At least twice the floor: at the floor itself the noise has no gradient.
        head.set_noise(variance.clamp(min=MIN_NOISE_VARIANCE) + MIN_NOISE_VARIANCE)
        return raw

    def draw(self, p, rng):
        """Draw from the normal of each feature."""
        normal = p.base_dist
        mean, scale = normal.loc.cpu().numpy(), normal.scale.cpu().numpy()
        if isinstance(normal, SpikedNormal):
            scale = np.where(normal.draw_slab(rng), 1.0, scale)
        return (mean + scale * rng.standard_normal(mean.shape)).astype(mean.dtype)

    def closed_form(self, rows, latent_dim, units):
        """Return the factor analysis or the probabilistic PCA of complete rows."""
        covariance, n_rows = second_moment(rows, latent_dim), len(rows)
        if self._fixed:
            known = self.relative_noise(units) ** 2
            return probabilistic_pca(covariance, latent_dim, noise_variance=known)
        if not self._own_scales:
            return probabilistic_pca(covariance, latent_dim, n_samples=n_rows)
        solution = factor_analysis(covariance, latent_dim, n_rows)
        # For features that are constant in these rows only, add one pseudo-observation.
        unseen = ~units.constant & (covariance.diagonal() == 0)
        noise = np.where(unseen, 1 / (n_rows + 1), solution.noise_variance)
        return replace(solution, noise_variance=noise)

    def model_of_observed(self, rows, latent_dim, units, tol=1e-4):
        """Return the factor analysis or the probabilistic PCA of the values that are there."""
        if not self.has_closed_form:
            return super().model_of_observed(rows, latent_dim, units, tol)
        known = self.relative_noise(units) ** 2 if self._fixed else None
        shared = not self._own_scales
        return linear_gaussian_of_observed(
            rows, latent_dim, shared=shared, known=known, tol=tol
        )

    @property
    def has_closed_form(self):
        """Whether the model with linear networks has a closed form."""
        return not self._sigmoid

    def relative_noise(self, units):
        """Return a fixed noise in model units."""
        scale = float(units.scale[0])
        # float: a float32 from a grid would overflow before the check below.
        relative = float(self.noise) / scale
        if not 1e-9 <= relative <= 1e9:
            raise ValueError(
                f"noise={self.noise} is a standard deviation in the units of the data, and "
                f"theirs is {scale:.3g}: choose one between 1e-9 and 1e9 times that."
            )
        return relative

    @property
    def is_per_feature(self):
        """Whether each feature has a noise of its own; also "auto" until it is chosen."""
        return self.noise in ("auto", "per_feature")

    @property
    def _has_scores(self):
        return self.marginals == "normal"

    @property
    def _fixed(self):
        return not isinstance(self.noise, str)

    @property
    def _heteroscedastic(self):
        return self.noise == "heteroscedastic"

    @property
    def _own_scales(self):
        return self.is_per_feature or self._heteroscedastic

    @property
    def _sigmoid(self):
        return self.mean == "sigmoid"


def has_like_columns(X):
    """Whether the columns are one quantity many times, as the pixels of an image are.

    The rule is in the notes of :class:`Gaussian`. It takes one pass over the rows.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    """
    lowest, second, highest, share = _ends(X)
    varies = highest > lowest
    if not varies.any():
        return False
    lowest, second, highest = lowest[varies], second[varies], highest[varies]
    tied = share[varies] >= _SHARE_AT_ENDS
    # A range beyond float64 is like no other; the units refuse it by its column.
    with np.errstate(over="ignore", invalid="ignore"):
        spread = highest - lowest
        ratio = spread / np.median(spread)
        steps = np.rint(spread / (second - lowest))
    n_same = _most_equal(np.stack([lowest, highest])[:, tied])
    # Any two columns of flags, or of few small counts, have as many steps by chance.
    n_steps = _most_equal(steps[None, tied & (steps >= _MIN_STEPS)])
    if 2 * max(n_same, n_steps) >= len(lowest):
        return True
    n_like = np.count_nonzero((ratio <= _LIKE_RANGES) & (ratio >= 1 / _LIKE_RANGES))
    return bool(len(lowest) >= _MANY_COLUMNS and 2 * n_like >= len(lowest))


def _most_equal(columns):
    """Return how many times the most frequent column is there."""
    _, counts = np.unique(columns, axis=1, return_counts=True)
    return counts.max(initial=0)


def _ends(X):
    """Return each column's lowest, second lowest and highest value.

    And the share of its values that are the lowest or the highest.
    """
    lowest, second, highest = (np.full(X.shape[1], end) for end in (np.inf, np.inf, -np.inf))
    n_low, n_high, n_values = 0, 0, 0
    for block in blocks(X):
        low, high = np.fmin.reduce(block, axis=0), np.fmax.reduce(block, axis=0)
        # None was counted before of a value that is lower or higher than all.
        n_low, n_high = np.where(low < lowest, 0, n_low), np.where(high > highest, 0, n_high)
        above = np.where(block > low, block, np.inf).min(axis=0)
        candidates = np.stack([lowest, second, low, above])
        lowest, highest = np.fmin(lowest, low), np.fmax(highest, high)
        second = np.where(candidates > lowest, candidates, np.inf).min(axis=0)
        n_low = n_low + np.count_nonzero(block == lowest, axis=0)
        n_high = n_high + np.count_nonzero(block == highest, axis=0)
        n_values = n_values + np.count_nonzero(~np.isnan(block), axis=0)
    return lowest, second, highest, (n_low + n_high) / np.maximum(n_values, 1)
