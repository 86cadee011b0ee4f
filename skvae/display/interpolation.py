"""The path between two rows."""

from numbers import Integral

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from skvae.display.columns import as_labels, common_order, read_column, shortened
from skvae.display.estimator_api import decode, encode, feature_names_of, read_rows
from skvae.display.images import find_image_shape
from skvae.display.rows import RowsDisplay


class InterpolationDisplay(RowsDisplay):
    """Rows decoded on the path from one code to another.

    Images are drawn in a line, between the two original rows. For a table, each feature is
    a line plot; the categories of a column are places on its axis. Use :meth:`from_estimator`
    or :meth:`from_codes` to create one.

    Parameters
    ----------
    codes : ndarray of shape (n_steps, latent_dim)
        The codes on the path.
    decoded : ndarray or frame of shape (n_steps, n_features)
        The rows decoded from them.
    ends : ndarray or frame of shape (2, n_features), default=None
        The two original rows, if the path goes from row to row.
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
        ends = _check_pair(X, "X")
        codes = encode(estimator, X)
        display = cls._from_path(estimator, codes, n_steps, path, image_shape, X, ends)
        return display.plot(ax=ax, **kwargs)

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
        codes = _check_pair(codes, "codes")
        display = cls._from_path(estimator, codes, n_steps, path, image_shape)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def _from_path(cls, estimator, codes, n_steps, path, image_shape, X=None, ends=None):
        """Decode the path between two codes; `ends` are the two rows of X as an array."""
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

    def _plot_images(self, ax, options):
        rows = self.decoded
        labels = [f"{position:.2g}" for position in np.linspace(0, 1, len(rows))]
        if self.ends is not None:
            rows = np.vstack([self.ends[:1], rows, self.ends[1:]])
            labels = ["data", *labels, "data"]
        layout = {"reference": self.ends, "margins": (0.2, 0.6)}
        layout["xlabels"] = dict(enumerate(labels))
        layout["missing"] = np.isnan(rows[None])
        self._draw_images(ax, rows[None], layout | options)
        self.ax_.set_xlabel("position on the path")

    def _plot_table(self, ax, features, options):
        position = np.linspace(0, 1, len(self.decoded))
        line = {"marker": ".", "label": "decoded"} | options

        def draw(panel, i):
            tables = [table for table in (self.decoded, self.ends) if table is not None]
            decoded, *ends = _heights(panel, [read_column(table, i) for table in tables])
            handles = panel.plot(position, decoded, **line)
            if ends:
                circles = {"linestyle": "", "marker": "o", "fillstyle": "none", "color": "0.2"}
                handles += panel.plot([0, 1], ends[0], label="data", **circles)
            panel.set_xticks([0, 0.5, 1])
            panel.set(xlabel="position on the path", ylabel="value")
            return handles

        compared = self.ends is not None
        self._draw_features(ax, features, self.decoded.shape[1], draw, legend=compared)


def _heights(panel, columns):
    """Return numbers of columns as they are, and the places of categories on the axis."""
    if all(column.order is None for column in columns):
        return [column.values for column in columns]
    columns = [as_labels(column) for column in columns]
    order = common_order(columns)
    panel.set_yticks(range(len(order)), map(shortened, order), fontsize="small")
    panel.set_ylim(-0.5, len(order) - 0.5)
    places = {label: i for i, label in enumerate(order)}
    return [[places.get(label, np.nan) for label in column.values] for column in columns]


def _check_pair(rows, name):
    """Return two rows as a table."""
    rows = read_rows(rows, name)
    if len(rows) != 2:
        raise ValueError(
            f"{name} must hold two rows, the first and the last of the path, got {len(rows)}."
        )
    return rows


def _linear(first, last, t):
    return (1 - t) * first + t * last


def _spherical(first, last, t):
    """Return points on the arc between two codes; lengths are interpolated with the angle."""
    lengths = np.linalg.norm([first, last], axis=1)
    if lengths.min() == 0:
        raise ValueError("A code at the origin has no direction: use path='linear'.")
    cosine = np.clip(np.dot(first, last) / lengths.prod(), -1, 1)
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-6:
        if cosine < 0:
            raise ValueError(
                "The codes are opposite to each other, and no arc is the shortest: use "
                "path='linear'."
            )
        return _linear(first, last, t)
    weights = np.sin((1 - t) * angle), np.sin(t * angle)
    return (weights[0] * first + weights[1] * last) / np.sin(angle)


_PATHS = {"linear": _linear, "spherical": _spherical}
