"""Why a training failed, in words: the likely cause and what to do about it."""

import warnings

import numpy as np

from skvae.data.columns import column_name
from skvae.data.rows import dense, extremes

# Squared and divided by the smallest noise variance, more than this leaves float32.
_FARTHEST = 1e15
# From here on a column is named as a likely cause, and so is the learning rate.
_FAR = 100.0
_HIGH_RATE = 0.05
# Standard deviations that no value of a column without outliers is from its mean.
_HEAVY_TAIL = 10.0
_MEDIAN_ROWS = 4096

COLLAPSED = (
    "{}'s posterior has collapsed: no latent dimension carries information about the rows "
    "(latent_kl_ is below 0.01 nats in each), and all get nearly the same code. It may be that "
    "there is nothing to learn, as in independent columns. If there is, one of these may help: "
    "kl_warmup, a smaller beta, a wider or a less powerful decoder, more rows, or a noise that "
    "is not larger than the data's own."
)

_MOSTLY_THE_SAME = (
    "{}, {:.0f} standard deviations from its mean: such values outweigh all others. Remove "
    "outliers, and columns that are nearly always the same, as the pixels of an image's edge; "
    "or use Gaussian(noise='isotropic') or, for values in [0, 1], likelihood='bernoulli'."
)


def check_distance(X, units, feature_names, argument):
    """Refuse rows so far from those that the units were taken from that float32 overflows.

    Raises
    ------
    ValueError
        It names the column that is furthest away, and its range.
    """
    distance = _distance(X, units)
    worst = int(np.argmax(distance))
    if distance[worst] > _FARTHEST:
        raise ValueError(
            f"{_range(X, worst, feature_names, argument)}, too far from the rows that the "
            f"model was started on: there its mean is {units.loc[worst]:.6g} and its scale "
            f"{units.scale[worst]:.6g}. Pass {argument} in the same units, remove outliers, "
            "or fit anew with warm_start=False."
        )


def likely_cause(X, units, feature_names, likelihood, learning_rate):
    """Return what may have made a training diverge, and the remedy, as sentences."""
    causes = []
    distance = np.maximum(_distance(X, units), _outlyingness(X))
    worst = int(np.argmax(distance))
    if distance[worst] > _FAR:
        causes.append(
            f"{_range(X, worst, feature_names, 'X')}, far from its other values or from the "
            "model's scale (rescale that column, for example with StandardScaler, or remove "
            "its outliers)"
        )
    high = " is high (the default is 0.005)" if learning_rate > _HIGH_RATE else ""
    causes.append(f"learning_rate_init={learning_rate:g}{high}: lower it")
    if high:
        causes.reverse()
    causes.append(f"the {type(likelihood).__name__} likelihood may not fit the data")
    return f"Likely cause: {'; or '.join(causes)}."


def why_start_was_best(tables, units, feature_names, advice):
    """Return why no epoch may have been better than the start, and the remedy.

    Parameters
    ----------
    tables : dict of str to {ndarray, CSR matrix}
        Training and held-out rows by the names of their arguments.
    units : Units
    feature_names : ndarray of str or None
    advice : callable
        Returns that of other causes: where no column stands out, or all have one scale.
    """
    distances = {argument: _distance(X, units) for argument, X in tables.items()}
    argument = max(distances, key=lambda name: distances[name].max())
    worst = int(np.argmax(distances[argument]))
    if len(np.unique(units.scale)) == 1 or distances[argument][worst] < _HEAVY_TAIL:
        return advice()
    column = _range(tables[argument], worst, feature_names, argument)
    return _MOSTLY_THE_SAME.format(column, distances[argument][worst])


def concern(estimator, outcome, n_epochs, advice, about_start):
    """Return what to warn of after a training of so many planned epochs, or None.

    `advice` and `about_start` are called for the cause and the remedy.
    """
    if outcome.diverged:
        kept = "last" if outcome.best_score is None else "best"
        return (
            f"{estimator}'s training diverged: its loss or a gradient was not finite. The "
            f"{kept} finite state was kept. {advice()}"
        )
    if outcome.worsened:
        return (
            f"{estimator} is far worse after {n_epochs} epochs than at its start: training has "
            f"not converged. {advice()} A short training does this too: raise max_iter, or let "
            "early_stopping keep the best state."
        )
    if outcome.kept_start:
        return (
            f"{estimator}'s training has not improved on its start: no epoch was better on the "
            "held-out rows, the last was far worse, and the start was kept. "
            f"{about_start()} A short training does this too: raise max_iter."
        )
    if n_epochs > 0 and not outcome.converged:
        return (
            f"{estimator} did {n_epochs} epochs and the loss had not settled: training has not "
            "converged. Raise max_iter, or lower learning_rate_init if the loss rises."
        )
    return None


def not_finite(results):
    """Return which rows of an array hold a value that is not finite."""
    return ~np.isfinite(results).reshape(len(results), -1).all(axis=1)


def warn_of_overflow(rows, lost):
    """Warn of rows without finite results, and name the column that is furthest out."""
    worst = int(np.maximum(*map(np.abs, extremes(rows[lost]))).argmax())
    remedy = "" if rows.dtype == np.float64 else " Where that is meant, pass float64."
    span = _range(rows[lost], worst, None, "these rows")
    warnings.warn(
        f"{lost.sum()} of {rows.shape[0]} rows have results beyond {rows.dtype}: they lie too "
        f"far from the training rows. {span}: check its units, or for outliers.{remedy}",
        UserWarning,
        stacklevel=4,
    )


def _range(X, column, feature_names, argument):
    low, high = X[:, column].min(), X[:, column].max()
    name = column_name(column, feature_names)
    return f"{name} of {argument} ranges from {low:.6g} to {high:.6g}"


def _distance(X, units):
    """Return the largest absolute value of each column in model units."""
    with np.errstate(over="ignore"):
        ends = [np.abs((end - units.loc) / units.scale) for end in extremes(X)]
    return np.maximum(*ends)


def _outlyingness(X):
    """Return how far each column's extremes are from its median, in median deviations."""
    some = dense(X[:: -(-X.shape[0] // _MEDIAN_ROWS)]).astype(np.float64)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        median = np.median(some, axis=0)
        deviation = np.median(np.abs(some - median), axis=0)
        distance = np.maximum(*(np.abs(end - median) for end in extremes(X))) / deviation
    # Most values of such a column are equal: the others are no outliers for that.
    return np.where(deviation > 0, distance, 0.0)
