"""Trainings that stay finite and end far above their start are told of."""

import warnings

import numpy as np
import pytest
from callback_cases import Stopper
from sklearn.exceptions import ConvergenceWarning

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Gaussian

each_estimator = pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])


@each_estimator
def test_a_training_that_ends_far_above_its_start_warns_of_the_rate(estimator, quick, iris):
    with pytest.warns(ConvergenceWarning, match=r"far worse.*learning_rate_init=3 is high"):
        quick(estimator, learning_rate_init=3, max_iter=30).fit(iris)


def test_a_training_that_improves_on_its_start_does_not(quick, iris):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(max_iter=400).fit(iris)


@each_estimator
def test_a_training_that_was_cut_short_is_not_judged_by_its_end(estimator, quick, iris):
    model = quick(estimator, learning_rate_init=3, max_iter=30)
    assert told(model.set_callbacks(Stopper(("epoch", 1))), iris) == ""


KEPT_START = r"not improved on its start.*feature \d+ of X ranges.*deviations.*'isotropic'"


def mostly_dark(n=1200):
    """Rows of ten factors, and columns that are zero but for two or three rows."""
    rng = np.random.RandomState(0)
    bright = rng.standard_normal((n, 10)) @ rng.standard_normal((10, 20))
    dark = rng.random_sample((n, 200)) * (rng.random_sample((n, 200)) < 3 / n)
    return np.c_[bright + 0.1 * rng.standard_normal(bright.shape), dark]


def told(model, X):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(X)
    return " ".join(str(warning.message) for warning in told)


def test_a_start_that_no_epoch_improves_on_is_told_of():
    model = VAETransformer(random_state=0, max_iter=20, device="cpu")
    with pytest.warns(ConvergenceWarning, match=KEPT_START):
        model.fit(mostly_dark())
    assert -model.best_validation_score_ < model.history_["validation_loss"].min()
    assert "its start" not in told(
        model.set_params(likelihood=Gaussian("isotropic")), mostly_dark()
    )


def test_a_linear_table_whose_start_stays_is_not_told_of():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((1200, 2)) @ rng.standard_normal((2, 30))
    X += rng.standard_normal(X.shape)
    assert "its start" not in told(VAETransformer(random_state=0, device="cpu"), X)
