"""Several panels side by side in the place of one Axes."""

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

# More panels than this are too small to read.
MAX_PANELS = 16
_MAX_TITLE = 22
_LEGEND_INCHES = 0.3


def check_plot(display, ax):
    """Raise an error without matplotlib, or if `ax` is neither one Axes nor None."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be one matplotlib Axes, got {type(ax).__name__}. Pass one element of an "
            "array from plt.subplots."
        )


def has_layout(ax):
    """Whether the figure has a layout engine, which makes room beside its Axes."""
    return ax.figure.get_layout_engine() is not None


def draw_panels(ax, titles, draw, *, size=(2.2, 2.2), legend=False):
    """Draw a panel for each title and return the Axes that they replace, and the panels.

    Parameters
    ----------
    ax : matplotlib Axes or None
        The panels take its place and it is hidden; None makes a new figure.
    titles : list of str
        Long ones are cut.
    draw : callable
        ``draw(panel, i)`` draws panel `i` and returns the handles of a legend. Its labels of
        the axes are kept at the bottom and at the left.
    size : (float, float)
        Width and height of a panel in inches, in a new figure.
    legend : bool
        Whether to draw the handles of the first panel as a legend above all.
    """
    ax, panels, legend_ax = _make_panels(ax, len(titles), size, legend)
    handles = [draw(panel, i) for i, panel in enumerate(panels)]
    if legend:
        options = {"loc": "center", "frameon": False, "borderaxespad": 0}
        legend_ax.legend(handles=handles[0], ncols=len(handles[0]), **options)
    n_cols = panels[0].get_subplotspec().get_gridspec().ncols
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        short = title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 1]}…"
        panel.set_title(short, fontsize="medium")
        if i + n_cols < len(panels):
            panel.set_xlabel("")
        if i % n_cols:
            panel.set_ylabel("")
    return ax, panels


def _make_panels(ax, n_panels, size, legend):
    """Return the Axes to replace, the panels, and hidden Axes for a legend or None."""
    import matplotlib.pyplot as plt
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    # Up to four columns that leave few cells empty.
    n_cols = 3 if n_panels in (5, 6, 9) else min(n_panels, 4)
    if ax is None:
        height = -(-n_panels // n_cols) * size[1] + _LEGEND_INCHES * legend
        _, ax = plt.subplots(figsize=(n_cols * size[0], height), layout="constrained")
    else:
        # In a small place a panel may be a quarter smaller.
        n_cols = min(n_cols, max(1, round(_inches(ax)[0] / (0.75 * size[0]))))
        n_cols = -(-n_panels // -(-n_panels // n_cols))
    n_rows = -(-n_panels // n_cols)
    ax.set_axis_off()
    place, legend_ax = _grid_cell(ax), None
    if legend:
        share = min(0.5, _LEGEND_INCHES / _inches(ax)[1])
        top, place = GridSpecFromSubplotSpec(2, 1, place, height_ratios=(share, 1 - share))
        legend_ax = ax.figure.add_subplot(top)
        legend_ax.set_axis_off()
    # A layout engine finds the room for labels; without one it is reserved here.
    spaces = {} if has_layout(ax) else {"wspace": 0.45, "hspace": 0.7}
    grid = GridSpecFromSubplotSpec(n_rows, n_cols, place, **spaces)
    return ax, [ax.figure.add_subplot(grid[i]) for i in range(n_panels)], legend_ax


def _inches(ax):
    """Return width and height of an Axes in inches."""
    return ax.get_window_extent().size / ax.figure.dpi


def _grid_cell(ax):
    """Return the cell of a grid that an Axes stands in."""
    from matplotlib.gridspec import GridSpec

    if ax.get_subplotspec() is not None:
        return ax.get_subplotspec()
    # Axes set by hand stand in no grid.
    (left, bottom), (right, top) = ax.get_position().get_points()
    sides = {"left": left, "right": right, "bottom": bottom, "top": top}
    return GridSpec(1, 1, figure=ax.figure, **sides)[0]


def choose_features(features, names):
    """Return the indices of the features to draw, by default the first sixteen.

    `features` is a list of indices or names; `names` are those of all features.
    """
    if features is None:
        return list(range(min(len(names), MAX_PANELS)))
    known = {name: i for i, name in enumerate(names)} | {i: i for i in range(len(names))}
    chosen = list(features) if np.iterable(features) else []
    if not chosen or any(feature not in known for feature in chosen):
        raise ValueError(
            f"features={features!r} must list names of features or indices from 0 to "
            f"{len(names) - 1}; the names are {', '.join(names[:10])}"
            f"{', ...' if len(names) > 10 else ''}."
        )
    return [known[feature] for feature in chosen]


def limits_of(*values):
    """Return limits around finite values, with a margin."""
    values = np.concatenate([np.ravel(part) for part in values])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
