"""What comes of a training: its history, whether it converged, and a divergence survived."""

import warnings

import numpy as np
import pytest
import torch
from callback_cases import Stopper
from likelihood_cases import CASES
from setup_cases import curve, make_setup, state
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP, ModuleNetwork
from skvae.training.result import (
    LogJacobians,
    Result,
    in_data_units,
    join_histories,
    train_and_record,
)

MODES = [False, True, "cv"]
each_mode = pytest.mark.parametrize("mode", MODES)
each_estimator = pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])


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
    "constant": np.full((60, 5), 7.3),
    "duplicate columns": np.repeat(curve()[:, :1], 5, axis=1),
    "duplicate rows": np.repeat(curve()[:1], 60, axis=0),
    "outlier": with_value(1e8),
    "subnormal column": changed(lambda x: 1e-310 * x),
    "subnormal": 1e-310 * curve(),
    "float32 outlier": with_value(1e8).astype(np.float32),
    "float32 near its end": (3e38 / np.abs(curve()).max() * curve()).astype(np.float32),
    "float32 subnormal": (1e-42 * curve()).astype(np.float32),
}
FITS = [
    *({"early_stopping": mode} for mode in MODES),
    {"likelihood": Gaussian("isotropic")},
    {"likelihood": Gaussian("heteroscedastic")},
    {"estimator": AutoencoderTransformer},
]


def short(estimator=VAETransformer, **parameters):
    defaults = {"latent_dim": 1, "network": MLP((8,)), "max_iter": 4, "random_state": 0}
    return estimator(**defaults | {"early_stopping": False} | parameters)


def is_finite(model, X):
    Z = model.transform(X)
    arrays = (Z, model.inverse_transform(Z), model.score_samples(X))
    return all(np.isfinite(values).all() for values in arrays)


# -- the history ----------------------------------------------------------------------


def lengths(history):
    return {name: len(values) for name, values in history.items()}


def test_epochs_are_recorded_as_they_go_by():
    start, setup = make_setup()
    result = Result(start(setup.rows))
    for done, _ in enumerate(train_and_record(setup, result), start=1):
        assert lengths(result.history) == {"loss": done, "reconstruction": done, "kl": done}
        assert result.n_kept == done
    assert done == 3
    history = {name: np.array(values) for name, values in result.history.items()}
    difference = history["kl"] - history["reconstruction"]
    np.testing.assert_allclose(history["loss"], difference, rtol=1e-5)


def test_a_copy_stays_as_it_is_when_training_goes_on():
    start, setup = make_setup()
    result, copies = Result(start(setup.rows)), []
    for _ in train_and_record(setup, result):
        copied = result.copy()
        copies.append((copied, state(copied.module)))
    for done, (copied, then) in enumerate(copies, start=1):
        assert torch.equal(state(copied.module), then)
        assert len(copied.history["loss"]) == copied.n_kept == done


def test_recorded_terms_are_plain_floats_under_a_prefix():
    result, other = Result(None), Result(None)
    result.record(torch.tensor([1.0, 2.0, 3.0]), "validation_")
    result.record([4, 5, 6], "validation_")
    assert result.history == other.history | {
        "validation_loss": [1.0, 4.0],
        "validation_reconstruction": [2.0, 5.0],
        "validation_kl": [3.0, 6.0],
    }
    assert all(type(v) is float for values in result.history.values() for v in values)


def test_histories_get_the_jacobian_where_a_density_is():
    result = Result(None)
    for loss in (1.0, 2.0):
        result.record([loss, 0.5 - loss, 0.5])
    result.history["validation_loss"] = [3.0, 4.0]
    history = in_data_units(result.history, LogJacobians(10.0, 20.0))
    assert {name: values.tolist() for name, values in history.items()} == {
        "loss": [-9.0, -8.0],
        "reconstruction": [9.5, 8.5],
        "kl": [0.5, 0.5],
        "validation_loss": [-17.0, -16.0],
    }


def test_joined_histories_are_nan_where_one_has_no_such_term():
    first = {"loss": np.array([1.0, 2.0])}
    second = {"loss": np.array([3.0]), "validation_loss": np.array([4.0])}
    expected = {"loss": [1.0, 2.0, 3.0], "validation_loss": [np.nan, np.nan, 4.0]}
    joined = join_histories(first, second)
    np.testing.assert_equal(
        {name: values.tolist() for name, values in joined.items()}, expected
    )
    np.testing.assert_equal(
        join_histories(second, first)["validation_loss"], [4.0, np.nan, np.nan]
    )


# -- convergence ----------------------------------------------------------------------


def test_the_noise_of_epochs_is_no_improvement():
    rng = np.random.RandomState(0)
    # A good start, of which the whole improvement is small.
    settled = 5 - 0.4 * (1 - np.exp(-np.arange(100) / 10))
    noisy = settled + 0.1 * rng.standard_normal(100)
    falling = 5 - 0.02 * np.arange(100) + 0.1 * rng.standard_normal(100)
    assert Result(None, history={"loss": list(noisy)}).converged
    assert not Result(None, history={"loss": list(falling)}).converged


@pytest.mark.parametrize(
    ("loss", "converged"),
    [
        (np.linspace(5, 1, 50), False),
        (np.exp(-np.arange(50.0)), True),
        (np.r_[np.linspace(5, 1, 50), np.ones(20)], True),
        ([], True),
        ([3.0], False),
    ],
)
def test_a_training_has_converged_when_its_last_tenth_gained_little(loss, converged):
    assert Result(None, history={"loss": list(loss)}).converged == converged
    assert Result(None, history={"loss": list(loss)}, stopped_early=True).converged


# -- whatever the columns' units -------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore:.*(settled|collapsed|far worse):sklearn.exceptions.ConvergenceWarning"
)
@pytest.mark.parametrize("parameters", FITS, ids=str)
@pytest.mark.parametrize("X", TABLES.values(), ids=TABLES)
def test_a_model_is_finite_in_any_units(X, parameters):
    assert is_finite(short(**parameters).fit(X), X)


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
        assert "is high (the default is at most 0.008): lower it" in words
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
    defaults = {"network": network, "batch_size": 60, "max_iter": 6, "tol": 0.0}
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
    model = spoiled(estimator, spoil, 4)
    with pytest.warns(ConvergenceWarning, match="last finite state was kept"):
        model.fit(X)
    stopped = spoiled(estimator, spoil, 4).set_callbacks(Stopper(("epoch", 2))).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), stopped.score_samples(X))


@each_spoil
@each_estimator
def test_without_a_trained_state_it_is_an_error(estimator, spoil):
    model = spoiled(estimator, spoil, 1)
    with pytest.raises(ValueError, match=r"Training diverged.*init=0\.008: lower"):
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
