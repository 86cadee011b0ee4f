"""Base classes of the likelihoods: support, units and head."""

import warnings

import numpy as np
import torch
from torch import nn

from skvae.callers import stacklevel_of_user
from skvae.components import Component
from skvae.data.columns import column_name
from skvae.data.kinds import CATEGORY
from skvae.data.means import feature_means
from skvae.data.rows import blocks, clipped, extremes
from skvae.data.units import Units
from skvae.likelihoods.expectation_maximization import linear_gaussian_of_observed
from skvae.likelihoods.row_distribution import RowDistribution
from skvae.randomness import seed_torch

# Values outside the support by at most this are rounding errors.
_ROUNDING = 1e-6


class Likelihood(Component):
    """A family of distributions p(x|z).

    A subclass defines in `distribution` the meaning of raw decoder output. If it has learned
    parameters of its own, `parameters` returns them; if the raw output for the data's mean
    is not the mean itself, `start` returns it.

    Examples
    --------
    >>> from torch.distributions import Laplace
    >>> from skvae.likelihoods import Likelihood
    >>> class AbsoluteError(Likelihood):
    ...     def distribution(self, raw):
    ...         return Laplace(raw, 1.0, validate_args=False)
    """

    kind = "likelihood"

    #: The closed interval that contains the data, and what to do about other values.
    support = (-np.inf, np.inf)
    remedy = ""

    #: Whether p(x|z) is a density, which another scale of the rows changes; else probabilities.
    is_density = True

    #: Whether new values outside can be clipped; else they raise ValueError.
    can_clip = True

    #: Raw outputs of the decoder per feature.
    raw_per_feature = 1

    #: Whether training can start at `closed_form`, a linear-Gaussian model of the inputs.
    has_closed_form = False

    #: Whether noise can be added to the rows, as denoising autoencoders do.
    can_corrupt = True

    #: Spread of the raw output of a random start, relative to He initialisation.
    start_gain = 1.0

    def units(self, X) -> Units:
        """Return the model's units for the training data."""
        return Units.identity(X.shape[1])

    def resolve_columns(self, table, feature_names=None) -> "Likelihood":
        """Return the likelihood with columns by position, where it names some."""
        return self

    def for_columns(self, kinds, n_levels, names) -> "Likelihood":
        """Return the likelihood for columns of these kinds, or raise ValueError.

        Parameters
        ----------
        kinds : list of {"number", "flag", "category"}
        n_levels : list of int
            Number of categories of each column.
        names : list
            For errors.
        """
        if CATEGORY in kinds:
            raise ValueError(
                f"The column {names[kinds.index(CATEGORY)]!r} of X has categories, which the "
                f"{type(self).__name__} likelihood does not take. Use likelihood='auto', or "
                "Mixed with 'categorical' for this column."
            )
        return self

    def for_data(self, X, image_shape=None) -> "Likelihood":
        """Return the likelihood with those parameters set that depend on the training data."""
        return self

    def n_raw(self, n_features) -> int:
        """Return the number of raw outputs of the decoder per row."""
        return self.raw_per_feature * n_features

    def n_inputs(self, n_features) -> int:
        """Return the number of columns of the rows after `input_transform`."""
        return n_features

    def head(self, units) -> "LikelihoodHead":
        """Return the decoder's head for rows in these units."""
        return LikelihoodHead(self, units)

    def parameters(self, units) -> dict[str, torch.Tensor]:
        """Return initial values of the likelihood's own parameters, by name."""
        return {}

    def distribution(self, raw, **parameters):
        """Return p(x|z) of raw output (..., n, n_raw), by feature or by row.

        The parameters come as (..., 1, n_features).
        """
        raise NotImplementedError

    def start(self, head, rows) -> torch.Tensor:
        """Return raw output (n_raw,) whose distribution has the mean of the training rows.

        By default it is that mean, followed by zeros. The parameters in the head can be set
        here too; gradients are disabled. The rows are in model units, and may be too many for
        the memory: read them with `skvae.data.rows.blocks`.
        """
        raw = torch.zeros(head.n_raw, dtype=torch.float32)
        raw[: head.n_features] = feature_means(rows)
        return raw

    def draw(self, p, rng):
        """Draw rows from a distribution that a head returned, as an array.

        torch's distributions use its global generator, whose state is restored afterwards.
        """
        with seed_torch(int(rng.randint(2**31))):
            return p.sample().cpu().numpy()

    def input_transform(self) -> nn.Module | None:
        """Return a module that is applied to rows before the encoder, or None."""
        return None

    def mean_as_inputs(self, mean):
        """Return a mean of p(x|z) as `input_transform` gives rows."""
        transform = self.input_transform()
        return mean if transform is None else transform.to(mean.device)(mean)

    def collapse(self, mean):
        """Return rows (..., n_features) for means of p(x|z).

        These are the same unless the mean has more columns, as one for each category.
        """
        return mean

    def input_groups(self, n_features) -> tuple[int, ...]:
        """Return sizes of groups of inputs: of those that indicate categories, of others 1."""
        return (1,) * n_features

    def scaled_inputs(self, n_features):
        """Return which inputs are centred and scaled by the units already, an array of bool."""
        return np.full(self.n_inputs(n_features), self.has_closed_form)

    def linear_output(self, solution, centre):
        """Return weight and bias of raw output that is linear in the code.

        Its distribution has, to first order, the mean of a linear-Gaussian model. By default it
        does not depend on the code.

        Parameters
        ----------
        solution : LinearGaussian
            Of the encoder's inputs.
        centre : Tensor of shape (n_raw,)
            The raw output that `start` gives.
        """
        return torch.zeros(len(centre), solution.loadings.shape[1]), centre

    def closed_form(self, rows, latent_dim, units):
        """Return the closed-form linear-Gaussian model of complete rows."""
        raise NotImplementedError

    def model_of_observed(self, rows, latent_dim, units, tol=1e-4):
        """Return a linear-Gaussian model of rows with missing values.

        It fills them for the encoder, and is that of the encoder's inputs. If the likelihood
        has a closed form, it is also the start of the training. `tol` is the gain per row, in
        nats, at which the iteration ends.
        """
        transform = (self.input_transform() or nn.Identity()).to(rows.device)
        return linear_gaussian_of_observed(
            rows, latent_dim, shared=True, transform=transform, tol=tol
        )

    def check_support(self, X, feature_names=None, argument="X"):
        """Return training data, or raise ValueError if they are outside the support.

        The message names the column that is farthest outside and its range. Rounding errors
        are ignored, such as 1 + 2e-16 from MinMaxScaler; they are clipped on reading the rows.
        """
        low, high = self.support
        if not np.isfinite(self.support).any():
            return X
        lowest, highest = extremes(X)
        excess = np.maximum(low - lowest, highest - high)
        worst = int(np.argmax(excess))
        if excess[worst] > _ROUNDING:
            name = column_name(worst, feature_names)
            raise ValueError(
                f"The {type(self).__name__} likelihood needs values in [{low:g}, {high:g}], "
                f"but {name} of {argument} ranges from {lowest[worst]:.6g} to "
                f"{highest[worst]:.6g}. {self.remedy}"
            )
        return X

    def clip(self, X, name="X"):
        """Return `X` with values outside the support moved to its edge, and warn once.

        A held-out fold that is scaled by the minimum and maximum of the training fold may
        be slightly outside the support; an error would break every grid search.
        """
        if not self.can_clip:
            return self.check_support(X, argument=name)
        low, high = self.support
        if not np.isfinite(self.support).any():
            return X
        lowest, highest = extremes(X)
        if lowest.min() >= low and highest.max() <= high:
            return X
        outside = sum(
            np.count_nonzero((low - _ROUNDING > block) | (high + _ROUNDING < block))
            for block in blocks(X)
        )
        if outside:
            warnings.warn(
                f"{outside} of the {X.shape[0] * X.shape[1]} values of {name} lie outside "
                f"[{low:g}, {high:g}], the support of the {type(self).__name__} likelihood, "
                "and were clipped to it.",
                UserWarning,
                stacklevel=stacklevel_of_user(),
            )
        return clipped(X, low, high)

    def _inside(self, X):
        """Iterate over dense blocks of rows, with rounding errors clipped to the support."""
        for block in blocks(X):
            yield np.clip(block, *self.support)


class LikelihoodHead(nn.Module):
    """Turns raw decoder output into p(x|z); holds the likelihood's own parameters.

    Raw output (..., n, n_raw) may have leading axes, and so may the parameters: those of
    several models are then (n_models, n_features), for raw output (..., n_models, n, n_raw).

    Parameters
    ----------
    likelihood : Likelihood
    units : Units
        Units of the model.

    Attributes
    ----------
    n_features : int
    n_raw : int
        Number of raw outputs of the decoder per row.
    n_inputs : int
        Number of inputs of the encoder per row.
    """

    #: Whether a noise can be set from held-out residuals (`squared_residuals`, `set_noise`).
    has_noise = False

    #: The columns that have such a noise.
    noise_columns = slice(None)

    def __init__(self, likelihood, units):
        super().__init__()
        self.likelihood = likelihood
        self.n_features = len(units.scale)
        self.n_raw = likelihood.n_raw(self.n_features)
        self.n_inputs = likelihood.n_inputs(self.n_features)
        for name, value in likelihood.parameters(units).items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, raw):
        """Return p(x|z) with event shape (n_features,)."""
        # Add the axis of the rows, which comes after that of several models.
        own = {name: value.unsqueeze(-2) for name, value in self._parameters.items()}
        p = self.likelihood.distribution(raw, **own)
        return RowDistribution(p)

    def draw(self, p, rng):
        """Draw rows from `p` with NumPy's generator, as an array."""
        return self.likelihood.draw(p, rng)

    def means(self, p):
        """Return the means of p(x|z) (..., n_inputs), as `Units.means_to_data` takes them."""
        return p.mean

    def collapse(self, means):
        """Return rows (..., n_features) for means of p(x|z)."""
        return self.likelihood.collapse(means)

    def closed_form_output(self, solution, centre):
        """Set the noise of a closed-form model; return weight and bias of the raw output.

        `centre` is the raw output that the likelihood's `start` gives.
        """
        return self.likelihood.linear_output(solution, centre)

    @property
    def n_noises(self):
        """Number of columns whose noise can be set."""
        return self.n_features

    def noise_variance(self):
        """Return the noise variance per feature in model units, or None."""
        return None

    def other_log_probs(self, p, x):
        """Return log-densities (..., n_others) of parts of rows that have no such noise."""
        return p.mean[..., :0]
