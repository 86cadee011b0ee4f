"""The Gaussian likelihood."""

from dataclasses import replace
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions

from skvae.data.marginals import NormalScores
from skvae.data.means import feature_moments
from skvae.data.rows import count_rows
from skvae.data.units import Units, column_maps
from skvae.likelihoods.base import Likelihood
from skvae.likelihoods.expectation_maximization import linear_gaussian_of_observed
from skvae.likelihoods.factor_analysis import (
    MIN_NOISE_VARIANCE,
    factor_analysis,
    probabilistic_pca,
)
from skvae.likelihoods.gaussian_heads import (
    GaussianHead,
    HeteroscedasticHead,
    SpikedNormal,
    TiltedHead,
)
from skvae.likelihoods.like_columns import has_like_columns
from skvae.likelihoods.score_means import ScoreMeans
from skvae.likelihoods.second_moments import second_moment
from skvae.likelihoods.ties import Ties


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
    marginals : {"normal"} or None, default=None
        - None: columns are only centred and scaled.
        - ``"normal"``: each column is mapped to normal scores by its own monotone map, and the
          training starts at a Gaussian copula. Drawn, decoded and imputed rows then have
          values as the training rows have them: skewed, tied, of their range, whole numbers.
          Not with a fixed noise or a sigmoid mean.
    n_bins : int, default=None
        With normal marginals: bins of the scores of each column, whose probabilities given the
        code the decoder may change from those of the normal. None changes none. It lets
        columns have several modes given the code, and takes about half more time. Not with
        heteroscedastic noise.

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

    With ``marginals="normal"`` the map of a column is straight between quantiles (four times
    the cube root of the number of rows, at most 400) and beyond its lowest and highest value,
    and the density is that of the scores times the slope. A tied value is an interval of
    scores and counts with the probability of the interval: densities are with respect to
    counting measure at tied values, and to Lebesgue measure elsewhere. Where tied values are
    neighbours, values around them have no scores, are taken for the nearest tied value and
    share with it, as a density, the probability that values which occur only once have
    together; so the whole integrates to one.

    With `n_bins` the density of scores is that of a normal times a factor of each bin, and
    normalised; the factors come from the decoder and start at 1. The bins have about the same
    probability, and those of frequent values are these alone.

    All values of a column are tied if at most 1,000 are different and at most a tenth occur
    only once; else those that are at least a hundredth of the column. Draws and decoded rows
    have no other values where all are tied, and none beyond the lowest and the highest.
    Decoded and imputed means are those of the values and not the values of mean scores, and
    whole numbers if all values are. ``noise_variance_`` is that
    of the scores, to which a denoising autoencoder's noise is added too. In ``history_`` the
    terms of held-out rows have the mean slope of the training rows. In `partial_fit` the maps
    are those of the first call.

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
        "n_bins": [Interval(Integral, 2, None, closed="left"), None],
    }

    def __init__(self, noise="auto", mean="identity", marginals=None, n_bins=None):
        self.noise = noise
        self.mean = mean
        self.marginals = marginals
        self.n_bins = n_bins

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
        if self.n_bins is not None and (not self._has_scores or self._heteroscedastic):
            raise ValueError(
                f"n_bins={self.n_bins} are bins of normal scores with a noise per feature: use "
                "it with marginals='normal' and noise='auto', or n_bins=None."
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
    def is_density(self):
        """Whether there are no normal scores, of which tied values have probabilities."""
        return not self._has_scores

    @property
    def remedy(self):
        """What to do with values outside the support."""
        return "Scale it, for example with MinMaxScaler, or use mean='identity'."

    @property
    def raw_per_feature(self):
        """A mean; with heteroscedastic noise also a log-scale, with bins their factors."""
        return 2 if self._heteroscedastic else 1 + (self.n_bins or 0)

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
        if self.n_bins is not None:
            return TiltedHead(self, units)
        kind = HeteroscedasticHead if self._heteroscedastic else GaussianHead
        return kind(self, units)

    def ties(self, units):
        """Return the intervals of scores that stand for one value, None without any."""
        return Ties.of_units(units) if self._has_scores else None

    def score_means(self, units):
        """Return what gives the means of the values of scores, None without scores."""
        return ScoreMeans(column_maps(units)) if self._has_scores else None

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
        covariance, n_rows = second_moment(rows, latent_dim), count_rows(rows)
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
