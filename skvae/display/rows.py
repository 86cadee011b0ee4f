"""Base class of displays of rows: images, or a table with a panel per feature."""

from skvae.display.columns import is_mixed
from skvae.display.estimator_api import feature_names_of
from skvae.display.images import draw_images
from skvae.display.marginals import draw_marginal
from skvae.display.panels import check_plot, choose_features, draw_panels


class RowsDisplay:
    """Base class of displays that show rows.

    Subclasses store `image_shape` and `feature_names`, and implement ``_plot_images(ax,
    options)`` with :meth:`_draw_images` and ``_plot_table(ax, features, options)`` with
    :meth:`_draw_features`.
    """

    def plot(self, ax=None, *, features=None, cmap="gray", vmin=None, vmax=None, **kwargs):
        """Draw the images, or a panel for each feature of a table.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            By default those of a new figure. The panels of a table take its place.
        features : list of int or str, default=None
            Features of a table to draw: names or positions. By default the first sixteen.
        cmap : str or Colormap, default="gray"
            Of grey images.
        vmin, vmax : float, default=None
            Values drawn as black and as white. By default the least and the largest of the
            data or, without data, of the images from the model; of RGB images 0 and 1, or 255.
        **kwargs : dict
            For `Axes.imshow`. Of a table, for `Axes.hist` of samples, `Axes.scatter` of
            reconstructions and `Axes.plot` of an interpolation; bars of categories use
            ``color`` and ``alpha``.

        Returns
        -------
        object
            The display itself.
        """
        check_plot(self, ax)
        self.image_ = None
        if self.image_shape is None:
            self._plot_table(ax, features, kwargs)
        else:
            self._plot_images(ax, {"cmap": cmap, "vmin": vmin, "vmax": vmax} | kwargs)
        self.figure_ = self.ax_.figure
        return self

    def _draw_images(self, ax, tiles, options):
        """Draw a grid of images; see :func:`skvae.display.images.draw_images`."""
        self.image_ = draw_images(ax, tiles, self.image_shape, **options)
        self.ax_ = self.image_.axes
        self.axes_ = [self.ax_]

    def _draw_marginals(self, ax, features, table, layers, options):
        """Draw a histogram of each feature of a table, or bars of its categories.

        `layers` has, by their labels, functions that return a column given its position, and
        the colour of an outline or None.
        """

        def draw(panel, i):
            columns = [(label, read(i), line) for label, (read, line) in layers.items()]
            return draw_marginal(panel, columns, options)

        # The names of categories need room.
        layout = {"size": (2.5, 2.1) if is_mixed(table) else (2.2, 2.2)}
        layout["legend"] = len(layers) > 1
        self._draw_features(ax, features, table.shape[1], draw, **layout)

    def _draw_features(self, ax, features, n_features, draw, **options):
        """Draw a panel for each feature: ``draw(panel, i)`` draws feature `i`."""
        names = self.feature_names
        if names is None:
            names = feature_names_of(None, None, n_features)
        chosen = choose_features(features, names)
        self.ax_, self.axes_ = draw_panels(
            ax, names[chosen], lambda panel, i: draw(panel, chosen[i]), **options
        )
