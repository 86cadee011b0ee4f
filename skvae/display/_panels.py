"""Small multiples: several aligned Axes in the place of one."""

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

# More small multiples than this are too small to read.
MAX_PANELS = 16
_MAX_TITLE = 22
_LEGEND_INCHES = 0.3


def check_plot(display, ax):
    """Refuse to draw without matplotlib, and on what is no Axes.

    Parameters
    ----------
    display : object
    ax : object
        What the caller passed as Axes.
    """
    check_matplotlib_support(f"{type(display).__name__}.plot")
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(
            f"ax must be one matplotlib Axes, got {type(ax).__name__}. Of what plt.subplots "
            "gives for several, pass one element."
        )


def panels(ax, n_panels, *, size=(2.2, 2.2), legend=False):
    """Return the place and the Axes of small multiples.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Its place is taken and it is hidden; None makes a new figure.
    n_panels : int
    size : (float, float)
        Width and height of a panel in inches, in a new figure.
    legend : bool
        Whether to keep a line free above the panels.

    Returns
    -------
    ax : matplotlib Axes
        The place of the whole.
    axes : list of matplotlib Axes
    head : matplotlib Axes or None
        The free line.
    """
    import matplotlib.pyplot as plt
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    n_cols = _n_columns(n_panels)
    if ax is None:
        figsize = (n_cols * size[0], -(-n_panels // n_cols) * size[1] + 0.3 * legend)
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    else:
        # In a small place a panel may be a quarter smaller.
        n_cols = min(n_cols, max(1, round(_inches(ax)[0] / (0.75 * size[0]))))
        n_cols = -(-n_panels // -(-n_panels // n_cols))
    ax.set_axis_off()
    place, head = _place_of(ax), None
    if legend:
        share = min(0.5, _LEGEND_INCHES / _inches(ax)[1])
        top, place = GridSpecFromSubplotSpec(
            2, 1, subplot_spec=place, height_ratios=(share, 1 - share)
        )
        head = ax.figure.add_subplot(top)
        head.set_axis_off()
    # A layout engine finds the room for labels; without one it is reserved here.
    spaces = {} if has_layout(ax) else {"wspace": 0.45, "hspace": 0.7}
    n_rows = -(-n_panels // n_cols)
    grid = GridSpecFromSubplotSpec(n_rows, n_cols, subplot_spec=place, **spaces)
    cells = [(i // n_cols, i % n_cols) for i in range(n_panels)]
    return ax, [ax.figure.add_subplot(grid[cell]) for cell in cells], head


def _n_columns(n_panels):
    """Return up to four columns that leave few cells empty."""
    return 3 if n_panels in (5, 6, 9) else min(n_panels, 4)


def _inches(ax):
    """Return width and height of an Axes in inches."""
    return ax.get_window_extent().size / ax.figure.dpi


def _place_of(ax):
    """Return the cell of a grid that an Axes stands in."""
    from matplotlib.gridspec import GridSpec

    if ax.get_subplotspec() is not None:
        return ax.get_subplotspec()
    # Axes set by hand stand in no grid.
    (left, bottom), (right, top) = ax.get_position().get_points()
    sides = {"left": left, "right": right, "bottom": bottom, "top": top}
    return GridSpec(1, 1, figure=ax.figure, **sides)[0]


def has_layout(ax):
    """Whether the figure makes room for what stands beside its Axes."""
    return ax.figure.get_layout_engine() is not None


def legend_in(head, handles):
    """Draw one legend for all panels in the line above them."""
    return head.legend(
        handles=handles, loc="center", ncols=len(handles), frameon=False, borderaxespad=0
    )


def label_panels(axes, titles, xlabel, ylabel):
    """Title the panels; label those at the left and at the bottom of their grid."""
    n_cols = axes[0].get_subplotspec().get_gridspec().ncols
    for i, (panel, title) in enumerate(zip(axes, titles, strict=True)):
        short = title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 1]}…"
        panel.set_title(short, fontsize="medium")
        if i + n_cols >= len(axes):
            panel.set_xlabel(xlabel)
        if i % n_cols == 0:
            panel.set_ylabel(ylabel)


def choose_features(features, names):
    """Return the indices of the features to draw, by default the first sixteen.

    Parameters
    ----------
    features : list of int or str, or None
        Indices or names.
    names : ndarray of shape (n_features,)

    Returns
    -------
    list of int
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
