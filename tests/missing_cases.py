"""Tables with missing values, and the exact results of linear-Gaussian models for them."""

import numpy as np
from scipy.stats import multivariate_normal


def with_gaps(X, share=0.3, seed=0):
    """Return a copy with this share of the cells missing at random."""
    X = np.array(X, dtype=np.float64)
    X[np.random.RandomState(seed).random_sample(X.shape) < share] = np.nan
    return X


def linear_table(n=400, n_features=6, latent_dim=2, seed=0):
    """Return rows of a linear-Gaussian model, with correlated columns of other units."""
    rng = np.random.RandomState(seed)
    loadings = rng.standard_normal((n_features, latent_dim))
    noise = rng.standard_normal((n, n_features)) * rng.uniform(0.3, 0.8, n_features)
    X = rng.standard_normal((n, latent_dim)) @ loadings.T + noise
    return X * np.logspace(-1, 1, n_features) + np.arange(n_features)


def log_density_of_observed(X, mean, covariance):
    """Return the log-density of each row's values under a normal distribution."""
    out = []
    for row in X:
        o = ~np.isnan(row)
        normal = multivariate_normal(mean[o], covariance[np.ix_(o, o)]) if o.any() else None
        out.append(normal.logpdf(row[o]) if normal else 0.0)
    return np.array(out)


def conditional_normal(row, mean, covariance):
    """Return mean and covariance of a row's missing values given the others."""
    o, m = ~np.isnan(row), np.isnan(row)
    gain = np.linalg.solve(covariance[np.ix_(o, o)], covariance[np.ix_(o, m)]).T
    return (
        mean[m] + gain @ (row[o] - mean[o]),
        covariance[np.ix_(m, m)] - gain @ covariance[np.ix_(o, m)],
    )


def model_moments(model):
    """Return mean and covariance of a fitted linear VAE, in the units of the data."""
    body, units = model._fitted.module.decoder.body, model._units
    layer = body.output if body.linear_map is None else body.linear_map
    loadings = layer.weight.double().cpu().numpy() * units.scale[:, None]
    mean = body.output.bias.double().cpu().numpy() * units.scale + units.loc
    return mean, loadings @ loadings.T + np.diag(model.noise_variance_)
