"""Rows beside their reconstructions."""

from numbers import Integral

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skvae.display._estimator import check_rows, decode, encode, feature_names_of
from skvae.display._images import (
    centres,
    find_image_shape,
    gap_of,
    new_axes,
    show_mosaic,
)
from skvae.display._panels import (
    check_plot,
    choose_features,
    label_panels,
    legend_in,
    limits_of,
    panels,
)


class ReconstructionDisplay:
    """Rows and what a model makes of them.

    Images stand over their reconstructions. Of a table each feature is drawn, its
    reconstruction against its value. Use :meth:`from_estimator` to create one.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows as they are.
    reconstruction : ndarray of shape (n_samples, n_features)
        What the model returns.
    X_noisy : ndarray of shape (n_samples, n_features), default=None
        Corrupted rows, from which the model restored the others.
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
        The place of the whole.
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
        self, *, X, reconstruction, X_noisy=None, feature_names=None, image_shape=None
    ):
        self.X = X
        self.reconstruction = reconstruction
        self.X_noisy = X_noisy
        self.feature_names = feature_names
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        X_noisy=None,
        n_images=10,
        image_shape=None,
        ax=None,
        **kwargs,
    ):
        """Encode and decode rows and draw both.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `transform` and `inverse_transform`, or a fitted
            Pipeline of such.
        X : array-like of shape (n_samples, n_features)
        X_noisy : array-like of shape (n_samples, n_features), default=None
            The same rows, corrupted. These are then what the model is given to restore.
        n_images : int, default=10
            Of images, the first so many rows are drawn. Of a table all are.
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
        rows = check_rows(X)
        noisy = None if X_noisy is None else check_rows(X_noisy, "X_noisy")
        if noisy is not None and noisy.shape != rows.shape:
            raise ValueError(
                f"X_noisy has shape {noisy.shape}, but X has {rows.shape}: pass the same rows, "
                "corrupted."
            )
        shape = find_image_shape(estimator, image_shape, rows.shape[1])
        shown = np.arange(len(rows) if shape is None else min(n_images, len(rows)))
        given = _safe_indexing(X if X_noisy is None else X_noisy, shown)
        display = cls(
            X=rows[shown],
            reconstruction=decode(estimator, encode(estimator, given)),
            X_noisy=None if noisy is None else noisy[shown],
            feature_names=feature_names_of(estimator, X, rows.shape[1]),
            image_shape=shape,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, features=None, cmap="gray", vmin=None, vmax=None, **kwargs):
        """Draw rows and reconstructions.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure. Small multiples take its place.
        features : list of int or str, default=None
            Features of a table to draw. By default the first sixteen.
        cmap : str or Colormap, default="gray"
            Of grey images.
        vmin, vmax : float, default=None
            Values drawn as black and as white. By default the least and the largest of X;
            of RGB images 0 and 1, or 255.
        **kwargs : dict
            For `Axes.imshow`, or for `Axes.scatter`.

        Returns
        -------
        ReconstructionDisplay
        """
        check_plot(self, ax)
        self.image_ = None
        if self.image_shape is None:
            self._plot_table(ax, features, kwargs)
        else:
            self._plot_images(ax, {"cmap": cmap, "vmin": vmin, "vmax": vmax} | kwargs)
        self.figure_ = self.ax_.figure
        return self

    def _plot_images(self, ax, options):
        shape = self.image_shape
        lines = {
            "Data": self.X,
            "Corrupted": self.X_noisy,
            "Reconstruction": self.reconstruction,
        }
        lines = {name: rows for name, rows in lines.items() if rows is not None}
        if ax is None:
            ax = new_axes(len(lines), len(self.X), shape, margins=(1.3, 0.2))
        tiles = np.stack(list(lines.values()))
        # The data sets the range: a reconstruction that leaves it is no brighter than white.
        self.image_ = show_mosaic(ax, tiles, shape, reference=self.X, **options)
        ax.set_yticks(centres(len(lines), shape[0], gap_of(shape)), list(lines))
        self.ax_, self.axes_ = ax, [ax]

    def _plot_table(self, ax, features, kwargs):
        names = self.feature_names
        if names is None:
            names = feature_names_of(None, None, self.X.shape[1])
        chosen = choose_features(features, names)
        corrupted = self.X_noisy is not None
        self.ax_, self.axes_, head = panels(ax, len(chosen), size=(2.2, 2.5), legend=corrupted)
        options = {"s": 10, "linewidths": 0, "alpha": 0.6, "color": "C0"} | kwargs
        for panel, i in zip(self.axes_, chosen, strict=True):
            values, decoded = self.X[:, i], self.reconstruction[:, i]
            handles, shown = [], [values, decoded]
            if corrupted:
                grey = options | {"color": "0.75"}
                noisy = panel.scatter(values, self.X_noisy[:, i], label="corrupted", **grey)
                handles.append(noisy)
                shown.append(self.X_noisy[:, i])
            handles.append(panel.scatter(values, decoded, label="reconstruction", **options))
            panel.axline((0, 0), slope=1, color="0.3", linewidth=0.8, zorder=1)
            # The same on both axes, so that the diagonal is what is wanted.
            limits = limits_of(*shown)
            panel.set(xlim=limits, ylim=limits)
        if corrupted:
            legend_in(head, handles)
        label_panels(self.axes_, names[chosen], "data", "reconstruction")
