"""Choosing the number of epochs: honest folds, the best epoch, the held-out noise."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold

from skvae.data.units import Units
from skvae.likelihoods import LIKELIHOODS, Gaussian
from skvae.model.modules import build_vae, start_affine
from skvae.model.objectives import elbo
from skvae.model.stack import Stack
from skvae.networks import MLP
from skvae.posteriors import Diagonal
from skvae.training.cross_validation import (
    Fold,
    check_folds,
    fit_cross_validated,
    held_out_noise,
)
from skvae.training.loop import Plan
from skvae.training.recipe import Recipe


class Witness:
    """An objective that notes which rows each module was trained on and judged by."""

    def __init__(self):
        self.modules, self.trained, self.judged = [], [], []

    def __call__(self, module, x, eps, n_samples, beta):
        if not any(module is seen for seen in self.modules):
            self.modules.append(module)
            self.trained.append(set())
            self.judged.append(set())
        number = next(i for i, seen in enumerate(self.modules) if seen is module)
        (self.trained if module.training else self.judged)[number] |= set(x[:, 0].tolist())
        return elbo(module, x, eps)


def data(n, noise=1.0):
    """A curve in five columns, with noise."""
    rng = np.random.RandomState(0)
    t = rng.uniform(-2, 2, n)
    return np.c_[t, t**2, np.sin(2 * t), t, -t] + noise * rng.standard_normal((n, 5))


def make_recipe(X, epochs=3, likelihood=None, learning_rate=3e-3, seed=0, objective=elbo):
    likelihood = Gaussian() if likelihood is None else likelihood
    units = likelihood.units(X)
    rows = torch.as_tensor(units.to_model(X, np.float32))

    def start(rows, seed):
        # An objective that looks at the modules needs them one by one: dropout, of next to
        # nothing, keeps them from being trained as a stack.
        network = MLP((8,), dropout=0.0 if objective is elbo else 1e-12)
        parts = (network, likelihood, Diagonal())
        generator = torch.Generator().manual_seed(seed)
        vae = build_vae(*parts, rows, units, 1, None, generator)
        start_affine(vae, likelihood.linear_start(rows, 1, units))
        return vae

    plan = Plan(epochs, min(32, len(X)), learning_rate, 0.01)
    return Recipe(start, objective, 1, plan, rows, seed)


def state(outcome):
    return torch.cat([value.double().ravel() for value in outcome.module.state_dict().values()])


# -- the folds ------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "n_splits"), [(30, 5), (33, 5), (6, 3)])
def test_every_row_is_judged_by_one_module_that_has_not_seen_it(n, n_splits):
    witness = Witness()
    recipe = make_recipe(data(n), objective=witness)
    fit_cross_validated(recipe, n_splits)
    every = set(recipe.rows[:, 0].tolist())
    folds = list(zip(witness.trained, witness.judged, strict=True))[:n_splits]
    for trained, judged in folds:
        assert trained == every - judged
    assert sum(len(judged) for _, judged in folds) == n
    assert set.union(*(judged for _, judged in folds)) == every


def test_the_start_of_a_fold_comes_from_its_training_rows_alone():
    recipe, starts = make_recipe(data(30)), []
    start = recipe.start

    def spy(rows, seed):
        starts.append(rows)
        return start(rows, seed)

    object.__setattr__(recipe, "start", spy)
    fit_cross_validated(recipe, 5)
    assert [len(rows) for rows in starts] == [24] * 5 + [30]


def test_the_final_training_is_on_all_rows_for_the_epochs_chosen():
    witness = Witness()
    recipe = make_recipe(data(80, noise=0.05), epochs=40, objective=witness)
    outcome = fit_cross_validated(recipe, 5)
    epochs = len(outcome.history["loss"])
    # A curve with little noise: its training must pay.
    assert epochs > 0
    assert witness.modules[-1] is outcome.module
    assert witness.trained[-1] == set(recipe.rows[:, 0].tolist())
    assert len(outcome.history["validation_loss"]) == epochs
    assert outcome.stopped_early == (epochs < 40)
    assert outcome.best_score == pytest.approx(-outcome.history["validation_loss"][-1])


def test_a_training_that_diverges_leaves_the_start():
    recipe = make_recipe(data(40), learning_rate=1e3)
    outcome = fit_cross_validated(recipe, 5)
    weights = recipe.start(recipe.rows, recipe.seed).state_dict()
    for name, value in outcome.module.state_dict().items():
        if not name.endswith("log_scale"):
            assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("learning_rate", [1e6, 1e12, 1e30])
def test_a_training_that_overflows_leaves_a_finite_model(learning_rate):
    outcome = fit_cross_validated(make_recipe(data(40), learning_rate=learning_rate), 5)
    assert state(outcome).isfinite().all()
    assert np.isfinite(outcome.best_score)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_two_rows_are_enough_for_any_likelihood(likelihood):
    X = np.eye(2, 5)
    outcome = fit_cross_validated(make_recipe(X, likelihood=LIKELIHOODS[likelihood]()), 2)
    assert state(outcome).isfinite().all()


def test_the_same_seed_gives_the_same_bits_and_leaves_the_global_generators():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    outcomes = [
        fit_cross_validated(make_recipe(data(60, noise=0.05), 30, seed=seed), 5)
        for seed in (0, 0, 1)
    ]
    first, second, other = map(state, outcomes)
    assert torch.equal(first, second)
    assert outcomes[0].history == outcomes[1].history
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


# -- the noise ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_the_held_out_loss_is_its_parts_however_far_off_the_module_is(size):
    # Under its own noise a module that diverged gives each row some -1e12 nats: they must
    # not be added and taken off again, which leaves only their rounding.
    recipe = make_recipe(data(30))
    fold = Fold(recipe, np.arange(20), np.arange(20, 30), 10)
    torch.nn.init.constant_(fold.module.decoder.body.output.bias, size)
    terms = check_folds([fold]).terms.double()
    torch.testing.assert_close(terms[:, 0], terms[:, 2] - terms[:, 1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("noise", ["per_feature", "isotropic"])
def test_the_noise_comes_from_held_out_rows_and_is_larger(noise):
    # On 15 rows the training residuals are far too small.
    recipe = make_recipe(data(15), likelihood=Gaussian(noise), learning_rate=1e-6)
    before = recipe.start(recipe.rows, recipe.seed).decoder.head.noise_variance()
    after = fit_cross_validated(recipe, 5).module.decoder.head.noise_variance()
    assert after.mean() > before.mean()
    assert len(set(after)) == (1 if noise == "isotropic" else 5)


def test_a_fixed_noise_stays():
    recipe = make_recipe(data(30), likelihood=Gaussian(0.5))
    before = recipe.start(recipe.rows, recipe.seed).decoder.head.noise_variance()
    after = fit_cross_validated(recipe, 5).module.decoder.head.noise_variance()
    np.testing.assert_array_equal(after, before)


def test_a_constant_column_keeps_its_density():
    recipe = make_recipe(np.c_[data(30), np.full(30, 7.0)])
    noise = fit_cross_validated(recipe, 5).module.decoder.head.noise_variance()
    assert noise[5] == pytest.approx(1e-12)
    assert (noise[:5] > 1e-3).all()


def residual_table(scales, n_rows, seed, n_folds=5):
    """Return squared residuals (n_rows, n_features), and the same by folds."""
    rng = np.random.RandomState(seed)
    rows = torch.as_tensor((rng.standard_normal((n_rows, len(scales))) * scales) ** 2)
    return rows, rows.chunk(n_folds)


def noise_head(noise, n_features):
    return Gaussian(noise).head(Units.identity(n_features))


@pytest.mark.parametrize("n_rows", [15, 998])
def test_noises_that_differ_clearly_are_each_features_own(n_rows):
    rows, folds = residual_table([0.01, 1.0, 100.0], n_rows=n_rows, seed=0)
    noise = held_out_noise(noise_head("per_feature", 3), folds)
    torch.testing.assert_close(noise, rows.mean(0))


def test_many_rows_are_hardly_drawn_together():
    rows, folds = residual_table(np.ones(3), n_rows=1500, seed=0)
    noise = held_out_noise(noise_head("per_feature", 3), folds)
    # At most a hundredth of the way: 15 of 1500 rows.
    span = rows.mean(0).log().max() - rows.mean(0).log().min()
    assert (noise.log() - rows.mean(0).log()).abs().max() <= 0.01 * span


def test_noises_that_few_rows_cannot_tell_apart_are_drawn_together():
    own, drawn = [], []
    for seed in range(30):
        rows, folds = residual_table(np.ones(8), n_rows=10, seed=seed)
        own.append(rows.mean(0).log().std())
        drawn.append(held_out_noise(noise_head("per_feature", 8), folds).log().std())
    # All are one in truth. No table may be made worse, most are made better.
    assert all(ours <= theirs + 1e-12 for ours, theirs in zip(drawn, own, strict=True))
    assert np.mean(drawn) < 0.5 * np.mean(own)


def test_an_isotropic_noise_is_the_mean_of_the_residuals():
    # There is nothing to draw together: one noise for all is the likeliest at the mean.
    for seed in range(20):
        rows, folds = residual_table(np.ones(5), n_rows=10, seed=seed)
        head = noise_head("isotropic", 5)
        head.set_noise(held_out_noise(head, folds).float())
        np.testing.assert_allclose(head.noise_variance(), rows.mean(), rtol=1e-5)


# -- the choice -----------------------------------------------------------------------


class Scripted:
    """An objective whose held-out loss after each epoch is written down beforehand."""

    def __init__(self, losses, bad_rows=None):
        self.losses, self.bad_rows, self.steps = losses, bad_rows, {}

    def __call__(self, module, x, eps, n_samples, beta):
        bound = elbo(module, x, eps)
        # Few rows are one batch: a step is an epoch. The module is kept with its count.
        _, steps = self.steps.get(id(module), (module, 0))
        if module.training:
            self.steps[id(module)] = module, steps + 1
            return bound
        value = torch.full_like(bound.value, -self.losses[steps])
        if self.bad_rows is not None and not value.isfinite().all():
            # Only some rows are lost, the others look better than ever.
            value = torch.where(torch.arange(len(x)) < self.bad_rows, value, 100.0)
        return bound._replace(value=value)


def epochs_chosen(losses, bad_rows=None):
    # A fixed noise: no residuals of the held-out rows take part.
    objective, fixed = Scripted(losses, bad_rows), Gaussian(0.5)
    recipe = make_recipe(data(30), len(losses) - 1, likelihood=fixed, objective=objective)
    outcome = fit_cross_validated(recipe, 5)
    # What is kept is the start where no epoch is better; one epoch is done all the same.
    start = recipe.start(recipe.rows, recipe.seed).state_dict().values()
    kept = outcome.module.state_dict().values()
    at_start = all(torch.equal(a, b) for a, b in zip(start, kept, strict=True))
    epochs = 0 if at_start else len(outcome.history["loss"])
    assert len(outcome.history["loss"]) == max(epochs, 1)
    assert outcome.best_score == -losses[epochs]
    assert outcome.stopped_early == (epochs < recipe.plan.epochs)
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
    assert epochs_chosen(losses) == epochs


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("bad_rows", [None, 1])
@pytest.mark.parametrize(
    ("losses", "epochs"),
    [
        ([5, 3, 1, None], 2),
        ([5, None, 1, 2], 2),
        ([5, None, None, None], 0),
    ],
)
def test_an_epoch_that_diverged_is_not_chosen_and_hides_no_other(
    losses, epochs, bad_rows, value
):
    losses = [value if loss is None else loss for loss in losses]
    assert epochs_chosen(losses, bad_rows) == epochs


@pytest.mark.parametrize("n", [30, 33, 334])
@pytest.mark.parametrize("noise", ["per_feature", 0.5])
def test_a_stack_is_judged_as_its_members_are(n, noise):
    recipe = make_recipe(data(n), likelihood=Gaussian(noise))
    splits = KFold(5, shuffle=True, random_state=0).split(recipe.rows)
    folds = [Fold(recipe, *split, -(-n // 5)) for split in splits]
    alone = check_folds(folds)
    together = check_folds(folds, Stack([fold.module for fold in folds]))
    torch.testing.assert_close(together.terms, alone.terms)
    assert together.terms.shape == (n, 3)
    if noise == "per_feature":
        torch.testing.assert_close(together.noise, alone.noise)


def test_the_noise_is_not_below_that_of_the_rows_trained_on():
    # Collapsed at the start: the folds leave it, the training on all rows may not.
    X = PCA(10).fit_transform(load_digits().data[::2])
    recipe = make_recipe(X, epochs=100)
    module = fit_cross_validated(recipe, 5).module
    z = module.encoder(recipe.rows).mean
    residuals = (recipe.rows - module.decoder(z).mean).square().mean(0)
    noise = torch.as_tensor(module.decoder.head.noise_variance())
    # The residuals of drawn codes are larger still.
    assert (noise >= 0.99 * residuals).all()


def test_what_has_no_finite_loss_even_at_the_start_is_refused():
    def lost(module, x, eps, n_samples, beta):
        bound = elbo(module, x, eps)
        return bound._replace(value=bound.value * np.nan)

    recipe = make_recipe(data(30), objective=lost, likelihood=Gaussian(0.5))
    with pytest.raises(ValueError, match="learning_rate_init"):
        fit_cross_validated(recipe, 5)
