"""Choice of the number of latent dimensions for imputation."""

import numpy as np
import torch

from skvae.components import resolve
from skvae.data.rows import open_rows
from skvae.estimators.validation import fit_encoding, is_encoded, likelihood_for_columns
from skvae.likelihoods import LIKELIHOODS
from skvae.machine import one_thread
from skvae.model.completion import Completion

_CANDIDATES = (1, 2, 3, 5, 8, 12, 16, 24, 32)
# Values are hidden in one of these parts after the other, in small tables in each.
_N_PARTS = 5
_SAMPLED_ROWS, _SAMPLED_CELLS = 1000, 2**15
# Ratio of the errors from which on more dimensions are worth their while.
_WORTHWHILE = 0.99
# Nats per row: a rough model is enough to compare.
_TOLERANCE = 1e-3
# Not a common one: values that are missing by the same draws would be the hidden ones.
_SEED = 20_140_416


def choose_latent_dim(estimator, X):
    """Return the number of factors with which hidden values are predicted best.

    A fifth of the values is hidden, and predicted by the linear-Gaussian model of the others;
    in a small table each fifth in turn. The numbers rise until two in turn are no better. A
    column's error counts at most as much as that of its mean.

    Parameters
    ----------
    estimator : VAETransformer
        Its likelihood, `categorical_features` and `image_shape` are used.
    X : ndarray or frame of shape (n, n_features)
        With missing values.
    """
    encoding = fit_encoding(X, estimator.categorical_features)
    likelihood = resolve(estimator.likelihood, LIKELIHOODS).resolve_columns(X)
    likelihood = likelihood_for_columns(likelihood, encoding, X.shape[1])
    X = encoding.encode(X) if is_encoded(encoding) else X
    X = X[:: -(-len(X) // _SAMPLED_ROWS)]
    likelihood = likelihood.for_data(X, estimator.image_shape)
    units = likelihood.units(X)
    rows = open_rows(X, units, torch.device("cpu"), likelihood.support)
    parts = torch.from_numpy(np.random.default_rng(_SEED).integers(_N_PARTS, size=X.shape))
    n_hidden = np.clip(_SAMPLED_CELLS // X.size, 1, _N_PARTS)
    hidden = [parts == part for part in range(n_hidden)]
    best, least, n_worse = 1, np.inf, 0
    for latent_dim in (n for n in _CANDIDATES if n < max(2, X.shape[1])):
        # The table is small.
        with one_thread():
            error, by_mean = sum(
                _squared_errors(likelihood, units, rows, each, latent_dim) for each in hidden
            )
        # A few extreme values, as of a pixel that is seldom on, are predicted by no number of
        # factors, and would decide alone.
        error = float(torch.minimum(error, by_mean).sum())
        if error < _WORTHWHILE * least:
            best, least, n_worse = latent_dim, error, 0
        else:
            n_worse += 1
        if n_worse == 2:
            break
    return best


def _squared_errors(likelihood, units, rows, hidden, latent_dim):
    """Return the squared errors of hidden values, as the encoder is given them.

    The sums of each column, as predicted by the model and by the column's mean, of
    shape (2, n_inputs).
    """
    transform = likelihood.input_transform()
    partly = rows.masked_fill(hidden, torch.nan)
    inputs, known = (x if transform is None else transform(x) for x in (rows, partly))
    completion = Completion(inputs.shape[1], latent_dim)
    model = likelihood.model_of_observed(partly, latent_dim, units, tol=_TOLERANCE)
    completion.set_model(model, is_aligned=True)
    filled = completion(partly, known).inputs
    errors = torch.stack([filled - inputs, known.nanmean(dim=0) - inputs])
    return errors.where(known.isnan(), 0).square().nansum(dim=1)
