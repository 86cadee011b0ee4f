"""Rows beside their reconstructions."""

from functools import partial
from numbers import Integral

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skvae.display.columns import is_mixed, read_column
from skvae.display.estimator_api import (
    decode,
    encode,
    feature_names_of,
    impute,
    read_rows,
)
from skvae.display.images import find_image_shape
from skvae.display.panels import limits_of
from skvae.display.rows import RowsDisplay


class ReconstructionDisplay(RowsDisplay):
    """Rows and their reconstructions by a model.

    Images are drawn above their reconstructions. For a table of numbers, the reconstruction of
    each feature is drawn against its value. For a frame with categories or flags, numbers are
    histograms and categories are bars, as in :class:`SampleDisplay`. Missing pixels are
    hatched. Where values are missing, those that the model fills in are drawn too: as images
    or histograms of their own, in a table of numbers against the true value, or as ticks at
    the left where there is none. Use :meth:`from_estimator` to create one.

    Parameters
    ----------
    X : ndarray or frame of shape (n_samples, n_features)
        The data.
    reconstruction : ndarray or frame of shape (n_samples, n_features)
        The rows as reconstructed by the model.
    X_noisy : ndarray or frame of shape (n_samples, n_features), default=None
        Corrupted rows, which the model was given to restore.
    X_filled : ndarray or frame of shape (n_samples, n_features), default=None
        The rows that the model was given, with missing values filled.
    feature_names : ndarray of shape (n_features,), default=None
        By default x0, x1, ...
    image_shape : tuple of int, default=None
        (H, W) or (H, W, C), channels last, where rows are images.

    Attributes
    ----------
    image_ : matplotlib AxesImage or None
        All images as one.
    axes_ : list of matplotlib Axes
        One for each feature that is drawn; of images only `ax_`.
    ax_ : matplotlib Axes
        The Axes of the images, or those whose place the panels take.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skvae.display import ReconstructionDisplay
    >>> X = load_iris(as_frame=True).data
    >>> display = ReconstructionDisplay.from_estimator(PCA(2).fit(X), X)
    >>> display.axes_[0].get_title()
    'sepal length (cm)'
    """

    def __init__(
        self,
        *,
        X,
        reconstruction,
        X_noisy=None,
        X_filled=None,
        feature_names=None,
        image_shape=None,
    ):
        self.X = X
        self.reconstruction = reconstruction
        self.X_noisy = X_noisy
        self.X_filled = X_filled
        self.feature_names = feature_names
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls, estimator, X, *, X_noisy=None, n_images=10, image_shape=None, ax=None, **kwargs
    ):
        """Encode and decode rows and draw both.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `transform` and `inverse_transform`, or a fitted
            Pipeline of such. Missing values are filled by its `impute`, if it has one.
        X : array-like or frame of shape (n_samples, n_features)
        X_noisy : array-like or frame of shape (n_samples, n_features), default=None
            The same rows, corrupted or with missing values. The model is then applied to
            these.
        n_images : int, default=10
            Number of images to draw, from the first rows. Of a table all rows are drawn.
        image_shape : tuple of int, default=None
            (H, W) or (H, W, C), channels last. By default that of the estimator.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        ReconstructionDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if not isinstance(n_images, Integral) or n_images < 1:
            raise ValueError(f"n_images must be a positive integer, got {n_images!r}.")
        rows = read_rows(X)
        noisy = None if X_noisy is None else read_rows(X_noisy, "X_noisy")
        if noisy is not None and noisy.shape != rows.shape:
            raise ValueError(
                f"X_noisy has shape {noisy.shape}, but X has {rows.shape}: pass the same rows, "
                "corrupted."
            )
        shape = find_image_shape(estimator, image_shape, rows.shape[1])
        shown = np.arange(len(rows) if shape is None else min(n_images, len(rows)))
        given = _safe_indexing(X if X_noisy is None else X_noisy, shown)
        display = cls(
            X=_safe_indexing(rows, shown),
            reconstruction=decode(estimator, encode(estimator, given)),
            X_noisy=None if noisy is None else _safe_indexing(noisy, shown),
            X_filled=impute(estimator, given),
            feature_names=feature_names_of(estimator, X, rows.shape[1]),
            image_shape=shape,
        )
        return display.plot(ax=ax, **kwargs)

    def _plot_images(self, ax, options):
        named = {
            "Data": self.X,
            "Corrupted": self.X_noisy,
            "Filled in": self.X_filled,
            "Reconstruction": self.reconstruction,
        }
        named = {name: rows for name, rows in named.items() if rows is not None}
        tiles = np.stack(list(named.values()))
        # The range is that of the data; reconstructions outside are drawn as black or white.
        layout = {"reference": self.X, "margins": (1.3, 0.2), "ylabels": dict(enumerate(named))}
        self._draw_images(ax, tiles, layout | {"missing": np.isnan(tiles)} | options)

    def _plot_table(self, ax, features, options):
        if is_mixed(self.X) or is_mixed(self.reconstruction):
            self._plot_marginals(ax, features, options)
        else:
            self._plot_scatter(ax, features, options)

    def _plot_marginals(self, ax, features, options):
        """Draw the data over the reconstruction and over what was filled in."""
        layers = {"reconstruction": (partial(read_column, self.reconstruction), None)}
        if self.X_noisy is not None:
            layers["corrupted"] = (partial(read_column, self.X_noisy), "0.7")
        if self.X_filled is not None:
            layers["filled in"] = (self._filled_column, "C1")
        layers["data"] = (partial(read_column, self.X), "0.2")
        self._draw_marginals(ax, features, self.reconstruction, layers, options)

    def _filled_column(self, i):
        """Return the values of a column that were missing in the rows that were given."""
        given = read_column(self.X if self.X_noisy is None else self.X_noisy, i)
        return read_column(self.X_filled, i).only(given.missing)

    def _plot_scatter(self, ax, features, options):
        options = {"s": 10, "linewidths": 0, "alpha": 0.6, "color": "C0"} | options
        # From back to front.
        named = {
            "corrupted": (self.X_noisy, options | {"color": "0.75"}),
            "reconstruction": (self.reconstruction, options),
            "filled in": (self._only_filled(), options | {"color": "C1"}),
        }
        named = {name: drawn for name, drawn in named.items() if drawn[0] is not None}

        def draw(panel, i):
            values = self.X[:, i]
            handles = [
                panel.scatter(values, rows[:, i], label=name, **style)
                for name, (rows, style) in named.items()
            ]
            panel.axline((0, 0), slope=1, color="0.3", linewidth=0.8, zorder=1)
            # With the same limits on both axes the diagonal is a perfect reconstruction.
            limits = limits_of(values, *(rows[:, i] for rows, _ in named.values()))
            panel.set(xlim=limits, ylim=limits)
            if "filled in" in named:
                unknown = named["filled in"][0][np.isnan(values), i]
                _draw_ticks(panel, unknown, named["filled in"][1])
            panel.set(xlabel="data", ylabel="reconstruction")
            return handles

        layout = {"size": (2.2, 2.5), "legend": len(named) > 1}
        self._draw_features(ax, features, self.X.shape[1], draw, **layout)

    def _only_filled(self):
        """Return the values that were missing, NaN elsewhere."""
        if self.X_filled is None:
            return None
        given = self.X if self.X_noisy is None else self.X_noisy
        return np.where(np.isnan(given), self.X_filled, np.nan)


def _draw_ticks(panel, values, style):
    """Draw values as ticks at the left of a panel."""
    place = panel.get_yaxis_transform()
    ticks = {"color": style["color"], "alpha": style["alpha"], "linewidth": 0.8}
    panel.hlines(values, 0, 0.07, transform=place, **ticks)
