"""What likelihoods say of sparse rows: the same as of dense ones."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from skvae.likelihoods import LIKELIHOODS, Likelihood


@pytest.mark.parametrize("name", [n for n, lk in LIKELIHOODS.items() if lk().support[0] == 0])
def test_sparse_rows_outside_the_support_are_refused_as_dense_ones(name):
    X = np.eye(4, 3)
    X[2, 1] = -3
    messages = []
    for form in (np.array, sparse.csr_array):
        with pytest.raises(ValueError, match="feature 1 of X ranges from -3 to 1") as error:
            LIKELIHOODS[name]().check_support(form(X))
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("name", ["poisson", "negative_binomial", "categorical"])
def test_sparse_rows_with_fractions_are_refused(name):
    X = np.eye(4, 3)
    X[2, 2] = 0.5
    for form in (np.array, sparse.csr_array):
        with pytest.raises(ValueError, match="needs"):
            LIKELIHOODS[name]().check_support(form(X))


class AboveOne(Likelihood):
    """A support without the zeros that a sparse matrix does not store."""

    support = (1.0, 2.0)


@pytest.mark.parametrize("likelihood", [LIKELIHOODS["bernoulli"](), AboveOne()])
def test_sparse_rows_are_clipped_as_dense_ones(likelihood):
    X = np.array([[0.0, 3.0], [0.5, -1.0], [1.0, 0.0]])
    # An element stored as two halves is one value.
    halves = [[0.0, 1.5, 1.5], [0.5, -1.0], [1.0]], [[0, 1, 1], [0, 1], [0]]
    thin = sparse.csr_array(
        (np.concatenate(halves[0]), np.concatenate(halves[1]), [0, 3, 5, 6]), shape=X.shape
    )
    before = thin.data.copy()
    results = []
    for rows in (X, thin):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            clipped = likelihood.clip(rows)
        results.append((sparse.csr_array(clipped).toarray().tolist(), str(caught[0].message)))
    assert results[0] == results[1]
    np.testing.assert_array_equal(thin.data, before)
