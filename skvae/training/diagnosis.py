"""Messages about failed trainings: the likely cause and what to do about it."""

import warnings

import numpy as np

from skvae.callers import stacklevel_of_user
from skvae.data.columns import column_name
from skvae.data.rows import dense, extremes

# Larger values, squared and divided by the smallest noise variance, overflow float32.
_FARTHEST = 1e15
# A column, or a learning rate, above these is named as a likely cause.
_FAR = 100.0
_HIGH_RATE = 0.05
# Columns whose typical distance is computed.
_MOST_COMPARED = 10
# A value at more standard deviations from the mean of its column is an outlier.
_HEAVY_TAIL = 10.0
_MEDIAN_ROWS = 4096

COLLAPSED = (
    "{}'s posterior has collapsed: no latent dimension carries information about the rows "
    "(latent_kl_ is below 0.01 nats in each), and all get nearly the same code. There may be "
    "nothing to learn, as in independent columns. Otherwise one of these may help: kl_warmup, "
    "a smaller beta, a wider or a less powerful decoder, more rows, or a fixed noise that is "
    "not larger than that of the data."
)

_MOSTLY_THE_SAME = (
    "{}, {:.0f} standard deviations from its mean: such values dominate the loss. Remove "
    "outliers and nearly constant columns, such as the pixels at the edge of images; or use "
    "Gaussian(noise='isotropic') or, for values in [0, 1], likelihood='bernoulli'."
)


def check_distance(X, units, feature_names, argument):
    """Raise ValueError for rows so far from those of the first fit that float32 overflows.

    The message names the column that is farthest away, and its range. Else return how far the
    farthest value of each column is.
    """
    distance = _distance(X, units)
    worst = int(np.argmax(distance))
    if distance[worst] > _FARTHEST:
        raise ValueError(
            f"{_range(X, worst, feature_names, argument)}, too far from the rows of the first "
            f"fit: there its mean is {units.loc[worst]:.6g} and its scale "
            f"{units.scale[worst]:.6g}. Pass {argument} in the same units, remove outliers, "
            "or fit again with warm_start=False."
        )
    return distance


def warn_of_distance(X, distance, units, feature_names):
    """Warn of a column of which most values are far from those of the first fit.

    Its scale is still that of the first fit, where the column may have been constant.
    `distance` is what `check_distance` returns.
    """
    farthest = (-distance).argsort()[:_MOST_COMPARED]
    for column in farthest[distance[farthest] > _FAR]:
        if _typical_distance(X, column, units) > _FAR:
            warnings.warn(
                f"{_range(X, column, feature_names, 'X')}, and most values are far from those "
                f"of the first fit: there its mean is {units.loc[column]:.6g} and its scale "
                f"{units.scale[column]:.6g}, which the model keeps. Begin with rows in which "
                "each column varies as it does later, in the same units.",
                UserWarning,
                stacklevel=stacklevel_of_user(),
            )
            return


def likely_cause(X, units, feature_names, likelihood, learning_rate):
    """Return the likely causes of a divergence, and what to do, as a sentence."""
    causes = []
    distance = np.maximum(_distance(X, units), _outlyingness(X))
    worst = int(np.argmax(distance))
    if distance[worst] > _FAR:
        causes.append(
            f"{_range(X, worst, feature_names, 'X')}, far from its other values or from the "
            "model's scale (rescale that column, for example with StandardScaler, or remove "
            "its outliers)"
        )
    high = " is high (the default is at most 0.008)" if learning_rate > _HIGH_RATE else ""
    causes.append(f"learning_rate_init={learning_rate:g}{high}: lower it")
    if high:
        causes.reverse()
    causes.append(f"the {type(likelihood).__name__} likelihood may not fit the data")
    return f"Likely cause: {'; or '.join(causes)}."


def why_start_was_best(tables, units, feature_names, advice):
    """Return a likely reason why no epoch was better than the start, and what to do.

    Parameters
    ----------
    tables : dict of str to {ndarray, CSR matrix}
        Training and held-out rows by argument name.
    units : Units
    feature_names : ndarray of str or None
    advice : callable
        Returns the text if no column has outliers, or if all columns share one scale.
    """
    distances = {argument: _distance(X, units) for argument, X in tables.items()}
    argument = max(distances, key=lambda name: distances[name].max())
    worst = int(np.argmax(distances[argument]))
    if len(np.unique(units.scale)) == 1 or distances[argument][worst] < _HEAVY_TAIL:
        return advice()
    column = _range(tables[argument], worst, feature_names, argument)
    return _MOSTLY_THE_SAME.format(column, distances[argument][worst])


def convergence_warning(estimator, result, n_epochs, advice, about_start):
    """Return the warning after a training of `n_epochs` planned epochs, or None.

    `advice` and `about_start` return the likely cause and what to do.
    """
    if result.diverged:
        kept = "last" if result.best_score is None else "best"
        return (
            f"{estimator}'s training diverged: its loss or a gradient was not finite. The "
            f"{kept} finite state was kept. {advice()}"
        )
    if result.worsened:
        return (
            f"{estimator} is far worse after {n_epochs} epochs than at its start: training has "
            f"not converged. {advice()} It may also be too short: raise max_iter, or use "
            "early_stopping to keep the best state."
        )
    if result.kept_start:
        return (
            f"{estimator}'s training has not improved on its start: no epoch was better on the "
            "held-out rows, the last was far worse, and the start was kept. "
            f"{about_start()} The training may also be too short: raise max_iter."
        )
    if n_epochs > 0 and not result.converged:
        return (
            f"{estimator} did {n_epochs} epochs and the loss had not settled: training has not "
            "converged. Raise max_iter, or lower learning_rate_init if the loss rises."
        )
    return None


def not_finite(results):
    """Return which rows of an array hold a value that is not finite."""
    return ~np.isfinite(results).reshape(len(results), -1).all(axis=1)


def warn_of_overflow(rows, lost):
    """Warn about rows without finite results; name the column with the largest value."""
    worst = int(np.maximum(*map(np.abs, extremes(rows[lost]))).argmax())
    remedy = "" if rows.dtype == np.float64 else " If they are correct, pass float64."
    span = _range(rows[lost], worst, None, "these rows")
    warnings.warn(
        f"The results of {lost.sum()} of {rows.shape[0]} rows overflow {rows.dtype}: they "
        f"are too far from the training rows. {span}: check its units and outliers.{remedy}",
        UserWarning,
        stacklevel=stacklevel_of_user(),
    )


def _range(X, column, feature_names, argument):
    low, high = (ends[column] for ends in extremes(X))
    name = column_name(column, feature_names)
    return f"{name} of {argument} ranges from {low:.6g} to {high:.6g}"


def _distance(X, units):
    """Return the largest absolute value of each column in model units."""
    with np.errstate(over="ignore"):
        ends = units.to_model(np.stack(extremes(X)), np.float64)
    return np.abs(ends).max(axis=0)


def _typical_distance(X, column, units):
    """Return the median of a column's absolute values in model units."""
    # One column of a sparse matrix, as the block may not fit in memory.
    values = dense(_sampled(X)[:, [column]]).astype(np.float64)
    return _median(np.abs(values - units.loc[column]))[0] / units.scale[column]


def _sampled(X):
    return X[:: -(-X.shape[0] // _MEDIAN_ROWS)]


def _outlyingness(X):
    """Return how far each column's extremes are from its median, in median deviations."""
    some = dense(_sampled(X)).astype(np.float64)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        median = _median(some)
        deviation = _median(np.abs(some - median))
        distance = np.maximum(*(np.abs(end - median) for end in extremes(X))) / deviation
    # If most values of a column are equal, the others need not be outliers.
    return np.where(deviation > 0, distance, 0.0)


def _median(some):
    """Return the median of the values of each column, 0 if there are none."""
    has_values = ~np.isnan(some).all(axis=0)
    median = np.zeros(some.shape[1])
    median[has_values] = np.nanmedian(some[:, has_values], axis=0)
    return median
