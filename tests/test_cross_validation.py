"""Choosing the number of epochs: honest folds, the best epoch, the held-out noise."""

import numpy as np
import pytest
import torch
from setup_cases import Scripted, Witness, curve, make_setup, state
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer
from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.networks import MLP
from skvae.training import folds
from skvae.training.cross_validation import fit_cross_validated

# Dropout, of next to nothing, keeps the folds from being trained as one module: a bound that
# looks at the modules needs them one by one.
ONE_BY_ONE = MLP((8,), dropout=1e-12)


def fitted(X=None, n_splits=5, **changes):
    """Return the result of a training."""
    return fit_cross_validated(*make_setup(X, **changes), n_splits)


def noise_of(module):
    return module.decoder.head.noise_variance()


# -- the folds ------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "n_splits"), [(30, 5), (33, 5), (6, 3)])
def test_every_row_is_evaluated_by_one_module_that_has_not_seen_it(n, n_splits):
    witness = Witness()
    start, setup = make_setup(curve(n), bound=witness, network=ONE_BY_ONE)
    fit_cross_validated(start, setup, n_splits)
    every = set(setup.rows[:, 0].tolist())
    folds = list(zip(witness.trained, witness.evaluated, strict=True))[:n_splits]
    for trained, evaluated in folds:
        assert trained == every - evaluated
    assert sum(len(evaluated) for _, evaluated in folds) == n
    assert set.union(*(evaluated for _, evaluated in folds)) == every


def test_the_start_of_a_fold_comes_from_its_training_rows_alone():
    start, setup = make_setup(curve(30))
    sizes = []

    def noting(rows):
        sizes.append(len(rows))
        return start(rows)

    fit_cross_validated(noting, setup, 5)
    assert sizes == [24] * 5 + [30]


def test_the_final_training_is_on_all_rows_for_the_epochs_chosen():
    witness = Witness()
    # A curve with little noise: its training must pay.
    start, setup = make_setup(curve(80), epochs=40, bound=witness, network=ONE_BY_ONE)
    result = fit_cross_validated(start, setup, 5)
    epochs = len(result.history["loss"])
    assert epochs > 0
    # The last one is the start, with which the result is compared.
    assert witness.modules[-2] is result.module
    assert witness.trained[-2] == set(setup.rows[:, 0].tolist())
    assert len(result.history["validation_loss"]) == epochs
    assert result.stopped_early == (epochs < 40)
    assert result.best_score == pytest.approx(-result.history["validation_loss"][-1])


def test_a_training_that_diverges_leaves_the_start():
    start, setup = make_setup(curve(40, noise=1.0), learning_rate=1e3)
    result = fit_cross_validated(start, setup, 5)
    weights = start(setup.rows).state_dict()
    for name, value in result.module.state_dict().items():
        if not name.endswith("log_scale"):
            assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("learning_rate", [1e6, 1e12, 1e30])
def test_a_training_that_overflows_leaves_a_finite_model(learning_rate):
    result = fitted(curve(40, noise=1.0), learning_rate=learning_rate)
    assert state(result.module).isfinite().all()
    assert np.isfinite(result.best_score)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_two_rows_are_enough_for_any_likelihood(likelihood):
    result = fitted(np.eye(2, 5), n_splits=2, likelihood=LIKELIHOODS[likelihood]())
    assert state(result.module).isfinite().all()


# -- folds as one module --------------------------------------------------------------


def test_folds_together_choose_as_well_as_one_by_one():
    # Other draws and orders: the same up to their noise.
    together, alone = (
        fitted(curve(200), epochs=40, network=network) for network in (MLP((8,)), ONE_BY_ONE)
    )
    assert together.best_score == pytest.approx(alone.best_score, abs=0.5)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_epochs_evaluated_together_are_chosen_as_one_at_a_time(likelihood, monkeypatch):
    X = curve(80) if likelihood == "gaussian" else (curve(80) > 0).astype(float)
    options = {"epochs": 21, "likelihood": LIKELIHOODS[likelihood](), "learning_rate": 0.02}
    together = fitted(X, **options)
    monkeypatch.setattr(folds, "_STATES", 1)
    alone = fitted(X, **options)
    assert together.history["loss"] == alone.history["loss"]
    assert len(alone.history["loss"]) > 8
    for name, values in together.history.items():
        np.testing.assert_allclose(values, alone.history[name], rtol=1e-5)
    assert torch.allclose(state(together.module), state(alone.module), rtol=1e-5)


# -- the noise ------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["per_feature", "isotropic"])
def test_the_noise_comes_from_held_out_rows_and_is_larger(noise):
    # On 15 rows the training residuals are far too small.
    start, setup = make_setup(
        curve(15, noise=1.0), likelihood=Gaussian(noise), learning_rate=1e-6
    )
    before = noise_of(start(setup.rows))
    after = noise_of(fit_cross_validated(start, setup, 5).module)
    assert after.mean() > before.mean()
    assert len(set(after)) == (1 if noise == "isotropic" else 5)


def test_a_row_far_from_all_others_leaves_the_start():
    rng = np.random.RandomState(0)
    loadings = rng.randn(2, 5)
    X = rng.randn(500, 2) @ loadings + 0.3 * rng.randn(500, 5)
    X[0] = 100.0
    others = rng.randn(300, 2) @ loadings + 0.3 * rng.randn(300, 5)
    vae = VAETransformer(random_state=0)
    with pytest.warns(ConvergenceWarning, match="start"):
        score = vae.fit(X).score(others)
    start = VAETransformer(max_iter=0, random_state=0).fit(X)
    assert score == pytest.approx(start.score(others), abs=1e-6)


def test_a_fixed_noise_stays():
    start, setup = make_setup(curve(30), likelihood=Gaussian(0.5))
    before = noise_of(start(setup.rows))
    np.testing.assert_array_equal(noise_of(fit_cross_validated(start, setup, 5).module), before)


def test_a_constant_column_keeps_its_density():
    noise = noise_of(fitted(np.c_[curve(30, noise=1.0), np.full(30, 7.0)]).module)
    assert noise[5] == pytest.approx(1e-12)
    assert (noise[:5] > 1e-3).all()


def test_the_noise_is_not_below_that_of_the_rows_trained_on():
    # Collapsed at the start: the folds leave it, the training on all rows may not.
    start, setup = make_setup(PCA(10).fit_transform(load_digits().data[::2]), epochs=100)
    module = fit_cross_validated(start, setup, 5).module
    z = module.encoder(setup.rows).mean
    residuals = (setup.rows - module.decoder(z).mean).square().mean(0)
    # The residuals of drawn codes are larger still.
    assert (torch.as_tensor(noise_of(module)) >= 0.99 * residuals).all()


# -- the choice -----------------------------------------------------------------------


class PartlyLost(Scripted):
    """Of an epoch whose loss is not finite one row is lost; others look better than ever."""

    def __call__(self, module, x, eps, n_samples, beta):
        bound = super().__call__(module, x, eps, n_samples, beta)
        if module.training or bound.value.isfinite().all():
            return bound
        first = torch.arange(x.shape[-2]) == 0
        return bound._replace(value=torch.where(first, bound.value, 100.0))


def epochs_chosen(bound):
    n_epochs = len(bound.losses) - 1
    # A fixed noise: no residuals of the held-out rows take part.
    start, setup = make_setup(
        curve(30),
        epochs=n_epochs,
        likelihood=Gaussian(0.5),
        bound=bound,
        network=ONE_BY_ONE,
    )
    result = fit_cross_validated(start, setup, 5)
    # What is kept is the start where no epoch is better; one epoch is done all the same.
    at_start = torch.equal(state(start(setup.rows)), state(result.module))
    epochs = 0 if at_start else len(result.history["loss"])
    assert len(result.history["loss"]) == max(epochs, 1)
    assert result.best_score == -bound.losses[epochs]
    assert result.stopped_early == (epochs < n_epochs)
    return epochs


@pytest.mark.parametrize(
    ("losses", "epochs"),
    [
        ([5, 4, 3, 2], 3),
        ([1, 2, 3], 0),
        ([5, 3, 1, 2, 3, 4], 2),
        ([5, 1, 1, 1], 1),
        ([2, 2, 2], 0),
    ],
)
def test_the_first_epoch_that_is_best_is_chosen(losses, epochs):
    assert epochs_chosen(Scripted(losses)) == epochs


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("bound", [Scripted, PartlyLost])
@pytest.mark.parametrize(
    ("losses", "epochs"),
    [
        ([5, 3, 1, None], 2),
        ([5, None, 1, 2], 2),
        ([5, None, None, None], 0),
    ],
)
def test_an_epoch_that_diverged_is_not_chosen_and_hides_no_other(losses, epochs, bound, value):
    losses = [value if loss is None else loss for loss in losses]
    assert epochs_chosen(bound(losses)) == epochs


def test_what_has_no_finite_loss_even_at_the_start_is_refused():
    with pytest.raises(ValueError, match="Training diverged: the loss is nan"):
        fitted(curve(30), bound=Scripted([np.nan] * 4), likelihood=Gaussian(0.5))


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_with_importance_samples_the_folds_are_scored_by_the_bound_itself(
    posterior, quick, iris
):
    model = quick(
        objective="iwae", n_samples=20, posterior=posterior, max_iter=40, early_stopping="cv"
    ).fit(iris)
    start = quick(posterior=posterior, max_iter=0).fit(iris)
    # A bound that took the residuals' noise for its own came out at +73 nats.
    assert abs(model.best_validation_score_ - start.score(iris)) < 1
    assert model.score(iris) >= start.score(iris)
