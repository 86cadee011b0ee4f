"""The path between two rows."""

from numbers import Integral

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skvae.display._estimator import check_rows, decode, encode, feature_names_of
from skvae.display._images import centres, find_image_shape, gap_of, new_axes, show_mosaic
from skvae.display._panels import check_plot, choose_features, label_panels, legend_in, panels


class InterpolationDisplay:
    """What a model decodes on the way from one code to another.

    Images stand in a line, between the two rows themselves. Of a table each feature is a
    line. Use :meth:`from_estimator` or :meth:`from_codes` to create one.

    Parameters
    ----------
    codes : ndarray of shape (n_steps, latent_dim)
        The path.
    decoded : ndarray of shape (n_steps, n_features)
        What is decoded along it.
    ends : ndarray of shape (2, n_features), default=None
        The two rows, where the path goes from row to row.
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
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skvae.display import InterpolationDisplay
    >>> X = load_digits().data
    >>> pca = PCA(n_components=8).fit(X)
    >>> display = InterpolationDisplay.from_estimator(pca, X[:2], image_shape=(8, 8))
    >>> display.codes.shape, display.decoded.shape
    ((10, 8), (10, 64))
    """

    def __init__(self, *, codes, decoded, ends=None, feature_names=None, image_shape=None):
        self.codes = codes
        self.decoded = decoded
        self.ends = ends
        self.feature_names = feature_names
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls, estimator, X, *, n_steps=10, path="linear", image_shape=None, ax=None, **kwargs
    ):
        """Decode the path between the codes of two rows and draw it.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `transform` and `inverse_transform`, or a fitted
            Pipeline of such.
        X : array-like of shape (2, n_features)
            The first and the last row.
        n_steps : int, default=10
            Codes on the path, both ends included.
        path : {"linear", "spherical"}, default="linear"
            The straight line, or the arc around the origin (Shoemake 1985), which in many
            dimensions keeps to the codes' usual distance from it.
        image_shape : tuple of int, default=None
            (H, W) or (H, W, C), channels last. By default that of the estimator.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        InterpolationDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        ends = check_rows(X)
        if len(ends) != 2:
            raise ValueError(
                f"X must hold two rows, the first and the last of the path, got {len(ends)}."
            )
        return cls._from_path(
            estimator, encode(estimator, X), X, ends, n_steps, path, image_shape
        ).plot(ax=ax, **kwargs)

    @classmethod
    def from_codes(
        cls, estimator, codes, *, n_steps=10, path="linear", image_shape=None, ax=None, **kwargs
    ):
        """Decode the path between two codes and draw it.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `inverse_transform`.
        codes : array-like of shape (2, latent_dim)
            The first and the last code.
        n_steps, path, image_shape, ax, **kwargs
            As in :meth:`from_estimator`.

        Returns
        -------
        InterpolationDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_codes")
        codes = check_rows(codes, "codes")
        if len(codes) != 2:
            raise ValueError(
                f"codes must be two, the first and the last of the path, got {len(codes)}."
            )
        return cls._from_path(estimator, codes, None, None, n_steps, path, image_shape).plot(
            ax=ax, **kwargs
        )

    @classmethod
    def _from_path(cls, estimator, codes, X, ends, n_steps, path, image_shape):
        if not isinstance(n_steps, Integral) or n_steps < 2:
            raise ValueError(f"n_steps must be an integer of at least 2, got {n_steps!r}.")
        if path not in _PATHS:
            raise ValueError(f"path={path!r} must be 'linear' or 'spherical'.")
        codes = _PATHS[path](*codes, np.linspace(0, 1, n_steps)[:, None])
        decoded = decode(estimator, codes)
        return cls(
            codes=codes,
            decoded=decoded,
            ends=ends,
            feature_names=feature_names_of(estimator, X, decoded.shape[1]),
            image_shape=find_image_shape(estimator, image_shape, decoded.shape[1]),
        )

    def plot(self, ax=None, *, features=None, cmap="gray", vmin=None, vmax=None, **kwargs):
        """Draw the path.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure. Small multiples take its place.
        features : list of int or str, default=None
            Features of a table to draw. By default the first sixteen.
        cmap : str or Colormap, default="gray"
            Of grey images.
        vmin, vmax : float, default=None
            Values drawn as black and as white. By default the least and the largest of the
            two rows, without them of what is decoded; of RGB images 0 and 1, or 255.
        **kwargs : dict
            For `Axes.imshow`, or for `Axes.plot`.

        Returns
        -------
        InterpolationDisplay
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
        shape, rows = self.image_shape, self.decoded
        labels = [f"{position:.2g}" for position in np.linspace(0, 1, len(rows))]
        if self.ends is not None:
            rows = np.vstack([self.ends[:1], rows, self.ends[1:]])
            labels = ["data", *labels, "data"]
        if ax is None:
            ax = new_axes(1, len(rows), shape, margins=(0.2, 0.6))
        self.image_ = show_mosaic(ax, rows[None], shape, reference=self.ends, **options)
        ax.set_xticks(centres(len(rows), shape[1], gap_of(shape)), labels)
        ax.set_xlabel("position on the path")
        self.ax_, self.axes_ = ax, [ax]

    def _plot_table(self, ax, features, kwargs):
        names = self.feature_names
        if names is None:
            names = feature_names_of(None, None, self.decoded.shape[1])
        chosen = choose_features(features, names)
        self.ax_, self.axes_, head = panels(ax, len(chosen), legend=self.ends is not None)
        position = np.linspace(0, 1, len(self.decoded))
        for panel, i in zip(self.axes_, chosen, strict=True):
            line = {"marker": ".", "label": "decoded"} | kwargs
            handles = panel.plot(position, self.decoded[:, i], **line)
            if self.ends is not None:
                ends = {"linestyle": "", "marker": "o", "fillstyle": "none", "color": "0.2"}
                handles += panel.plot([0, 1], self.ends[:, i], label="data", **ends)
            panel.set_xticks([0, 0.5, 1])
        if self.ends is not None:
            legend_in(head, handles)
        label_panels(self.axes_, names[chosen], "position on the path", "value")


def _linear(first, last, t):
    return (1 - t) * first + t * last


def _spherical(first, last, t):
    """Return points on the arc between two codes; their lengths go along with the angle."""
    lengths = np.linalg.norm([first, last], axis=1)
    if lengths.min() == 0:
        raise ValueError("A code at the origin has no direction: use path='linear'.")
    cosine = np.clip(np.dot(first, last) / lengths.prod(), -1, 1)
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-6:
        if cosine < 0:
            raise ValueError(
                "The codes lie opposite to each other, and no arc is the shortest: use "
                "path='linear'."
            )
        return _linear(first, last, t)
    weights = np.sin((1 - t) * angle), np.sin(t * angle)
    return (weights[0] * first + weights[1] * last) / np.sin(angle)


_PATHS = {"linear": _linear, "spherical": _spherical}
