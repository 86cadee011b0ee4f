"""The likely cause of a divergence in words, and rows that are too far away."""

import numpy as np
import pytest

from skvae.data.units import Units
from skvae.likelihoods import Gaussian, Poisson
from skvae.training.diagnosis import check_distance, likely_cause, why_start_was_best

NAMES = np.array(["width", "height", "price"], dtype=object)


def table(n=60):
    return np.random.RandomState(0).standard_normal((n, 3))


def cause(X, names=None, learning_rate=5e-3, likelihood=None):
    likelihood = Gaussian() if likelihood is None else likelihood
    return likely_cause(X, likelihood.units(X), names, likelihood, learning_rate)


@pytest.mark.parametrize(("names", "called"), [(None, "feature 2"), (NAMES, "'price'")])
def test_an_outlier_is_named_with_its_range(names, called):
    X = table()
    X[3, 2] = 1e8
    said = cause(X, names)
    assert said.startswith(
        f"Likely cause: {called} of X ranges from {X[:, 2].min():.6g} to 1e+08"
    )
    assert "StandardScaler" in said


def test_a_column_of_another_scale_is_named_where_the_model_does_not_scale():
    X = np.random.RandomState(0).poisson([3, 3e9, 3], (60, 3))
    assert cause(X, likelihood=Poisson()).startswith("Likely cause: feature 1 of X ranges")


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_a_column_that_the_model_scales_is_not_blamed(scale):
    said = cause(table() * [1, scale, 1] + [0, 1e6, 0])
    assert "ranges" not in said
    assert said.startswith("Likely cause: learning_rate_init=0.005: lower it")


def test_a_high_learning_rate_comes_first_and_the_likelihood_last():
    X = table()
    X[3, 2] = 1e8
    said = cause(X, learning_rate=10)
    assert said.startswith("Likely cause: learning_rate_init=10 is high (the default is 0.005)")
    assert said.endswith("the Gaussian likelihood may not fit the data.")


@pytest.mark.parametrize("X", [np.zeros((5, 3)), np.full((5, 3), 1e300), np.eye(5, 3) * 1e-310])
def test_it_has_words_for_any_finite_rows(X):
    assert likely_cause(X, Units.identity(3), None, Gaussian(), 1e-3).startswith("Likely cause")


def test_a_column_that_outweighs_the_others_is_named_with_its_distance():
    X, held_out = table(400), table(50)
    X[:, 2] = np.arange(400) == 7
    units = Gaussian().units(X)

    def why(tables, units=units):
        return why_start_was_best(tables, units, NAMES, lambda: "Other advice.")

    assert why({"X": X}).startswith("'price' of X ranges from 0 to 1, 20 standard deviations")
    held_out[3, 1] = 1e3
    assert why({"X_val": held_out, "X": X}).startswith("'height' of X_val ranges from")
    assert why({"X": table()}, Units.standardizing(table())) == "Other advice."
    # One scale for all: another noise would change nothing.
    assert why({"X": X}, Gaussian("isotropic").units(X)) == "Other advice."


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_rows_that_overflow_are_refused(dtype):
    X = table().astype(dtype)
    units = Units.standardizing(X)
    X[3, 1] = 1e14
    check_distance(X, units, NAMES, "X_val")
    X[3, 1] = -1e17
    with pytest.raises(ValueError, match=r"'height' of X_val ranges from -1e\+17 to .*mean is"):
        check_distance(X, units, NAMES, "X_val")
