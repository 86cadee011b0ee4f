"""Why a training failed, in words: likely causes, far rows, collapse, a start that was best."""

import warnings

import numpy as np
import pandas as pd
import pytest
from callback_cases import Stopper
from setup_cases import curve
from sklearn.exceptions import ConvergenceWarning

from skvae import AutoencoderTransformer, VAETransformer
from skvae.data.units import Units
from skvae.likelihoods import Gaussian, Poisson
from skvae.networks import MLP
from skvae.training.diagnosis import (
    check_distance,
    convergence_warning,
    likely_cause,
    why_start_was_best,
)
from skvae.training.result import Result

not_settled = pytest.mark.filterwarnings(
    "ignore:.*(settled|far worse):sklearn.exceptions.ConvergenceWarning"
)
each_estimator = pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])


def said_in_fit(model, X):
    """Return the warnings of a fit in one string."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X)
    return " ".join(str(warning.message) for warning in caught)


# -- the likely cause -----------------------------------------------------------------

NAMES = np.array(["width", "height", "price"], dtype=object)


def table(n=60):
    return np.random.RandomState(0).standard_normal((n, 3))


def cause(X, names=None, learning_rate=5e-3, likelihood=None):
    likelihood = Gaussian() if likelihood is None else likelihood
    return likely_cause(X, likelihood.units(X), names, likelihood, learning_rate)


@pytest.mark.parametrize(("names", "column"), [(None, "feature 2"), (NAMES, "'price'")])
def test_an_outlier_is_named_with_its_range(names, column):
    X = table()
    X[3, 2] = 1e8
    said = cause(X, names)
    assert said.startswith(
        f"Likely cause: {column} of X ranges from {X[:, 2].min():.6g} to 1e+08"
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
    assert said.startswith(
        "Likely cause: learning_rate_init=10 is high (the default is at most 0.008)"
    )
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


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ({"diverged": True}, ["diverged", "last finite state", "Advice."]),
        ({"diverged": True, "best_score": 1.0}, ["diverged", "best finite state", "Advice."]),
        ({"worsened": True}, ["far worse after 7 epochs", "Advice.", "raise max_iter"]),
        (
            {"kept_start": True},
            ["not improved on its start", "Of the start.", "raise max_iter"],
        ),
        ({}, ["did 7 epochs", "had not settled"]),
        ({"stopped_early": True}, None),
    ],
    ids=str,
)
def test_each_bad_end_has_its_words(ended, words):
    result = Result(None, history={"loss": [3.0, 2.0, 1.0]}, **ended)
    advice = (lambda: "Advice."), (lambda: "Of the start.")
    message = convergence_warning("VAE", result, 7, *advice)
    if words is None:
        assert message is None
    else:
        assert message.startswith("VAE")
        assert all(part in message for part in words)


# -- rows of another scale ----------------------------------------------------------------


def far_rows(value):
    """Return the curve with one value in the second column of row 3."""
    X = curve()
    X[3, 1] = value
    return X


FAR_ROWS = {
    "X_val": lambda model, X, far: model.fit(X, X_val=far),
    "stream": lambda model, X, far: model.partial_fit(X).partial_fit(far),
    "warm start": lambda model, X, far: model.set_params(warm_start=True).fit(X).fit(far),
}


@not_settled
@pytest.mark.parametrize("value", [1e19, 1e200])
@pytest.mark.parametrize("fit", FAR_ROWS.values(), ids=list(FAR_ROWS))
def test_rows_that_would_overflow_are_refused_and_the_column_is_named(fit, value, quick):
    X, far = (pd.DataFrame(rows, columns=list("abcde")) for rows in (curve(), far_rows(value)))
    with pytest.raises(ValueError, match=r"'b' of (X|X_val) ranges from .*1e\+.*same units"):
        fit(quick(latent_dim=1), X, far)


@not_settled
@pytest.mark.parametrize("value", [1e19, 1e30, 3e38])
@each_estimator
def test_far_float32_rows_are_coded_and_a_score_beyond_float32_says_so(estimator, value, quick):
    model = quick(estimator, latent_dim=1).fit(curve())
    far = far_rows(value).astype(np.float32)[:5]
    Z = model.transform(far)
    assert Z.dtype == np.float32
    assert np.isfinite(Z).all()
    np.testing.assert_allclose(Z, model.transform(far.astype(np.float64)), rtol=1e-4, atol=1e-5)
    if value > 1e19:
        with pytest.warns(UserWarning, match="1 of 5 rows .*float32.*feature 1 .*pass float64"):
            scores = model.score_samples(far)
        assert np.isinf(scores[3])
        assert np.isfinite(np.delete(scores, 3)).all()


# -- an end that is worse than the start -------------------------------------------------


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
    assert said_in_fit(model.set_callbacks(Stopper(("epoch", 1))), iris) == ""


KEPT_START = r"not improved on its start.*feature \d+ of X ranges.*deviations.*'isotropic'"


def mostly_dark(n=1200):
    """Rows of ten factors, and columns that are zero but for two or three rows."""
    rng = np.random.RandomState(0)
    bright = rng.standard_normal((n, 10)) @ rng.standard_normal((10, 20))
    dark = rng.random_sample((n, 200)) * (rng.random_sample((n, 200)) < 3 / n)
    return np.c_[bright + 0.1 * rng.standard_normal(bright.shape), dark]


def test_a_start_that_no_epoch_improves_on_is_told_of():
    noise = Gaussian("per_feature")
    model = VAETransformer(likelihood=noise, random_state=0, max_iter=20, device="cpu")
    with pytest.warns(ConvergenceWarning, match=KEPT_START):
        model.fit(mostly_dark())
    assert -model.best_validation_score_ < model.history_["validation_loss"].min()
    assert "its start" not in said_in_fit(
        model.set_params(likelihood=Gaussian("isotropic")), mostly_dark()
    )


def test_a_linear_table_whose_start_stays_is_not_told_of():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((1200, 2)) @ rng.standard_normal((2, 30))
    X += rng.standard_normal(X.shape)
    assert "its start" not in said_in_fit(VAETransformer(random_state=0, device="cpu"), X)


# -- codes that carry no information --------------------------------------------------

COLLAPSED = "posterior has collapsed.*independent columns.*kl_warmup.*smaller beta"


def noise_table():
    """Columns that have nothing to do with each other."""
    return np.random.RandomState(0).standard_normal((200, 4))


def collapsing(estimator=VAETransformer, **parameters):
    """An estimator whose fixed noise drowns the rows."""
    defaults = {"max_iter": 10, "early_stopping": False, "random_state": 0}
    return estimator(**defaults | {"likelihood": Gaussian(100.0)} | parameters)


@not_settled
@pytest.mark.parametrize("mode", [False, True, "cv"])
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_a_collapse_warns_with_its_causes(mode, posterior):
    model = collapsing(early_stopping=mode, posterior=posterior)
    with pytest.warns(ConvergenceWarning, match=COLLAPSED):
        model.fit(noise_table())
    assert (model.latent_kl_ < 0.01).all()


@pytest.mark.parametrize(
    "change",
    [
        {"likelihood": Gaussian(0.1)},  # there is something to tell
        {"max_iter": 0},  # nothing was trained
        {"beta": 0.0},  # nothing draws the codes together
        {"estimator": AutoencoderTransformer},  # no prior
    ],
    ids=str,
)
def test_it_is_silent_elsewhere(change):
    assert "collapsed" not in said_in_fit(collapsing(**change), noise_table())


def test_one_dimension_that_tells_something_is_enough(iris):
    model = VAETransformer(3, network=MLP(()), max_iter=5, random_state=0)
    assert "collapsed" not in said_in_fit(model, iris)
    assert model.latent_kl_.max() > 0.01


def test_a_stream_is_not_told_of_a_collapse_that_may_pass():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = collapsing().partial_fit(noise_table())
    assert (model.latent_kl_ < 0.01).all()
