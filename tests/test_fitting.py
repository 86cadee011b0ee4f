"""From parameters to fitted attributes; training in several calls: warm starts, streams."""

import numpy as np
import pytest
from helpers import assert_same, outputs
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer
from skvae.likelihoods import Gaussian
from skvae.machine import resolve_device
from skvae.training.steps import Steps

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


# -- fitted attributes and warnings ------------------------------------------------------

MODES = {
    "all rows": {"early_stopping": False},
    "hold-out": {"early_stopping": True},
    "cross-validation": {"early_stopping": "cv"},
}


@pytest.mark.parametrize("mode", MODES)
def test_the_fitted_attributes_agree_in_length_and_units(mode, iris, capsys):
    X = 1000 * iris
    model = VAETransformer(max_iter=4, random_state=0, verbose=True, **MODES[mode]).fit(X)
    n = model.n_iter_
    assert 0 <= n <= 4
    names = ["loss", "reconstruction", "kl"]
    names += [] if mode == "all rows" else [f"validation_{name}" for name in names]
    assert set(model.history_) <= set(names)
    assert all(len(values) == n for values in model.history_.values())
    assert n == 0 or set(model.history_) == set(names)
    assert model.loss_curve_ == list(model.history_["loss"])
    validation_loss = model.history_.get("validation_loss", np.zeros(0))
    np.testing.assert_array_equal(model.validation_scores_, -validation_loss)
    for prefix in ("", "validation_") if mode != "all rows" and n else ("",):
        loss, reconstruction, kl = (
            model.history_[prefix + name] for name in ("loss", "reconstruction", "kl")
        )
        np.testing.assert_allclose(loss, kl - reconstruction, rtol=1e-5)
    if mode == "all rows":
        assert model.best_validation_score_ is None
    else:
        # A held-out row is within some nats of a training row; 1000 X adds 4 log(1000).
        assert model.best_validation_score_ == pytest.approx(model.score(X), abs=4)
        assert model.best_validation_score_ >= max(model.validation_scores_, default=-1e9) - 1
    assert np.isscalar(model.n_iter_)
    assert model.noise_variance_.shape == (4,)
    assert np.all((model.noise_variance_ > 0) & (model.noise_variance_ < 2 * X.var(axis=0)))
    assert model.device_ == str(resolve_device("auto"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n
    for epoch, line in enumerate(lines):
        assert f"loss = {model.loss_curve_[epoch]:.4f}" in line
        assert str(epoch + 1) in line


@pytest.mark.parametrize("max_iter", [0, 5])
def test_latent_kl_is_the_mean_kl_of_the_training_rows(max_iter, quick, iris):
    model = quick(latent_dim=3, max_iter=max_iter).fit(iris)
    assert model.latent_kl_.shape == (3,)
    assert model.latent_kl_.sum() == pytest.approx(model.elbo(iris).kl.mean(), rel=1e-4)


def test_a_dimension_without_information_has_no_kl(quick, iris):
    # Four features cannot fill six dimensions.
    model = quick(latent_dim=6, max_iter=0).fit(iris)
    assert np.sum(model.latent_kl_ > 1e-3) <= 4


def test_the_noise_is_in_the_units_of_the_data(quick, iris):
    scale = np.array([1e-3, 1.0, 10.0, 1e5])
    plain = quick(max_iter=0).fit(iris).noise_variance_
    scaled = quick(max_iter=0).fit(iris * scale).noise_variance_
    np.testing.assert_allclose(scaled, plain * scale**2, rtol=1e-4)
    isotropic = quick(likelihood=Gaussian(noise="isotropic")).fit(iris).noise_variance_
    assert len(set(isotropic)) == 1
    assert not hasattr(quick(likelihood="bernoulli").fit(iris / 10), "noise_variance_")


def test_too_few_epochs_warn_and_name_max_iter(iris):
    model = VAETransformer(init="random", max_iter=2, early_stopping=False)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.fit(iris)


@pytest.mark.filterwarnings("error")
def test_a_start_that_is_kept_does_not_warn(iris):
    VAETransformer(max_iter=0).fit(iris)


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
    with pytest.warns(UserWarning, match="most values are far from those of the first fit"):
        model.fit(iris + 100)
    np.testing.assert_array_equal(model.transform(iris), expected)


def test_a_warm_start_checks_columns_and_support(quick, iris):
    model = quick(warm_start=True, likelihood="bernoulli").fit(iris / 10)
    with pytest.raises(ValueError, match="expecting 4"):
        model.fit(iris[:, :3] / 10)
    with pytest.raises(ValueError, match="MinMaxScaler"):
        model.fit(iris)


def test_another_image_shape_is_another_model(quick, digits):
    model = quick(network="conv", image_shape=(8, 8), warm_start=True).fit(digits[:100])
    with pytest.raises(ValueError, match="image_shape"):
        model.set_params(image_shape=(4, 16)).fit(digits[:100])


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
    rates, step = [], Steps.step

    def noted(steps):
        rates.append([group["lr"] for group in steps.groups])
        step(steps)

    monkeypatch.setattr(Steps, "step", noted)
    model = quick(warm_start=True, learning_rate_init=5e-3).fit(iris)
    model.set_params(learning_rate_init=0.1).fit(iris)
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
