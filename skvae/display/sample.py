"""Rows drawn from a model."""

from functools import partial
from numbers import Integral

from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import _check_feature_names

from skvae.display.columns import read_column
from skvae.display.estimator_api import draw, feature_names_of, n_features_of, read_rows
from skvae.display.images import find_image_shape, square_grid
from skvae.display.rows import RowsDisplay

_N_IMAGES, _N_ROWS = 25, 1000


class SampleDisplay(RowsDisplay):
    """Samples of the model: codes drawn from the prior and decoded.

    Images are drawn as they are, of a table the histogram of each feature. In a frame the
    categories and flags of a column are bars, the most frequent ones. Use
    :meth:`from_estimator` to create one.

    Parameters
    ----------
    samples : ndarray or frame of shape (n_draws, n_features)
        Draws, or decoded means.
    X : ndarray or frame of shape (n_samples, n_features), default=None
        Data to compare with. Missing values are not counted.
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

    Notes
    -----
    The outermost bins of a histogram also hold long tails, beyond the 1st or 99th percentile
    of the data, and its axis is logarithmic where one bin holds more than half of the values.
    Both are noted in the panel.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.display import SampleDisplay
    >>> X = load_iris().data
    >>> vae = VAETransformer(random_state=0, max_iter=0).fit(X)
    >>> display = SampleDisplay.from_estimator(vae, X, random_state=0)
    >>> display.samples.shape
    (1000, 4)
    """

    def __init__(self, *, samples, X=None, feature_names=None, image_shape=None):
        self.samples = samples
        self.X = X
        self.feature_names = feature_names
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        *,
        n_samples=None,
        mean=False,
        random_state=None,
        image_shape=None,
        ax=None,
        **kwargs,
    ):
        """Draw rows from the model and show them.

        Parameters
        ----------
        estimator : object
            A fitted estimator with `sample`, or a fitted Pipeline that ends in one and
            whose other steps have `inverse_transform`.
        X : array-like or frame of shape (n_samples, n_features), default=None
            Data to compare with: its histograms, or the range of its grey values.
        n_samples : int, default=None
            By default 25 images or 1000 rows of a table.
        mean : bool, default=False
            Show the means of p(x|z) at codes drawn from the prior, without the
            likelihood's own noise.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws.
        image_shape : tuple of int, default=None
            (H, W) or (H, W, C), channels last. By default that of the estimator.
        ax : matplotlib Axes, default=None
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        SampleDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if n_samples is not None and (not isinstance(n_samples, Integral) or n_samples < 1):
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        rows = None if X is None else read_rows(X)
        n_features = n_features_of(estimator) if rows is None else rows.shape[1]
        shape = find_image_shape(estimator, image_shape, n_features)
        n_samples = n_samples or (_N_ROWS if shape is None else _N_IMAGES)
        if hasattr(X, "columns") and hasattr(estimator, "feature_names_in_"):
            # The columns of the samples are those of `fit`, in its order.
            _check_feature_names(estimator, X, reset=False)
        samples = draw(estimator, n_samples, mean, random_state)
        if samples.shape[1] != n_features:
            raise ValueError(
                f"X has {n_features} features, but the samples have {samples.shape[1]}: pass "
                "rows like those that the estimator was fitted on."
            )
        display = cls(
            samples=samples,
            X=rows,
            feature_names=feature_names_of(estimator, X, n_features),
            image_shape=shape,
        )
        return display.plot(ax=ax, **kwargs)

    def _plot_images(self, ax, options):
        self._draw_images(ax, square_grid(self.samples), {"reference": self.X} | options)

    def _plot_table(self, ax, features, options):
        layers = {"samples": (partial(read_column, self.samples), None)}
        if self.X is not None:
            layers["data"] = (partial(read_column, self.X), "0.2")
        self._draw_marginals(ax, features, self.samples, layers, options)
