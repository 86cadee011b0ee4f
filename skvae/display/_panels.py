"""Small multiples: several aligned Axes in the place of one."""

import numpy as np

# More small multiples than this are too small to read.
MAX_PANELS = 16


def panels(ax, n_panels, *, n_cols=None, size=(2.2, 2.0), sharex=False):
    """Return the place and the Axes of small multiples.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Its place is taken and it is hidden; None makes a new figure.
    n_panels : int
    n_cols : int, default=None
        Columns; by default at most four.
    size : (float, float)
        Width and height of a panel in inches, in a new figure.
    sharex : bool, default=False

    Returns
    -------
    ax : matplotlib Axes
        The place, which carries a title or legend of the whole.
    axes : list of matplotlib Axes
    """
    import matplotlib.pyplot as plt
    from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec

    n_cols = n_cols or _n_columns(n_panels)
    n_rows = -(-n_panels // n_cols)
    if ax is None:
        figsize = (n_cols * size[0] + 0.4, n_rows * size[1] + 0.5)
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    # A layout engine finds the room for labels; without one it is reserved here.
    spaces = {} if has_layout(ax) else {"wspace": 0.45, "hspace": 0.6}
    ax.set_axis_off()
    place = ax.get_subplotspec()
    if place is not None:
        grid = GridSpecFromSubplotSpec(n_rows, n_cols, subplot_spec=place, **spaces)
    else:
        (left, bottom), (right, top) = ax.get_position().get_points()
        sides = {"left": left, "right": right, "bottom": bottom, "top": top}
        grid = GridSpec(n_rows, n_cols, figure=ax.figure, **sides, **spaces)
    axes = []
    for i in range(n_panels):
        first = axes[0] if sharex and axes else None
        axes.append(ax.figure.add_subplot(grid[i // n_cols, i % n_cols], sharex=first))
    return ax, axes


def _n_columns(n_panels):
    """Return up to four columns that leave few cells empty."""
    return 3 if n_panels in (5, 6, 9) else min(n_panels, 4)


def has_layout(ax):
    """Whether the figure makes room for what stands beside its Axes."""
    return ax.figure.get_layout_engine() is not None


def legend_above(ax, handles):
    """Draw one legend over all panels."""
    # Without a layout engine the titles of the panels stand above the place.
    pad = 0.2 if has_layout(ax) else 1.8
    return ax.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        borderaxespad=pad,
        ncols=len(handles),
        frameon=False,
    )


def label_outer(axes, xlabel, ylabel):
    """Label the panels at the left and at the bottom of their grid."""
    n_cols = axes[0].get_subplotspec().get_gridspec().ncols
    for i, panel in enumerate(axes):
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
    unknown = [feature for feature in features if feature not in known]
    if unknown or not len(features):
        raise ValueError(
            f"features={features!r} must list names of features or indices from 0 to "
            f"{len(names) - 1}; the names are {', '.join(names[:10])}"
            f"{', ...' if len(names) > 10 else ''}."
        )
    return [known[feature] for feature in features]


def limits_of(*values):
    """Return limits around finite values, with a margin."""
    values = np.concatenate([np.ravel(part) for part in values])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
