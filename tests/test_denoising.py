"""What noise does: the autoencoder is trained to restore, and otherwise left alone."""

import numpy as np
import pytest
from helpers import NOISES, reconstruct
from sklearn.base import clone

from skvae.likelihoods import Gaussian

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

each_corruption = pytest.mark.parametrize("name", ["gaussian", "masking"])


@pytest.mark.parametrize("corruption", ["gaussian", "masking"])
def test_trained_on_corrupted_digits_it_restores_better(corruption, autoencoder, digits, rows):
    train, rng = digits[:1000], np.random.RandomState(1)
    if corruption == "gaussian":
        noise, corrupted = 4.0, rows + 4 * rng.randn(*rows.shape)
    else:
        noise, corrupted = 0.4, np.where(rng.rand(*rows.shape) < 0.4, train.mean(0), rows)
    model = autoencoder(
        latent_dim=10, max_iter=15, likelihood=Gaussian("isotropic"), corruption=corruption
    )
    errors = [
        np.mean(
            (reconstruct(clone(model).set_params(noise=n).fit(train), corrupted) - rows) ** 2
        )
        for n in (0, noise)
    ]
    assert errors[1] < 0.9 * errors[0]


@each_corruption
def test_training_draws_anew_and_held_out_rows_keep_their_draws(name, autoencoder, iris):
    # Nothing moves at this rate: only the draws can change a loss.
    still = {"max_iter": 4, "learning_rate_init": 1e-12}
    model = autoencoder(**still, **NOISES[name]).fit(iris, X_val=iris)
    assert len(set(np.round(model.loss_curve_, 4))) == 4
    np.testing.assert_allclose(
        model.validation_scores_, model.best_validation_score_, atol=1e-5
    )
    plain = autoencoder(**still).fit(iris)
    np.testing.assert_allclose(plain.loss_curve_, plain.loss_curve_[0], atol=1e-5)


@each_corruption
@pytest.mark.parametrize("train", ["partial_fit", "fit"])
def test_each_call_draws_anew_from_the_same_seed(train, name, autoencoder, iris):
    model = autoencoder(max_iter=1, warm_start=True, learning_rate_init=1e-12, **NOISES[name])
    for _ in range(4):
        getattr(model, train)(iris)
    assert len(set(np.round(model.loss_curve_, 4))) == 4


@each_corruption
def test_held_out_rows_are_corrupted_and_what_is_asked_later_is_not(name, autoencoder, iris):
    X, X_val = iris[::2], iris[1::2]
    plain = autoencoder().fit(X, X_val=X_val)
    assert plain.best_validation_score_ == pytest.approx(plain.score(X_val), abs=1e-4)
    model = autoencoder(**NOISES[name]).fit(X, X_val=X_val)
    assert model.best_validation_score_ < model.score(X_val) - 1
    # Fixed draws would come by a row's place.
    for ask in (model.transform, model.score_samples):
        np.testing.assert_array_equal(ask(X_val), ask(X_val))
        np.testing.assert_allclose(ask(X_val[::-1])[::-1], ask(X_val), atol=1e-9)


@pytest.mark.parametrize("noise", [1, 2.5])
def test_a_mask_over_everything_is_refused_before_training(noise, autoencoder, iris, capsys):
    model = autoencoder(noise=noise, corruption="masking", verbose=True)
    for train in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=rf"noise={noise} masks every value.*below 1"):
            train(iris)
    assert capsys.readouterr().out == "", "no epoch was done"
    assert not hasattr(model, "n_features_in_")


@each_corruption
def test_the_start_does_not_depend_on_the_noise(name, autoencoder, iris):
    expected = autoencoder(max_iter=0).fit(iris)
    model = autoencoder(max_iter=0, **NOISES[name]).fit(iris)
    np.testing.assert_allclose(model.transform(iris), expected.transform(iris), rtol=1e-12)
    assert model.score(iris) == pytest.approx(expected.score(iris), rel=1e-12)
