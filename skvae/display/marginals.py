"""One column of several tables in a panel: histograms of numbers, or bars of categories."""

import numpy as np

from skvae.display.columns import as_labels, common_order, shortened
from skvae.display.panels import limits_of

_N_BINS = 30
# Whole numbers in at most so many values have a bin each.
_MAX_WHOLE = 40
# The most frequent categories, and all others as one.
_MAX_BARS = 8
# Of a longer tail the histogram shows what is between these quantiles.
_TAILS = 0.01, 0.99
# From this share in one bin on, others are too low to be seen.
_SPIKE = 0.5
_NOTE = {"fontsize": "x-small", "color": "0.3", "ha": "right", "va": "top"}
_NOTE_GROUND = {"color": "white", "alpha": 0.7, "pad": 1, "linewidth": 0}
# A few bars are not made thicker than so many.
_LEAST_PLACES = 4


def draw_marginal(panel, layers, options):
    """Draw one column of several tables and return the handles of a legend.

    Parameters
    ----------
    panel : matplotlib Axes
    layers : list of (str, Column, str or None)
        Label, values, and the colour of an outline; None is filled.
    options : dict
        For `Axes.hist` where it is filled; of bars only ``color`` and ``alpha`` are used.
    """
    if all(column.order is None for _, column, _ in layers):
        return _draw_histograms(panel, layers, options)
    return _draw_bars(panel, [(n, as_labels(c), style) for n, c, style in layers], options)


def robust_limits(values):
    """Return limits that leave out long tails, the 1st and 99th percentile, or (None, None).

    A limit is None where there is no tail as long as all the rest.
    """
    values = values[np.isfinite(values)]
    if not values.size:
        return None, None
    low, high = np.quantile(values, _TAILS)
    width = high - low
    return (
        low if 0 < width < low - values.min() else None,
        high if 0 < width < values.max() - high else None,
    )


def _draw_histograms(panel, layers, options):
    values = [column.known for _, column, _ in layers]
    edges, beyond = _edges(values)
    edges = options.get("bins", edges)
    handles = []
    for (label, _, outline), own in zip(layers, values, strict=True):
        style = {"color": "C0", "alpha": 0.6, "label": label} | options
        if outline is not None:
            style = {"histtype": "step", "color": outline, "label": label}
        if beyond and "bins" not in options:
            own = np.clip(own, edges[0], edges[-1])
        # Of a column without any value nothing can be divided by the number of values.
        drawn = panel.hist(own, density=len(own) > 0, **style | {"bins": edges})
        shares = drawn[0] * np.diff(drawn[1])
        handles += drawn[2][:1]
    notes = [beyond] if beyond and "bins" not in options else []
    # Of the last table, which are the data if there are any.
    if np.max(shares, initial=0) > _SPIKE and np.sum(shares > 0) > 1:
        panel.set_yscale("log")
        notes.append("log scale")
    panel.set_yticks([])
    panel.set_yticks([], minor=True)
    # Long numbers would overlap.
    panel.locator_params(axis="x", nbins=3)
    panel.ticklabel_format(axis="x", style="sci", scilimits=(-4, 5))
    if notes:
        place = {"transform": panel.transAxes, "bbox": _NOTE_GROUND}
        panel.text(0.97, 0.96, "\n".join(notes), **place, **_NOTE)
    panel.set(xlabel="value", ylabel="density")
    return handles


def _edges(values):
    """Return the edges of common bins, and a note on values beyond them, or ""."""
    every = np.concatenate(values)
    is_whole = every.size > 0 and (np.rint(every) == every).all()
    # The heights can be compared, as all have the same bins.
    if is_whole and np.ptp(every) < _MAX_WHOLE:
        return np.arange(every.min() - 0.5, every.max() + 1), ""
    # Those of the last table, which are the data if there are any.
    low, high = robust_limits(values[-1])
    notes = []
    if low is not None:
        notes.append(f"least {every.min():.3g}")
    if high is not None:
        notes.append(f"largest {every.max():.3g}")
    limits = limits_of(np.clip(every, low, high) if notes else every)
    edges = np.linspace(*limits, _N_BINS + 1)
    if is_whole and edges[1] - edges[0] < _MAX_WHOLE:
        # As many whole numbers in each bin: else some would have twice as many as others.
        width = np.ceil(edges[1] - edges[0])
        edges = np.arange(np.floor(limits[0]) - 0.5, limits[1] + width, width)
    return edges, "\n".join(notes)


def _draw_bars(panel, layers, options):
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    columns = [column for _, column, _ in layers]
    shown, others = _most_frequent(columns)
    handles, places = [], np.arange(len(shown) + bool(others))
    chosen = {key: value for key, value in options.items() if key in ("color", "alpha")}
    for label, column, outline in layers:
        known = column.known
        counts = np.array([np.sum(known == level) for level in shown], dtype=float)
        if others:
            counts = np.append(counts, len(known) - counts.sum())
        style = {"color": "C0", "alpha": 0.6} | chosen
        if outline is not None:
            style = {"fill": False, "edgecolor": outline}
        shares = counts / max(1, len(known))
        handles.append(panel.barh(places, shares, height=0.8, label=label, **style))
    labels = [shortened(level) for level in shown]
    labels += [f"{len(others)} others"] if others else []
    panel.set_yticks(places, labels, fontsize="small")
    panel.set_ylim(max(len(places), _LEAST_PLACES) - 0.5, -0.5)
    panel.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.set_xlabel("share")
    return handles


def _most_frequent(columns):
    """Return the labels to show, and those that are drawn as one."""
    order = common_order(columns)
    if len(order) <= _MAX_BARS:
        return order, []
    # Of the last table, which are the data if there are any.
    known = columns[-1].known
    counts = {level: np.sum(known == level) for level in order}
    frequent = sorted(order, key=counts.get, reverse=True)
    return frequent[: _MAX_BARS - 1], frequent[_MAX_BARS - 1 :]
