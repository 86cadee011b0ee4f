"""Rows beside their reconstructions."""

from numbers import Integral

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skvae.display.estimator_api import check_rows, decode, encode, feature_names_of
from skvae.display.images import find_image_shape
from skvae.display.panels import limits_of
from skvae.display.rows import RowsDisplay


class ReconstructionDisplay(RowsDisplay):
    """Rows and their reconstructions by a model.

    Images are drawn above their reconstructions. For a table, the reconstruction of each
    feature is drawn against its value. Use :meth:`from_estimator` to create one.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The data.
    reconstruction : ndarray of shape (n_samples, n_features)
        The rows as reconstructed by the model.
    X_noisy : ndarray of shape (n_samples, n_features), default=None
        Corrupted rows, which the model was given to restore.
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
        self, *, X, reconstruction, X_noisy=None, feature_names=None, image_shape=None
    ):
        self.X = X
        self.reconstruction = reconstruction
        self.X_noisy = X_noisy
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
            Pipeline of such.
        X : array-like of shape (n_samples, n_features)
        X_noisy : array-like of shape (n_samples, n_features), default=None
            The same rows, corrupted. The model is then applied to these.
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

    def _plot_images(self, ax, options):
        named = {
            "Data": self.X,
            "Corrupted": self.X_noisy,
            "Reconstruction": self.reconstruction,
        }
        named = {name: rows for name, rows in named.items() if rows is not None}
        # The range is that of the data; reconstructions outside are drawn as black or white.
        layout = {"reference": self.X, "margins": (1.3, 0.2), "ylabels": dict(enumerate(named))}
        self._draw_images(ax, np.stack(list(named.values())), layout | options)

    def _plot_table(self, ax, features, options):
        corrupted = self.X_noisy is not None
        options = {"s": 10, "linewidths": 0, "alpha": 0.6, "color": "C0"} | options

        def draw(panel, i):
            values, decoded = self.X[:, i], self.reconstruction[:, i]
            handles, shown = [], [values, decoded]
            if corrupted:
                grey, noisy = options | {"color": "0.75"}, self.X_noisy[:, i]
                handles.append(panel.scatter(values, noisy, label="corrupted", **grey))
                shown.append(noisy)
            handles.append(panel.scatter(values, decoded, label="reconstruction", **options))
            panel.axline((0, 0), slope=1, color="0.3", linewidth=0.8, zorder=1)
            # With the same limits on both axes the diagonal is a perfect reconstruction.
            limits = limits_of(*shown)
            panel.set(xlim=limits, ylim=limits)
            return handles

        labels = {"xlabel": "data", "ylabel": "reconstruction", "legend": corrupted}
        self._draw_features(ax, features, self.X.shape[1], draw, size=(2.2, 2.5), **labels)
