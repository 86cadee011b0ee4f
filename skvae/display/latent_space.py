"""The codes of a data set."""

from numbers import Integral

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skvae.display.columns import shortened
from skvae.display.estimator_api import (
    check_dimensions,
    choose_dimensions,
    encode,
    posterior_scale,
)
from skvae.display.panels import check_plot, has_layout
from skvae.display.targets import GREY, check_target, colours_of, read_target

# In the legend: letters, and entries from which on they are small.
_MAX_LABEL, _MANY_CLASSES = 30, 12
_MAX_ELLIPSES = 200
_MANY_ROWS = 5000


class LatentSpaceDisplay:
    """Codes of rows in the latent plane, coloured by a target.

    Use :meth:`from_estimator` to create one.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, latent_dim)
        The result of `transform`.
    dimensions : tuple of int, default=(0, 1)
        The latent dimensions on the horizontal and on the vertical axis; (0,) where there
        is only one.
    y : ndarray of shape (n_samples,), default=None
        Target: classes or numbers. Rows without a value are grey.
    classes : list, default=None
        All classes of `y` in their order. By default they are sorted.
    target_name : str, default="y"
        Title of the legend or label of the colour bar.
    ellipse_rows : ndarray of shape (n_ellipses,), default=None
        Rows whose posterior is drawn.
    ellipse_scale : ndarray of shape (n_ellipses, latent_dim) or \
(n_ellipses, latent_dim, latent_dim), default=None
        Standard deviations of those posteriors, or Cholesky factors of their covariances.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection or None
        The codes; None where a histogram is drawn.
    ellipses_ : matplotlib EllipseCollection or None
        One standard deviation of the posteriors.
    legend_ : matplotlib Legend or None
        Its entries are the classes.
    colorbar_ : matplotlib Colorbar or None
        The scale of a target of numbers.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.display import LatentSpaceDisplay
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> vae = VAETransformer(random_state=0, max_iter=0).fit(X)
    >>> display = LatentSpaceDisplay.from_estimator(vae, X, y)
    >>> display.codes.shape
    (150, 2)
    >>> display.ax_.get_xlabel(), display.legend_.get_title().get_text()
    ('$z_{0}$', 'target')
    """

    def __init__(
        self,
        *,
        codes,
        dimensions=(0, 1),
        y=None,
        classes=None,
        target_name="y",
        ellipse_rows=None,
        ellipse_scale=None,
    ):
        self.codes = codes
        self.dimensions = dimensions
        self.y = y
        self.classes = classes
        self.target_name = target_name
        self.ellipse_rows = ellipse_rows
        self.ellipse_scale = ellipse_scale

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, dimensions=None, ellipses=False, ax=None, **kwargs
    ):
        """Encode rows and draw their codes.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `transform`, or a fitted Pipeline that ends in one.
        X : array-like or frame of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or str, default=None
            Colours the codes; the name of a column of a frame stands for the column. Classes
            get a legend, the rarest of more than 20 as "other"; numbers that are not whole,
            and more than 20 whole ones, a colour bar. Missing values are grey.
        dimensions : tuple of int, default=None
            The two latent dimensions to show. By default those with the largest
            `latent_kl_`, of estimators without it those whose codes vary most.
        ellipses : bool or int, default=False
            Whether to draw one standard deviation of the posterior, or for how many rows at
            most, evenly spaced; True is 200. Needs `latent_posterior`.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        LatentSpaceDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        codes = encode(estimator, X)
        dimensions = choose_dimensions(estimator, dimensions, codes.shape[1], codes)
        y, name, classes = (None, "y", None) if y is None else check_target(y, X, len(codes))
        rows = scale = None
        if ellipses:
            if len(dimensions) == 1:
                raise ValueError("ellipses need two latent dimensions; pass ellipses=False.")
            if not isinstance(ellipses, Integral) or ellipses < 1:
                raise ValueError(f"ellipses={ellipses!r} must be a bool or positive integer.")
            most = min(len(codes), _MAX_ELLIPSES if ellipses is True else ellipses)
            rows = np.linspace(0, len(codes) - 1, most).astype(int)
            scale = posterior_scale(estimator, _safe_indexing(X, rows))
        display = cls(
            codes=codes,
            dimensions=dimensions,
            y=y,
            classes=classes,
            target_name=name,
            ellipse_rows=rows,
            ellipse_scale=scale,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, cmap=None, legend=True, **kwargs):
        """Draw the codes.

        With one latent dimension a histogram is drawn; if `y` has classes, a strip for each,
        and if it has numbers, the codes against them.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure.
        cmap : str or Colormap, default=None
            By default "tab10" or "tab20" for classes and "viridis" for numbers, whose range
            leaves out long tails.
        legend : bool, default=True
            Whether to draw the legend of classes or the colour bar.
        **kwargs : dict
            For `Axes.scatter`, or for `Axes.hist`.

        Returns
        -------
        LatentSpaceDisplay
        """
        check_plot(self, ax)
        import matplotlib.pyplot as plt

        self.dimensions = check_dimensions(self.dimensions, self.codes.shape[1])
        target = None if self.y is None else read_target(self.y, self.classes)
        self.scatter_ = self.ellipses_ = self.legend_ = self.colorbar_ = None
        if ax is None:
            _, ax = plt.subplots(figsize=(6.0, 4.8), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        x = self.codes[:, self.dimensions[0]]
        ax.set_xlabel(f"$z_{{{self.dimensions[0]}}}$")
        if len(self.dimensions) == 1 and target is None:
            ax.hist(x, **{"bins": "auto", "color": "C0"} | kwargs)
            ax.set_ylabel("rows")
            return self
        colours, palette = colours_of(target, cmap)
        markers = {"s": 20 if len(x) <= 300 else 8, "alpha": 0.8, "linewidths": 0}
        self.scatter_ = ax.scatter(x, self._heights(target), **colours | markers | kwargs)
        if len(self.dimensions) == 1:
            return self
        numeric = target is not None and target.names is None
        if self.ellipse_rows is not None:
            edges = self.scatter_.to_rgba(colours["c"]) if numeric else colours["c"]
            self._plot_ellipses(edges)
        if legend and numeric:
            self._plot_colorbar(colours)
        elif legend and target is not None:
            self._plot_legend(target, palette)
        return self

    def _plot_colorbar(self, colours):
        below, above = (colours.get(name) is not None for name in ("vmin", "vmax"))
        extend = {(True, True): "both", (True, False): "min", (False, True): "max"}
        self.colorbar_ = self.figure_.colorbar(
            self.scatter_,
            ax=self.ax_,
            label=self.target_name,
            extend=extend.get((below, above), "neither"),
        )
        # Points overlap and may be transparent; the scale is not.
        self.colorbar_.solids.set_alpha(1)

    def _heights(self, target):
        """Label the vertical axis and return where the points are on it."""
        if len(self.dimensions) == 2:
            self.ax_.set_ylabel(f"$z_{{{self.dimensions[1]}}}$")
            return self.codes[:, self.dimensions[1]]
        self.ax_.set_ylabel(self.target_name)
        if target.names is None:
            return target.numbers
        labels = [*target.names, *(["missing"] if target.missing.any() else [])]
        self.ax_.set_yticks(range(len(labels)), labels)
        places = np.where(target.missing, len(target.names), target.places)
        # Points are spread over the strip of their class so that they hide each other less.
        return places + 0.6 * ((np.arange(len(places)) * 0.618034) % 1 - 0.5)

    def _plot_ellipses(self, colours):
        from matplotlib.collections import EllipseCollection

        centres = self.codes[self.ellipse_rows][:, self.dimensions]
        shapes, extent = _ellipses(self.ellipse_scale, self.dimensions)
        self.ellipses_ = EllipseCollection(
            **shapes,
            units="xy",
            offsets=centres,
            offset_transform=self.ax_.transData,
            facecolors="none",
            edgecolors=colours if isinstance(colours, str) else colours[self.ellipse_rows],
            linewidths=0.7,
        )
        self.ax_.add_collection(self.ellipses_)
        # matplotlib includes only the centres in the limits.
        self.ax_.update_datalim(np.concatenate([centres - extent, centres + extent]))
        self.ax_.autoscale_view()

    def _plot_legend(self, target, palette):
        from matplotlib.lines import Line2D

        marker = {"linestyle": "", "marker": "o", "markersize": 5}
        named = dict(zip(target.names, palette, strict=True))
        if target.missing.any():
            named["missing"] = GREY
        handles = [
            Line2D([], [], color=colour, label=shortened(name, _MAX_LABEL), **marker)
            for name, colour in named.items()
        ]
        if has_layout(self.ax_):
            # Beside the points, as the figure makes room for it.
            place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False}
        else:
            # Finding the best place among many points is slow.
            place = {"loc": "best" if len(self.codes) <= _MANY_ROWS else "upper right"}
        if len(handles) > _MANY_CLASSES:
            place["fontsize"] = "small"
        self.legend_ = self.ax_.legend(handles=handles, title=self.target_name, **place)


def _ellipses(scale, dimensions):
    """Return the shapes of ellipses of one standard deviation in the latent plane.

    `scale` has the standard deviations of each row, or the Cholesky factor of its
    covariance. Also returned is how far the ellipses extend along the axes.
    """
    scale = scale[:, dimensions]
    if scale.ndim == 2:
        widths, heights = 2 * scale.T
        return {"widths": widths, "heights": heights, "angles": np.zeros(len(scale))}, scale
    variances, axes = np.linalg.eigh(scale @ scale.swapaxes(1, 2))
    # The last axis is the longest.
    heights, widths = 2 * np.sqrt(np.maximum(variances, 0)).T
    angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))
    shapes = {"widths": widths, "heights": heights, "angles": angles}
    return shapes, np.linalg.norm(scale, axis=2)
