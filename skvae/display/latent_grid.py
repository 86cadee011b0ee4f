"""Decoded images on a grid over the latent plane."""

from functools import partial
from numbers import Integral

import numpy as np
from scipy.stats import norm
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skvae.display.columns import is_mixed
from skvae.display.estimator_api import (
    check_rows,
    choose_dimensions,
    decode,
    encode,
    has_normal_prior,
    n_codes_of,
)
from skvae.display.images import draw_images, find_image_shape
from skvae.display.panels import check_plot

# The grid spans this central part of the codes.
_COVERAGE = 0.95
_MAX_TICKS = 8


class LatentGridDisplay:
    """Images decoded at the points of a grid over the latent plane.

    Use :meth:`from_estimator` to create one.

    Parameters
    ----------
    grid : tuple of ndarray of shape (n_columns,) and (n_rows,)
        Codes at the columns, from left to right, and at the rows, from the bottom up. Of
        one latent dimension only the first.
    images : ndarray of shape (n_rows, n_columns, n_features)
        Decoded images; the first row is the lowest.
    image_shape : tuple of int
        (H, W) or (H, W, C), channels last.
    dimensions : tuple of int, default=(0, 1)
        The latent dimensions on the horizontal and on the vertical axis.
    value_range : (float, float), default=None
        Least and largest value of the data, where they are known.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        All images as one.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skvae.display import LatentGridDisplay
    >>> X = load_digits().data
    >>> pca = PCA(n_components=2).fit(X)
    >>> display = LatentGridDisplay.from_estimator(pca, X, n_grid=5, image_shape=(8, 8))
    >>> display.images.shape
    (5, 5, 64)
    """

    def __init__(self, *, grid, images, image_shape, dimensions=(0, 1), value_range=None):
        self.grid = grid
        self.images = images
        self.image_shape = image_shape
        self.dimensions = dimensions
        self.value_range = value_range

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        *,
        n_grid=15,
        spacing="quantile",
        limits=None,
        dimensions=None,
        origin=None,
        image_shape=None,
        ax=None,
        **kwargs,
    ):
        """Decode a grid of codes and draw the images.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `inverse_transform`, or a fitted Pipeline that ends
            in one.
        X : array-like of shape (n_samples, n_features), default=None
            The grid spans the codes of these rows. By default it spans the standard
            normal prior; autoencoders and PCA have none, and need `X` or `limits`.
        n_grid : int or (int, int), default=15
            Points on the horizontal and the vertical axis.
        spacing : {"quantile", "value"}, default="quantile"
            Points evenly spaced in probability, under the prior or among the codes of X,
            or in value.
        limits : (float, float) or pair of those, default=None
            Least and largest code, for both axes or for each. By default the central 95%.
        dimensions : tuple of int, default=None
            The two latent dimensions to vary. By default those with the largest
            `latent_kl_`, of estimators without it those in which the codes of X vary most.
        origin : array-like of shape (latent_dim,), default=None
            Code whose values the other latent dimensions have. By default 0.
        image_shape : tuple of int, default=None
            (H, W) or (H, W, C), channels last. By default that of the estimator.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        LatentGridDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        codes = None if X is None else encode(estimator, X)
        n_codes = n_codes_of(estimator) if codes is None else codes.shape[1]
        dimensions = choose_dimensions(estimator, dimensions, n_codes, codes)
        sizes, limits = _check_sizes(n_grid, len(dimensions)), _check_limits(limits)
        known = codes is not None or has_normal_prior(estimator)
        if not known and (limits[0] is None or spacing == "quantile"):
            raise ValueError(
                f"{type(estimator).__name__} has no prior that spacing={spacing!r} could span: "
                "pass rows as X, whose codes set the grid, or limits with spacing='value'."
            )
        grid = tuple(
            _line(n, spacing, limit, codes, i)
            for n, limit, i in zip(sizes, limits, dimensions, strict=False)
        )
        images = decode_grid(estimator, grid, dimensions, _check_origin(origin, n_codes))
        shape = find_image_shape(estimator, image_shape, images.shape[2])
        if shape is None:
            raise ValueError(
                f"{cls.__name__} draws images: pass image_shape=(H, W) or (H, W, C) with a "
                f"product equal to the {images.shape[2]} features of a row."
            )
        display = cls(
            grid=grid,
            images=images,
            image_shape=shape,
            dimensions=dimensions,
            value_range=None if X is None else data_range(check_rows(X)),
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, gap=1, cmap="gray", vmin=None, vmax=None, **kwargs):
        """Draw the images as one.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure.
        gap : int, default=1
            Pixels between images.
        cmap : str or Colormap, default="gray"
            Of grey images.
        vmin, vmax : float, default=None
            Values drawn as black and as white. By default the least and the largest of X,
            without it of the images; of RGB images 0 and 1, or 255.
        **kwargs : dict
            For `Axes.imshow`.

        Returns
        -------
        LatentGridDisplay
        """
        check_plot(self, ax)
        if np.ndim(self.dimensions) != 1 or len(self.dimensions) < len(self.grid):
            raise ValueError(
                f"dimensions={self.dimensions!r} must name one latent dimension for each of "
                f"the {len(self.grid)} axes of the grid."
            )
        options = {"cmap": cmap, "vmin": vmin, "vmax": vmax, "gap": gap} | kwargs
        layout = {"reference": self.value_range, "margins": (0.7, 0.6)}
        layout["xlabels"] = _labels(self.grid[0])
        if len(self.grid) == 2:
            # Images are drawn from the top, codes grow upwards.
            top = len(self.grid[1]) - 1
            layout["ylabels"] = {top - i: text for i, text in _labels(self.grid[1]).items()}
        self.image_ = draw_images(ax, self.images[::-1], self.image_shape, **layout, **options)
        self.ax_ = self.image_.axes
        self.figure_ = self.ax_.figure
        self.ax_.tick_params(labelsize="small")
        self.ax_.set_xlabel(f"$z_{{{self.dimensions[0]}}}$")
        if len(self.grid) == 2:
            self.ax_.set_ylabel(f"$z_{{{self.dimensions[1]}}}$")
        return self


def _labels(values):
    """Return labels of the codes on one axis by index; if there are many, of some."""
    last = len(values) - 1
    least = max(1, -(-last // (_MAX_TICKS - 1)))
    # Preferably a step that includes the last cell.
    step = next((s for s in range(least, 2 * least) if last % s == 0), least)
    digits = max(0, 2 - int(np.floor(np.log10(np.ptp(values) or 1.0))))
    # Adding 0 turns -0 into 0.
    rounded = np.round(values[::step], digits) + 0.0
    labels = [f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}") for value in rounded]
    return dict(zip(range(0, last + 1, step), labels, strict=True))


def data_range(X):
    """Return the least and the largest value that is not missing."""
    # A plain array is reduced without a copy, a memory map would be copied.
    X = np.asarray(X)
    return float(np.nanmin(X)), float(np.nanmax(X))


def decode_grid(estimator, grid, dimensions, origin):
    """Return the rows decoded at the points of a grid, (n_rows, n_columns, n_features).

    `grid` has the codes at the columns and, with two dimensions, at the rows; the other
    dimensions have the values of `origin`.
    """
    shape = (1 if len(grid) == 1 else len(grid[1]), len(grid[0]))
    points = np.tile(origin, (*shape, 1))
    points[:, :, dimensions[0]] = grid[0]
    if len(grid) == 2:
        points[:, :, dimensions[1]] = grid[1][:, None]
    rows = decode(estimator, points.reshape(-1, len(origin)))
    if is_mixed(rows):
        raise ValueError(
            "A grid of decoded rows is one of images, but the rows have columns of categories "
            "or flags. To see how these depend on the codes use LatentSpaceDisplay, with the "
            "name of a column as y, or InterpolationDisplay."
        )
    return rows.reshape(*shape, -1)


def quantile_function(codes, dimension):
    """Return the quantile function of codes, by default of the standard normal."""
    return norm.ppf if codes is None else partial(np.quantile, codes[:, dimension])


def _line(n, spacing, limits, codes, dimension):
    """Return codes along one dimension, from the least to the largest."""
    tail = (1 - _COVERAGE) / 2
    quantile = quantile_function(codes, dimension)
    if spacing == "value":
        low, high = quantile([tail, 1 - tail]) if limits is None else limits
        return np.linspace(low, high, n)
    if spacing != "quantile":
        raise ValueError(f"spacing={spacing!r} must be 'quantile' or 'value'.")
    if limits is None:
        return quantile(np.linspace(tail, 1 - tail, n))
    if codes is None:
        return norm.ppf(np.linspace(*norm.cdf(limits), n))
    known = codes[:, dimension]
    inside = known[(known >= limits[0]) & (known <= limits[1])]
    if len(inside) == 0:
        raise ValueError(f"limits={limits} hold no code of X. Widen them.")
    return np.quantile(inside, np.linspace(0, 1, n))


def _check_sizes(n_grid, n_axes):
    """Return the number of points on each axis."""
    sizes = tuple(n_grid) if np.iterable(n_grid) else (n_grid,) * n_axes
    if len(sizes) != n_axes or not all(isinstance(n, Integral) and n >= 1 for n in sizes):
        raise ValueError(f"n_grid={n_grid!r} must be a positive integer, or one for each axis.")
    return sizes


def _check_limits(limits):
    """Return limits of two axes, each a pair or None."""
    if limits is None:
        return (None, None)
    try:
        pairs = np.broadcast_to(np.asarray(limits, dtype=float), (2, 2))
    except ValueError:
        pairs = np.full((2, 2), np.nan)
    if not np.isfinite(pairs).all() or not (pairs[:, 0] < pairs[:, 1]).all():
        raise ValueError(
            f"limits={limits!r} must be (low, high) with low < high, or such a pair for each "
            "axis."
        )
    return tuple(map(tuple, pairs.tolist()))


def _check_origin(origin, n_codes):
    """Return the code with the values of the other latent dimensions."""
    origin = np.zeros(n_codes) if origin is None else np.asarray(origin, dtype=float)
    if origin.shape != (n_codes,):
        raise ValueError(f"origin must have shape ({n_codes},), got {origin.shape}.")
    return origin
