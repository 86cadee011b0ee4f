"""What a training is given: the plan, what ends it, random numbers, the KL term's weight."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from setup_cases import Scripted, make_setup

from skvae.model.objectives import OBJECTIVES
from skvae.randomness import RandomStreams
from skvae.training import gradients as gradients_module
from skvae.training.fit import fit_model
from skvae.training.setup import FEW_ROWS, Plan, Stopping

# -- the plan -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_rows", "size", "epochs"),
    # 600 or 6000 steps, in 10 to 400 or to 200 epochs.
    [
        (2, 2, 400),
        (100, 64, 300),
        (999, 64, 37),
        (1000, 128, 200),
        (60_000, 128, 12),
        (10**7, 128, 10),
    ],
)
def test_the_automatic_plan_is_a_number_of_steps(n_rows, size, epochs):
    automatic = Plan.for_rows(n_rows, "auto", "auto", 0.1, 0.2)
    assert automatic == Plan(epochs, size, 0.1, 0.2)


def test_smaller_batches_of_a_network_change_no_epochs():
    for n_rows in (100, 5000, 60_000):
        plain, smaller = (
            Plan.for_rows(n_rows, "auto", "auto", 0.1, 0.2, size) for size in (128, 64)
        )
        assert smaller.epochs == plain.epochs
        assert smaller.batch_size == 64
    # Steps of a size that the user gives are counted as they are.
    assert Plan.for_rows(60_000, 64, "auto", 0.1, 0.2, 64).epochs == 10


def test_the_automatic_rate_is_higher_for_few_rows():
    rates = [
        Plan.for_rows(n_rows, "auto", "auto", "auto", 0.2).learning_rate
        for n_rows in (FEW_ROWS - 1, FEW_ROWS)
    ]
    assert rates == [8e-3, 5e-3]


def test_a_plan_keeps_the_numbers_given():
    assert Plan.for_rows(5000, 32, 7, 0.1, 0.2) == Plan(7, 32, 0.1, 0.2)
    assert Plan.for_rows(5000, "auto", 0, 0.1, 0.2).epochs == 0


def test_a_batch_is_no_larger_than_the_rows():
    assert Plan.for_rows(10, 64, 7, 0.1, 0.2).batch_size == 10


# -- what ends the training -----------------------------------------------------------


@pytest.mark.parametrize(
    ("early_stopping", "mode", "mode_of_few_rows"),
    [
        ("auto", "hold_out", "cv"),
        ("cv", "cv", "cv"),
        (True, "hold_out", "hold_out"),
        (False, "all", "all"),
    ],
)
def test_the_number_of_rows_decides_in_automatic_mode_only(
    early_stopping, mode, mode_of_few_rows
):
    for n_rows, expected in ((FEW_ROWS - 1, mode_of_few_rows), (FEW_ROWS, mode)):
        assert Stopping.choose_mode(early_stopping, (n_rows, 4), 5, False, False) == expected
        # Cross-validation would evaluate rows that a model that continues has seen.
        continued = "all" if expected == "cv" else expected
        assert Stopping.choose_mode(early_stopping, (n_rows, 4), 5, False, True) == continued
        # The caller's own validation rows come first.
        assert Stopping.choose_mode(early_stopping, (n_rows, 4), 5, True, False) == "hold_out"
        assert Stopping.choose_mode(early_stopping, (n_rows, 4), 0, True, False) == "all"


def test_wide_tables_are_not_cross_validated_in_automatic_mode():
    for shape in ((300, 999), (26, 1000)):
        assert Stopping.choose_mode("auto", shape, 5, False, False) == "hold_out"
        assert Stopping.choose_mode("cv", shape, 5, False, False) == "cv"
    assert Stopping.choose_mode("auto", (26, 999), 5, False, False) == "cv"


# -- random numbers -------------------------------------------------------------------


def test_streams_repeat_and_differ():
    def draws(streams, *stream):
        return tuple(torch.randn(5, generator=streams.generator(*stream)).tolist())

    once, again = RandomStreams(7), RandomStreams(7)
    named = [(name,) for name in ("held-out draws", "draws", "order", "held-out rows")]
    named += [(name, k) for name in ("fold draws", "fold order") for k in range(5)]
    assert all(draws(once, *stream) == draws(again, *stream) for stream in named)
    every = {
        draws(streams, *stream) for stream in named for streams in (once, RandomStreams(8))
    }
    every |= {draws(RandomStreams(7, epochs_before=3), *stream) for stream in named}
    assert len(every) == 3 * len(named)


# -- the loss -------------------------------------------------------------------------


@pytest.mark.parametrize("bound", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("n_samples", [1, 3])
def test_the_loss_is_minus_the_mean_bound_with_its_parts(bound, n_samples):
    start, setup = make_setup(bound=bound, n_samples=n_samples)
    module = start(setup.rows)
    terms = torch.stack(setup.loss_terms(module)(setup.rows, 0))
    shape = (n_samples, len(setup.rows), module.latent_dim)
    eps = torch.randn(shape, generator=setup.streams.generator("draws"))
    value, reconstruction, kl = bound(module, setup.rows, eps, n_samples)
    expected = torch.stack([-value.mean(), reconstruction.mean(), kl.mean()])
    torch.testing.assert_close(terms, expected)


def test_each_step_has_its_own_draws():
    start, setup = make_setup()
    terms = setup.loss_terms(start(setup.rows))
    assert terms(setup.rows, 0)[0] != terms(setup.rows, 0)[0]


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("kl_warmup", [0, 1, 4])
def test_the_kl_terms_weight_rises_from_zero_to_beta_in_the_warm_up(
    beta, kl_warmup, monkeypatch
):
    # What is recorded calls the bound no more.
    monkeypatch.setattr(gradients_module, "_PATIENCE", 100)
    bound = Scripted(np.ones(9))
    start, setup = make_setup(
        epochs=8, batch_size=60, bound=bound, beta=beta, kl_warmup=kl_warmup
    )
    fit_model(start, setup, Stopping("hold_out", 0.2, 100, 0.0), setup.rows[:20])
    ramp = [beta * epoch / kl_warmup for epoch in range(kl_warmup)]
    assert bound.betas[True] == pytest.approx(ramp + [beta] * (8 - kl_warmup))
    # Held-out rows are evaluated under the full weight.
    assert bound.betas[False] == [beta] * 9


# -- the warm-up of an estimator ------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kl_warmup", [3, 4])
def test_a_warm_up_as_long_as_the_training_is_warned_of(kl_warmup, iris, quick):
    message = rf"kl_warmup={kl_warmup} lasts as long as the training.*3 epochs.*beta\.$"
    with pytest.warns(UserWarning, match=message) as caught:
        quick(kl_warmup=kl_warmup).fit(iris)
    assert [w.filename for w in caught if "kl_warmup" in str(w.message)] == [__file__]


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("early_stopping", [True, "cv"])
def test_early_stopping_then_keeps_the_start_and_the_warning_says_so(
    early_stopping, iris, quick
):
    model = quick(kl_warmup=3, early_stopping=early_stopping, init="random")
    with pytest.warns(UserWarning, match="lasts as long.*the model stays at its start"):
        model.fit(iris)
    assert model.best_validation_score_ < min(model.validation_scores_)


@pytest.mark.parametrize(("kl_warmup", "max_iter"), [(2, 3), (0, 3), (5, 0)])
def test_a_shorter_warm_up_is_not(kl_warmup, max_iter, iris, quick):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message=".*has not converged")
        quick(kl_warmup=kl_warmup, max_iter=max_iter).fit(iris)


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
def test_the_first_epoch_of_a_warm_up_has_no_divergence_in_its_loss(iris, quick):
    history = quick(kl_warmup=2, beta=3.0).fit(iris).history_
    for epoch, weight in enumerate([0, 1.5, 3]):
        expected = weight * history["kl"][epoch] - history["reconstruction"][epoch]
        assert history["loss"][epoch] == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
def test_what_continues_is_past_its_warm_up(iris, quick):
    vae = quick(kl_warmup=2, warm_start=True).fit(iris).fit(iris)
    history = {name: values[3:] for name, values in vae.history_.items()}
    expected = history["kl"] - history["reconstruction"]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
def test_a_warm_up_that_was_cut_short_goes_on(iris, quick):
    vae = quick(kl_warmup=5, beta=2.0, warm_start=True)
    with pytest.warns(UserWarning, match=r"kl_warmup=5 lasts .*max_iter gives 3 epochs\)"):
        vae.fit(iris)
    vae.set_params(max_iter=2)
    with pytest.warns(UserWarning, match=r"kl_warmup=5 lasts .*gives 2 epochs after 3\)"):
        vae.fit(iris)
    vae.fit(iris)
    weights = 2.0 * np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 1])
    expected = weights * vae.history_["kl"] - vae.history_["reconstruction"]
    np.testing.assert_allclose(vae.history_["loss"], expected, rtol=1e-5)


def test_a_single_pass_has_no_warm_up(iris, quick):
    history = quick(kl_warmup=5).partial_fit(iris).partial_fit(iris).history_
    expected = history["kl"] - history["reconstruction"]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("objective", OBJECTIVES)
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
