"""The weight of the KL term: fixed by beta, and rising in a warm-up."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch

from skvae import VAETransformer
from skvae.data.units import Units
from skvae.likelihoods import Gaussian
from skvae.model.modules import build_vae
from skvae.model.objectives import elbo
from skvae.networks import MLP
from skvae.posteriors import Diagonal
from skvae.training.fit import Stopping, fit_hold_out
from skvae.training.loop import Plan
from skvae.training.recipe import Recipe

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


class Watch:
    """An objective that notes the weights of training and of judging."""

    def __init__(self):
        self.trained, self.judged = [], []

    def __call__(self, module, x, eps, n_samples, beta):
        (self.trained if module.training else self.judged).append(beta)
        return elbo(module, x, eps, n_samples, beta)


class Worse:
    """An objective whose held-out bound falls with every judgement."""

    def __init__(self):
        self.calls = 0

    def __call__(self, module, x, eps, n_samples, beta):
        bound = elbo(module, x, eps, n_samples, beta)
        if module.training:
            return bound
        self.calls += 1
        return bound._replace(value=torch.full_like(bound.value, -float(self.calls)))


def make_recipe(objective, epochs, **fields):
    """Return a recipe of one step an epoch, and rows that are held out."""
    rows = torch.randn(40, 4, generator=torch.Generator().manual_seed(9))

    def start(rows, seed):
        generator = torch.Generator().manual_seed(seed)
        parts = (MLP((5,)), Gaussian(), Diagonal())
        return build_vae(*parts, rows, Units.identity(4), 2, None, generator)

    return Recipe(start, objective, 1, Plan(epochs, 40, 3e-3, 0.01), rows, 0, **fields), rows


def fit(recipe, rows, patience=1000):
    stopping = Stopping(True, 0.2, patience, 0.0)
    return fit_hold_out(recipe, torch.arange(len(recipe.rows)), rows, stopping)


# -- the weight of each epoch -----------------------------------------------------------


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("kl_warmup", [0, 1, 4])
def test_the_weight_rises_from_zero_to_beta_in_the_warm_up(beta, kl_warmup):
    watch = Watch()
    fit(*make_recipe(watch, 8, beta=beta, kl_warmup=kl_warmup))
    ramp = [beta * epoch / kl_warmup for epoch in range(kl_warmup)]
    assert watch.trained == pytest.approx(ramp + [beta] * (8 - kl_warmup))
    assert all(small < large for small, large in pairwise(watch.trained[: kl_warmup + 1]))


@pytest.mark.parametrize("kl_warmup", [0, 4])
def test_held_out_rows_are_judged_by_the_full_weight(kl_warmup):
    watch = Watch()
    fit(*make_recipe(watch, 8, beta=2.0, kl_warmup=kl_warmup))
    assert set(watch.judged) == {2.0}
    assert len(watch.judged) == 9


# -- early stopping -------------------------------------------------------------------


@pytest.mark.parametrize("kl_warmup", [0, 3, 10])
@pytest.mark.parametrize("patience", [1, 4])
def test_patience_is_counted_from_the_end_of_the_warm_up(kl_warmup, patience):
    outcome = fit(*make_recipe(Worse(), 30, kl_warmup=kl_warmup), patience)
    assert outcome.stopped_early
    assert len(outcome.history["loss"]) == kl_warmup + patience


def test_no_state_of_the_warm_up_is_kept():
    class BestInTheWarmUp(Worse):
        """Its best judgement falls into the warm-up, its second best after it."""

        def __call__(self, module, x, eps, n_samples, beta):
            bound = super().__call__(module, x, eps, n_samples, beta)
            if module.training:
                return bound
            score = {3: 9.0, 8: 5.0}.get(self.calls, 0.0)
            return bound._replace(value=torch.full_like(bound.value, score))

    outcome = fit(*make_recipe(BestInTheWarmUp(), 10, kl_warmup=5))
    assert outcome.best_score == 5.0


def test_an_estimator_does_not_stop_in_its_warm_up(iris):
    vae = VAETransformer(max_iter=60, kl_warmup=40, n_iter_no_change=1, tol=1e3)
    vae.set_params(early_stopping=True, random_state=0).fit(iris)
    assert vae.n_iter_ == 41


# -- at the level of the estimator ----------------------------------------------------


@pytest.mark.parametrize("kl_warmup", [3, 4])
def test_a_warm_up_as_long_as_the_training_is_warned_of(kl_warmup, iris, quick):
    message = rf"kl_warmup={kl_warmup} lasts as long as the training or longer.*3 epochs"
    with pytest.warns(UserWarning, match=message) as caught:
        quick(kl_warmup=kl_warmup).fit(iris)
    assert len([w for w in caught if "kl_warmup" in str(w.message)]) == 1


@pytest.mark.parametrize(("kl_warmup", "max_iter"), [(2, 3), (0, 3), (5, 0)])
def test_a_shorter_warm_up_is_not(kl_warmup, max_iter, iris, quick):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message=".*has not converged")
        quick(kl_warmup=kl_warmup, max_iter=max_iter).fit(iris)


def test_the_first_epoch_of_a_warm_up_has_no_divergence_in_its_loss(iris, quick):
    history = quick(kl_warmup=2, beta=3.0).fit(iris).history_
    for epoch, weight in enumerate([0, 1.5, 3]):
        expected = weight * history["kl"][epoch] - history["reconstruction"][epoch]
        assert history["loss"][epoch] == pytest.approx(expected, rel=1e-5)


def test_what_continues_is_past_its_warm_up(iris, quick):
    vae = quick(kl_warmup=2, warm_start=True).fit(iris).fit(iris)
    history = {name: values[3:] for name, values in vae.history_.items()}
    expected = history["kl"] - history["reconstruction"]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("objective", ["elbo", "monte_carlo", "iwae"])
def test_a_larger_beta_gives_a_smaller_divergence(objective, iris, quick):
    settings = {"objective": objective, "n_samples": 2, "max_iter": 30}
    divergences = [
        quick(beta=beta, **settings).fit(iris).elbo(iris).kl.mean() for beta in (0.1, 1.0, 10.0)
    ]
    assert all(larger > smaller for larger, smaller in pairwise(divergences))


def test_scores_are_not_weighted(iris, quick):
    start = [quick(beta=beta, max_iter=0).fit(iris) for beta in (1.0, 10.0)]
    np.testing.assert_array_equal(*(vae.score_samples(iris) for vae in start))
    np.testing.assert_array_equal(*(vae.elbo(iris).value for vae in start))


@pytest.mark.parametrize(
    ("name", "value"),
    [("beta", -0.5), ("beta", "one"), ("kl_warmup", -1), ("kl_warmup", 2.5)],
)
def test_bad_weights_are_refused_by_name(name, value, iris, quick):
    with pytest.raises(ValueError, match=f"'{name}' parameter of VAETransformer"):
        quick(**{name: value}).fit(iris)
