"""Training in several calls: warm starts and streams."""

import numpy as np
import pytest
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
