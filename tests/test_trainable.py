"""Training in several calls: warm starts and streams."""

import copy
import pickle

import numpy as np
import pytest
import torch
from helpers import assert_same, outputs
from sklearn.base import clone

from skvae import VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


# -- warm start ------------------------------------------------------------------------


def test_a_warm_start_goes_on_and_appends_to_the_history(quick, iris):
    model = quick(max_iter=20, warm_start=True).fit(iris)
    first, score = model.history_, model.score(iris)
    model.fit(iris)
    assert model.n_iter_ == 40
    for name, values in model.history_.items():
        assert len(values) == 40
        np.testing.assert_array_equal(values[:20], first[name])
    assert model.score(iris) > score


def test_without_warm_start_fit_forgets(quick, iris):
    once = outputs(quick().fit(iris), iris[:9])
    assert_same(outputs(quick().fit(iris[:70]).partial_fit(iris).fit(iris), iris[:9]), once)


def test_a_warm_start_of_no_epochs_keeps_the_state(quick, iris):
    model = quick(warm_start=True).fit(iris)
    expected = outputs(model, iris[:9])
    assert_same(outputs(model.set_params(max_iter=0).fit(iris), iris[:9]), expected)


def test_a_warm_start_keeps_the_units_of_its_start(quick, iris):
    model = quick(warm_start=True, max_iter=0).fit(iris)
    expected = model.transform(iris)
    np.testing.assert_array_equal(model.fit(iris + 100).transform(iris), expected)


def test_a_warm_start_checks_columns_and_support(quick, iris):
    model = quick(warm_start=True, likelihood="bernoulli").fit(iris / 10)
    with pytest.raises(ValueError, match="expecting 4"):
        model.fit(iris[:, :3] / 10)
    with pytest.raises(ValueError, match="MinMaxScaler"):
        model.fit(iris)


@pytest.mark.parametrize("second", ["fit", "partial_fit"])
def test_the_history_keeps_one_length_when_validation_comes_and_goes(second, quick, iris):
    model = quick(warm_start=True).fit(iris, X_val=iris)
    for train in (getattr(model, second), lambda X: model.fit(X, X_val=iris)):
        train(iris)
        assert {len(values) for values in model.history_.values()} == {model.n_iter_}
        assert len(model.validation_scores_) in (0, model.n_iter_)


@pytest.mark.parametrize("mode", [False, True, "cv"])
def test_a_warm_start_goes_on_with_the_moments_of_the_state_that_was_kept(mode, quick, iris):
    model = quick(early_stopping=mode, warm_start=True, max_iter=6).fit(iris)
    scores, best = model.validation_scores_, model.best_validation_score_
    # The start is kept where no epoch is better.
    kept = 6 if mode is False else scores.index(best) + 1 if best in scores else 0
    rows = 135 if mode is True else 150
    assert steps_of(model) == ({kept * -(-rows // 64)} if kept else set())
    before = max(steps_of(model), default=0)
    model.set_params(early_stopping=False, max_iter=4).fit(iris)
    assert steps_of(model) == {before + 4 * 3}


def steps_of(model):
    """Return how many steps the moments of the parameters have seen."""
    return {int(entry["step"]) for entry in model._moments.values()}


def test_the_moments_count(quick, iris):
    model, fresh = (quick(warm_start=True).fit(iris) for _ in range(2))
    fresh._moments = {}
    assert (model.fit(iris).transform(iris) != fresh.fit(iris).transform(iris)).any()


def test_a_warm_start_runs_through_a_schedule_of_its_own(quick, iris, monkeypatch):
    rates, step = [], torch.optim.AdamW.step

    def noted(optimizer, *args, **kwargs):
        rates.append([group["lr"] for group in optimizer.param_groups])
        return step(optimizer, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    model = quick(warm_start=True).fit(iris).set_params(learning_rate_init=0.1).fit(iris)
    assert model.n_iter_ == 6
    first, second = np.split(np.array(rates), 2)
    np.testing.assert_allclose(second, first * 0.1 / 5e-3)
    assert first.max() == pytest.approx(5e-3, rel=0.2)


def test_in_hold_out_the_start_has_the_moments_it_came_with(quick, iris):
    model = quick(warm_start=True).fit(iris)
    before = steps_of(model)
    # At such a rate no epoch is better than the start.
    model.set_params(early_stopping=True, learning_rate_init=5.0).fit(iris)
    assert model.best_validation_score_ > max(model.validation_scores_[-3:])
    assert steps_of(model) == before


@pytest.mark.parametrize(
    "random_state", [0, np.random.RandomState(0)], ids=["int", "generator"]
)
@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_a_training_that_is_pickled_midway_gives_the_same_bits(
    method, random_state, quick, iris
):
    def train(model, times):
        for _ in range(times):
            getattr(model, method)(iris)
        return model

    parameters = {"warm_start": True, "early_stopping": method == "fit", "max_iter": 2}
    whole, halves = (
        quick(random_state=copy.deepcopy(random_state), **parameters) for _ in range(2)
    )
    train(whole, 5)
    halves = train(pickle.loads(pickle.dumps(train(halves, 3))), 2)
    assert_same(outputs(halves, iris[:9]), outputs(whole, iris[:9]))
    assert_same(outputs(train(halves, 1), iris[:9]), outputs(train(whole, 1), iris[:9]))


# -- streams ---------------------------------------------------------------------------


def test_each_pass_is_one_epoch_of_the_history(quick, iris):
    model = VAETransformer(random_state=0)
    for n in range(1, 4):
        assert model.partial_fit(iris) is model
        assert model.n_iter_ == n == len(model.loss_curve_)
    assert model.validation_scores_ == []
    assert model.best_validation_score_ is None
    model.partial_fit(iris[:1])  # from the second chunk on one row is enough
    assert model.n_iter_ == 4


def test_partial_fit_after_fit_stays_near_it(iris):
    model = VAETransformer(early_stopping=False, max_iter=100, random_state=0).fit(iris)
    before = model.score(iris)
    model.partial_fit(iris)
    assert model.n_iter_ == 101
    assert 0 < abs(model.score(iris) - before) < 0.2


def test_a_stream_accepts_a_constant_column_that_comes_to_vary(digits):
    X = digits[:600, 20:26].copy()
    X[:300, 2] = 0.0
    model = VAETransformer(random_state=0, batch_size=30, learning_rate_init=0.01)
    for _ in range(5):
        model.partial_fit(X[:300]).partial_fit(X[300:])
    decoded = model.inverse_transform(model.transform(X[300:]))
    assert abs(decoded[:, 2].mean() - X[300:, 2].mean()) < X[300:, 2].std()
    assert np.isfinite(model.score(X))


@pytest.mark.parametrize("name", ["learning_rate_init", "weight_decay"])
def test_a_parameter_set_between_chunks_counts_from_the_next(name, iris):
    model, other = (VAETransformer(random_state=0).partial_fit(iris) for _ in range(2))
    model.partial_fit(iris)
    other.set_params(**{name: 0.3}).partial_fit(iris)
    assert not np.array_equal(model.transform(iris), other.transform(iris))


@pytest.mark.parametrize("train", ["partial_fit", "fit"])
def test_each_call_draws_anew_from_the_same_seed(train, quick, iris):
    # With the same draws at every call the model learns them by heart.
    model = quick(max_iter=1, warm_start=True, learning_rate_init=1e-12)
    for _ in range(4):
        getattr(model, train)(iris)
    # Nothing moves at this rate: only the draws can change the loss.
    assert len(set(np.round(model.loss_curve_, 4))) == 4


def test_the_same_stream_gives_the_same_bits(iris):
    streams = [VAETransformer(random_state=0) for _ in range(2)]
    for model in streams:
        for chunk in np.split(iris, 3):
            model.partial_fit(chunk)
    assert_same(*(outputs(model, iris[:9]) for model in streams))


def test_a_stream_comes_within_two_percent_of_fit_on_held_out_digits(digits):
    # The columns that vary: what a constant one scores depends on when that is known.
    X = digits[:, digits[:1200].std(axis=0) > 0]
    train, test = X[:1200], X[1200:]
    fitted = VAETransformer(random_state=0).fit(train)
    stream = VAETransformer(random_state=0)
    for _ in range(45):  # about as many steps as fit makes
        for chunk in np.split(train, 3):
            stream.partial_fit(chunk)
    expected = fitted.score(test)
    assert stream.score(test) > expected - 0.02 * abs(expected)


def test_a_clone_of_a_stream_is_not_fitted(iris):
    assert not hasattr(clone(VAETransformer().partial_fit(iris)), "n_features_in_")
