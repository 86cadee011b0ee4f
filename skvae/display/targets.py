"""The target that colours the codes: classes or numbers, some of which may be missing."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target

from skvae.display.columns import column_of
from skvae.display.marginals import robust_limits

# More classes than this cannot be told apart; of these the rarest are drawn as one, and whole
# numbers get a colour bar.
MAX_CLASSES = 20
_OTHER = "other"
# Of missing values.
GREY = (0.8, 0.8, 0.8, 1.0)


@dataclass(frozen=True)
class Target:
    """Classes or numbers, one for each row.

    Parameters
    ----------
    names : list of str or None
        The classes that are drawn, of many the most frequent ones and "other"; None for
        numbers.
    places : ndarray of int or None
        The position of each row's class in `names`; -1 for missing values.
    numbers : ndarray of float or None
        With NaN for missing values.
    """

    names: list | None = None
    places: np.ndarray | None = None
    numbers: np.ndarray | None = None

    @property
    def missing(self):
        """Rows without a value, as an array of bool."""
        return np.isnan(self.numbers) if self.names is None else self.places < 0


def check_target(y, X, n_rows):
    """Return a target as an array, its name, and its classes in order or None.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or str
        The name of a column of `X` stands for that column.
    X : array-like or frame
    n_rows : int
    """
    if isinstance(y, str):
        names = [str(name) for name in getattr(X, "columns", ())]
        if y not in names:
            raise ValueError(
                f"y={y!r} must be the name of a column of X, or an array of classes or numbers"
                + (f"; the columns are {', '.join(names[:20])}." if names else ".")
            )
        name, j = y, names.index(y)
        y = X.iloc[:, j] if hasattr(X, "iloc") else X[:, j]
    else:
        name = getattr(y, "name", None)
    dtype, order = getattr(y, "dtype", None), None
    if not isinstance(dtype, (np.dtype, type(None))):
        # Of pandas or polars.
        column = column_of(y, dtype)
        y, order = column.values, column.order
    y = column_or_1d(y, input_name="y")
    if len(y) != n_rows:
        raise ValueError(f"y has {len(y)} values, but X has {n_rows} rows.")
    read_target(y)
    return y, "y" if name is None else str(name), order


def read_target(y, order=None):
    """Return the Target of an array; `order` has all classes, which are else sorted."""
    missing = column_of(y, y.dtype).missing
    known = y[~missing]
    if not len(known):
        return Target(numbers=np.full(len(y), np.nan))
    with warnings.catch_warnings():
        # Many classes, of which it warns, are drawn as numbers.
        warnings.simplefilter("ignore")
        kind = type_of_target(known, input_name="y")
    if kind == "unknown":
        raise ValueError("y must hold classes or numbers, but its type is unknown.")
    classes = np.unique(known)
    numeric = np.issubdtype(classes.dtype, np.number)
    if kind == "continuous" or (numeric and len(classes) > MAX_CLASSES):
        numbers = np.full(len(y), np.nan)
        numbers[~missing] = known.astype(float)
        return Target(numbers=numbers)
    if order is not None:
        classes = [each for each in order if each in set(classes)]
    names, place_of = _most_frequent(list(classes), known)
    places = np.full(len(y), -1)
    places[~missing] = [place_of[each] for each in known]
    return Target(names, places)


def _most_frequent(classes, known):
    """Return the names of the classes to draw, and the place of each class among them."""
    names = [str(each) for each in classes]
    places = {each: i for i, each in enumerate(classes)}
    if len(classes) <= MAX_CLASSES:
        return names, places
    counts = np.bincount([places[each] for each in known], minlength=len(classes))
    kept = np.sort(np.argsort(-counts, kind="stable")[: MAX_CLASSES - 1])
    new = {classes[i]: place for place, i in enumerate(kept)}
    names = [*(names[i] for i in kept), _OTHER]
    return names, {each: new.get(each, MAX_CLASSES - 1) for each in classes}


def colours_of(target, cmap):
    """Return the colour arguments of a scatter, and the colours of the classes or None."""
    import matplotlib as mpl

    if target is None:
        return {"c": "C0"}, None
    if target.names is None:
        table = mpl.colormaps.get_cmap(cmap or "viridis").with_extremes(bad=GREY)
        low, high = robust_limits(target.numbers)
        limits = {"vmin": low, "vmax": high, "plotnonfinite": True}
        return {"c": target.numbers, "cmap": table} | limits, None
    palette = _palette(len(target.names), cmap, without_grey=target.missing.any())
    return {"c": np.vstack([palette, GREY])[target.places]}, palette


def _palette(n, cmap, without_grey):
    """Return the colours of `n` classes; grey is left out of those by default if it can be."""
    import matplotlib as mpl

    table = mpl.colormaps.get_cmap(cmap or ("tab10" if n <= 10 else "tab20"))
    colours = table(np.arange(table.N))
    if cmap is None and without_grey:
        coloured = colours[np.ptp(colours[:, :3], axis=1) > 0]
        colours = coloured if len(coloured) >= n else colours
    # The colours of a qualitative map are taken in order, others evenly spaced.
    return colours[:n] if n <= len(colours) <= 20 else table(np.linspace(0, 1, n))
