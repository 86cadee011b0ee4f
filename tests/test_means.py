"""Means and variances of features, of the values that are there."""

import numpy as np
import torch
from row_cases import table

from skvae.data.means import feature_means, feature_moments, smoothed_mean


def test_feature_moments_are_those_of_float64(small_blocks):
    X = table() + np.float32(1000)
    mean, variance = feature_moments(torch.from_numpy(X))
    np.testing.assert_allclose(mean, X.mean(axis=0, dtype=np.float64), rtol=1e-15)
    np.testing.assert_allclose(variance, X.astype(np.float64).var(axis=0), rtol=1e-13)


def test_missing_values_are_left_out(small_blocks):
    X = table()
    X[::3, 1], X[:, 4] = np.nan, np.nan
    mean, variance = feature_moments(torch.from_numpy(X))
    expected = X[:, :4].astype(np.float64)
    np.testing.assert_allclose(mean[:4], np.nanmean(expected, axis=0), rtol=1e-6)
    np.testing.assert_allclose(variance[:4], np.nanvar(expected, axis=0), rtol=1e-5)
    # A feature without values.
    assert (mean[4], variance[4]) == (0, 0)


def test_a_smoothed_mean_has_half_a_row_on_either_side(small_blocks):
    X = torch.tensor([[0.0, 1.0], [0.0, 1.0], [torch.nan, 1.0]])
    assert smoothed_mean(X).tolist() == [0.5 / 3, 3.5 / 4]
    assert feature_means(X).tolist() == [0, 1]
