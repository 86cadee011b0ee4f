"""Training that leaves the finite numbers stops, keeps what was good and names the cause."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from callback_cases import Stopper
from likelihood_cases import CASES
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP, ModuleNetwork

MODES = [False, True, "cv"]
each_mode = pytest.mark.parametrize("mode", MODES)
each_estimator = pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])


def curve(n=40):
    """Rows near a curve in four columns."""
    rng = np.random.RandomState(0)
    t = rng.uniform(-2, 2, n)
    return np.c_[t, t**2, np.sin(2 * t), -t] + 0.05 * rng.standard_normal((n, 4))


def changed(change):
    """The curve with another second column."""
    X = curve()
    X[:, 1] = change(X[:, 1])
    return X


def with_value(value):
    X = curve()
    X[3, 1] = value
    return X


TABLES = {
    "tiny column": changed(lambda x: 1e-30 * x),
    "huge column": changed(lambda x: 1e30 * x),
    "tiny": 1e-30 * curve(),
    "huge": 1e30 * curve(),
    "offset": changed(lambda x: x + 1e6),
    "far offset": changed(lambda x: 1e-3 * x + 1e12),
    "constant column": changed(np.zeros_like),
    "constant": np.full((40, 4), 7.3),
    "duplicate columns": np.repeat(curve()[:, :1], 4, axis=1),
    "duplicate rows": np.repeat(curve()[:1], 40, axis=0),
    "outlier": with_value(1e8),
    "subnormal column": changed(lambda x: 1e-310 * x),
    "subnormal": 1e-310 * curve(),
    "float32 outlier": with_value(1e8).astype(np.float32),
    "float32 near its end": (3e38 / np.abs(curve()).max() * curve()).astype(np.float32),
    "float32 subnormal": (1e-42 * curve()).astype(np.float32),
}
FITS = [
    *({"early_stopping": mode} for mode in MODES),
    {"likelihood": Gaussian("isotropic"), "early_stopping": False},
    {"likelihood": Gaussian("heteroscedastic"), "early_stopping": False},
]


def short(estimator=VAETransformer, **parameters):
    defaults = {"latent_dim": 1, "network": MLP((8,)), "max_iter": 4, "random_state": 0}
    return estimator(**defaults | parameters)


def is_finite(model, X):
    Z = model.transform(X)
    arrays = (Z, model.inverse_transform(Z), model.score_samples(X))
    return all(np.isfinite(values).all() for values in arrays)


# -- whatever the columns' units -------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore:.*(settled|collapsed|far worse):sklearn.exceptions.ConvergenceWarning"
)
@pytest.mark.parametrize("parameters", FITS, ids=str)
@pytest.mark.parametrize("X", TABLES.values(), ids=TABLES)
def test_a_gaussian_model_is_finite_in_any_units(X, parameters):
    assert is_finite(short(**parameters).fit(X), X)


@pytest.mark.filterwarnings(
    "ignore:.*(settled|far worse):sklearn.exceptions.ConvergenceWarning"
)
@pytest.mark.parametrize("X", TABLES.values(), ids=TABLES)
def test_an_autoencoder_is_finite_in_any_units(X):
    assert is_finite(short(AutoencoderTransformer, early_stopping=False).fit(X), X)


# -- too fast ---------------------------------------------------------------------------


@each_mode
@pytest.mark.parametrize("learning_rate", [10.0, 1e30])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_training_too_fast_leaves_a_finite_model_or_says_why(case, learning_rate, mode):
    X = case.example(n=40)[0]
    parameters = {"learning_rate_init": learning_rate, "early_stopping": mode}
    model = short(likelihood=case.likelihood, **parameters)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        words = ""
        try:
            model.fit(X)
        except ValueError as error:
            words = str(error)
    words += " ".join(str(warning.message) for warning in told)
    # At 1e30 one step is too far.
    if learning_rate == 1e30 or not hasattr(model, "loss_curve_"):
        assert "raining diverged" in words
    if "raining diverged" in words:
        assert "is high (the default is 0.005): lower it" in words
    # Where held-out rows judge, there is always the start.
    if mode or hasattr(model, "loss_curve_"):
        assert is_finite(model, X)
        assert np.isfinite(model.loss_curve_[:-1]).all()


# -- at a step of the test's choice ------------------------------------------------------


def infinite(y):
    return y * np.inf


def without_gradient(y):
    """The same values, and a gradient that is not finite."""
    y.register_hook(lambda gradient: gradient * np.nan)
    return y


class Spoiled(nn.Linear):
    """A layer that is spoiled in one training step, and well before and after."""

    def __init__(self, n_in, n_out, spoil, step):
        super().__init__(n_in, n_out)
        self.spoil, self.step, self.done = spoil, step, 0

    def forward(self, x):
        y = super().forward(x)
        if not self.training or not torch.is_grad_enabled():
            return y
        self.done += 1
        return self.spoil(y) if self.done == self.step else y


def spoiled(estimator, spoil, epoch, **parameters):
    """An estimator of one step an epoch, whose network is spoiled in this epoch."""

    def decoder(n_in, n_out):
        return Spoiled(n_in, n_out, spoil, epoch)

    network = ModuleNetwork(nn.Linear, decoder)
    defaults = {"network": network, "batch_size": 40, "max_iter": 6, "tol": 0.0}
    return short(estimator, **defaults | parameters)


each_spoil = pytest.mark.parametrize("spoil", [infinite, without_gradient])


@each_mode
@each_spoil
@each_estimator
def test_it_stops_at_once_and_keeps_a_finite_state(estimator, spoil, mode):
    X = curve()
    model = spoiled(estimator, spoil, 4, early_stopping=mode)
    with pytest.warns(ConvergenceWarning, match="diverged.*finite state was kept.*lower it"):
        model.fit(X)
    assert is_finite(model, X)
    # A fold that is lost ends the choice of the epochs before the final training.
    assert np.isfinite(model.loss_curve_[:3]).all()
    assert np.isfinite(model.loss_curve_[3:]).sum() == 0
    assert model.n_iter_ == len(model.loss_curve_) <= (3 if mode == "cv" else 4)
    assert {len(values) for values in model.history_.values()} == {model.n_iter_}


@each_spoil
@each_estimator
def test_of_all_epochs_the_state_before_is_kept(estimator, spoil):
    X = curve()
    model = spoiled(estimator, spoil, 4, early_stopping=False)
    with pytest.warns(ConvergenceWarning, match="last finite state was kept"):
        model.fit(X)
    stopped = spoiled(estimator, spoil, 4, early_stopping=False).set_callbacks(
        Stopper(("epoch", 2))
    )
    np.testing.assert_array_equal(model.score_samples(X), stopped.fit(X).score_samples(X))


@each_spoil
@each_estimator
def test_without_a_trained_state_it_is_an_error(estimator, spoil):
    model = spoiled(estimator, spoil, 1, early_stopping=False)
    with pytest.raises(ValueError, match=r"Training diverged.*init=0\.005: lower"):
        model.fit(curve())
    assert not hasattr(model, "n_iter_")


@pytest.mark.parametrize("mode", [True, "cv"])
@each_spoil
@each_estimator
def test_where_held_out_rows_judge_the_start_is_a_state(estimator, spoil, mode):
    X = curve()
    model = spoiled(estimator, spoil, 1, early_stopping=mode)
    with pytest.warns(ConvergenceWarning, match="best finite state was kept"):
        model.fit(X)
    start = spoiled(estimator, spoil, 1, max_iter=0).fit(X)
    np.testing.assert_array_equal(model.transform(X), start.transform(X))


@each_spoil
@each_estimator
def test_a_stream_that_diverges_keeps_the_model_before(estimator, spoil):
    X = curve()
    model = spoiled(estimator, spoil, 3)
    model.partial_fit(X).partial_fit(X)
    before, history = model.score_samples(X), model.history_
    with pytest.raises(ValueError, match="Training diverged"):
        model.partial_fit(X)
    np.testing.assert_array_equal(model.score_samples(X), before)
    assert model.history_ is history


@each_mode
@each_spoil
def test_callbacks_see_finite_states_only(spoil, mode):
    X = curve()
    monitor = ScoringMonitor(scoring={"score": lambda model, X, y: model.score(X)})
    model = spoiled(VAETransformer, spoil, 4, early_stopping=mode).set_callbacks(monitor)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.fit(X, np.zeros(len(X)))
    log = monitor.get_logs().data
    assert len(log) == model.n_iter_ + 1
    assert np.isfinite([row["score"] for row in log]).all()


# -- rows of another scale ----------------------------------------------------------------

FAR_ROWS = {
    "X_val": lambda model, X, far: model.fit(X, X_val=far),
    "stream": lambda model, X, far: model.partial_fit(X).partial_fit(far),
    "warm start": lambda model, X, far: model.set_params(warm_start=True).fit(X).fit(far),
}


@pytest.mark.filterwarnings("ignore:.*settled:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("value", [1e19, 1e200])
@pytest.mark.parametrize("fit", FAR_ROWS.values(), ids=list(FAR_ROWS))
def test_rows_that_would_overflow_are_refused_and_the_column_is_named(fit, value):
    X, far = (
        pd.DataFrame(rows, columns=["a", "b", "c", "d"])
        for rows in (curve(), with_value(value))
    )
    with pytest.raises(ValueError, match=r"'b' of (X|X_val) ranges from .*1e\+.*same units"):
        fit(short(early_stopping=False), X, far)


@pytest.mark.filterwarnings("ignore:.*settled:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("value", [1e19, 1e30, 3e38])
@each_estimator
def test_far_float32_rows_are_coded_and_a_score_beyond_float32_says_so(estimator, value):
    model = short(estimator, early_stopping=False).fit(curve())
    far = with_value(value).astype(np.float32)[:5]
    Z = model.transform(far)
    assert Z.dtype == np.float32
    assert np.isfinite(Z).all()
    np.testing.assert_allclose(Z, model.transform(far.astype(np.float64)), rtol=1e-4, atol=1e-5)
    if value > 1e19:
        with pytest.warns(UserWarning, match="1 of 5 rows .*float32.*feature 1 .*pass float64"):
            scores = model.score_samples(far)
        assert np.isinf(scores[3])
        assert np.isfinite(np.delete(scores, 3)).all()
