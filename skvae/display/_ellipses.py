"""Posterior scales as ellipses."""

import numpy as np


def covariance_ellipses(scale, dimensions):
    """Return the axes of one-standard-deviation ellipses in a latent plane.

    Parameters
    ----------
    scale : ndarray of shape (n_rows, latent_dim) or (n_rows, latent_dim, latent_dim)
        Standard deviations, or Cholesky factors of covariances.
    dimensions : (int, int)

    Returns
    -------
    widths, heights, angles : ndarray of shape (n_rows,)
        Whole widths and heights, and anticlockwise angles in degrees.
    """
    i, j = dimensions
    if scale.ndim == 2:
        return 2 * scale[:, i], 2 * scale[:, j], np.zeros(len(scale))
    covariance = scale @ scale.swapaxes(1, 2)
    plane = covariance[:, [[i], [j]], [i, j]]
    variances, axes = np.linalg.eigh(plane)
    lengths = 2 * np.sqrt(np.maximum(variances, 0))
    # The last axis is the longest.
    angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))
    return lengths[:, 1], lengths[:, 0], angles
