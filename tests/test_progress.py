"""The progress of a training: printed lines, and Ctrl-C.

The first Ctrl-C keeps the best state so far; a second one, or one in a search, ends the fit.
"""

import signal
import threading

import numpy as np
import pytest
from callback_cases import Recorder, path_of
from helpers import assert_same, outputs
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AutoencoderTransformer, VAETransformer
from skvae.display import LatentGridFilm
from skvae.training.progress import Progress, stopping_when
from skvae.training.result import LogJacobians
from skvae.training.steps import Steps

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

MODES = {
    "all": ({"early_stopping": False}, [("epoch", 2)]),
    "hold-out": ({"early_stopping": True}, [("epoch", 2)]),
    "folds": ({"early_stopping": "cv"}, [("cross-validation", 0), ("epoch", 2)]),
    "final": ({"early_stopping": "cv"}, [("final training", 1), ("epoch", 2)]),
}
each_mode = pytest.mark.parametrize(("parameters", "when"), MODES.values(), ids=list(MODES))
each_estimator = pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])
interrupted = pytest.warns(UserWarning, match="Training interrupted by user")


class CtrlC(Recorder):
    """Presses Ctrl-C at the end of one task, perhaps more than once."""

    def __init__(self, when, times=1, first_epoch_tasks=0):
        super().__init__()
        self.when, self.times, self.first_epoch_tasks = when, times, first_epoch_tasks

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        if path_of(context)[-len(self.when) :] == self.when:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _pythons_own_handler():
    """Handle Ctrl-C as Python does: in the background of a shell it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    after = signal.signal(signal.SIGINT, before)
    assert after is signal.default_int_handler


# -- printed lines --------------------------------------------------------------------


def test_each_epoch_is_one_line_in_the_units_of_the_data(capsys):
    progress = Progress(LogJacobians(10.0, 20.0))
    progress.end_epoch({"loss": [5.0], "kl": [1.0]})
    progress.end_epoch({"loss": [6.0]}, prints=False)
    progress.end_epoch({"loss": [5.0, 4.0], "validation_loss": [7.0, 6.0]})
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 1, loss = -5.0000",
        "Epoch 2, loss = -6.0000, validation_loss = -14.0000",
    ]


@pytest.mark.parametrize("early_stopping", [True, False, "cv"])
def test_a_verbose_fit_prints_its_history(early_stopping, quick, iris, capsys):
    model = quick(early_stopping=early_stopping, verbose=True).fit(iris)
    names = ["loss", "validation_loss"] if early_stopping else ["loss"]
    assert capsys.readouterr().out.splitlines() == [
        ", ".join([f"Epoch {k + 1}", *(f"{n} = {model.history_[n][k]:.4f}" for n in names)])
        for k in range(model.n_iter_)
    ]
    quick(early_stopping=early_stopping).fit(iris)
    assert capsys.readouterr().out == ""


# -- the first Ctrl-C -----------------------------------------------------------------


@each_mode
@each_estimator
def test_the_estimator_is_fitted_and_every_task_has_ended(
    estimator, parameters, when, quick, iris
):
    press = CtrlC(when)
    X = iris / 8
    model = quick(estimator, max_iter=12, likelihood="bernoulli", **parameters)
    with interrupted as caught:
        model.set_callbacks(press).fit(X)
    assert len(caught) == 1  # and not that it has not converged
    assert press.ended[-1] == [("fit", 0)]
    assert sorted(press.begun) == sorted(press.ended)
    assert press.lives == ["setup", "teardown"]
    assert {len(values) for values in model.history_.values()} == {model.n_iter_}
    # Cut short in the final training, the record is that of the folds.
    assert model.n_iter_ == (12 if when[0][0] == "final training" else 3)
    assert np.isfinite(model.score(X))
    model.set_callbacks().set_params(warm_start=True, max_iter=2).fit(X)


@each_mode
def test_the_best_state_so_far_is_kept(parameters, when, quick, iris):
    model = quick(max_iter=12, likelihood="bernoulli", **parameters)
    with interrupted:
        model.set_callbacks(CtrlC(when)).fit(iris / 8)
    start = quick(max_iter=0, likelihood="bernoulli").fit(iris / 8)
    assert model.score(iris / 8) > start.score(iris / 8)
    if model.validation_scores_:
        assert model.best_validation_score_ == max(model.validation_scores_)


@pytest.mark.parametrize("name", ["hold-out", "folds"])
def test_the_start_is_kept_while_nothing_is_better(name, quick, iris):
    # At such a rate the first epochs are far worse than the closed form.
    parameters, when = MODES[name]
    model = quick(max_iter=12, learning_rate_init=5.0, **parameters)
    with interrupted:
        model.set_callbacks(CtrlC(when)).fit(iris)
    start = quick(max_iter=0).fit(iris)
    np.testing.assert_array_equal(model.transform(iris), start.transform(iris))
    assert model.best_validation_score_ > max(model.validation_scores_)


def test_within_an_epoch_training_stops_after_the_step(quick, digits):
    press = CtrlC([("epoch", 0), ("steps", 1)], first_epoch_tasks=4)
    model = quick(max_iter=5).set_callbacks(press)
    with interrupted:
        model.fit(digits[:640])
    assert model.n_iter_ == 1
    # The first and the second step of ten.
    assert {entry["step"].item() for entry in model._moments.values()} == {2}
    assert sorted(press.begun) == sorted(press.ended)


def test_before_the_first_epoch_one_step_is_made(quick, digits):
    class AtOnce(Recorder):
        first_epoch_tasks = 4

        def on_fit_task_begin(self, estimator, context):
            super().on_fit_task_begin(estimator, context)
            if context.task_name == "fit":
                signal.raise_signal(signal.SIGINT)

    seen = AtOnce()
    model = quick(max_iter=5).set_callbacks(seen)
    with interrupted:
        model.fit(digits[:640])
    assert {entry["step"].item() for entry in model._moments.values()} == {1}
    # The open subtask of the epoch is ended too.
    assert sorted(seen.begun) == sorted(seen.ended)


@pytest.mark.parametrize(
    ("noise", "at", "steps"),
    # Together they make two steps an epoch; one by one each of the five folds makes its step.
    [(0.0, 3, 3), (0.3, 11, 15)],
)
def test_the_folds_stop_after_the_step(noise, at, steps, autoencoder, iris, monkeypatch):
    made, step = [], Steps.step

    def pressing(steps):
        made.append(steps)
        if len(made) == at:
            signal.raise_signal(signal.SIGINT)
        step(steps)

    monkeypatch.setattr(Steps, "step", pressing)
    model = autoencoder(early_stopping="cv", noise=noise, max_iter=12)
    with interrupted:
        model.fit(iris)
    assert len(made) == steps
    assert model.n_iter_ == 2


def test_a_warm_up_that_is_cut_short_is_judged_in_full(quick, iris):
    press = CtrlC([("epoch", 9)])
    model = quick(kl_warmup=20, max_iter=30, likelihood="bernoulli", early_stopping=True)
    with interrupted:
        model.set_callbacks(press).fit(iris / 8)
    assert model.best_validation_score_ == model.validation_scores_[-1]


@pytest.mark.parametrize("last", [True, False])
def test_in_a_pipeline_the_pipeline_is_fitted(last, quick, iris):
    step = quick(max_iter=12).set_callbacks(CtrlC([("epoch", 2)]))
    pipeline = make_pipeline(StandardScaler(), step, *([] if last else [StandardScaler()]))
    with interrupted:
        assert pipeline.fit(iris).transform(iris).shape == (150, 2)
    assert step.n_iter_ == 3


def test_the_film_ends_with_what_is_kept(quick, digits, tmp_path):
    image = pytest.importorskip("PIL.Image")
    film = LatentGridFilm(tmp_path / "film.gif", first_epoch=0)
    model = quick(image_shape=(8, 8), max_iter=12)
    with interrupted:
        model.set_callbacks(film, CtrlC([("epoch", 2)])).fit(digits[:100])
    with image.open(film.path) as frames:
        assert frames.n_frames == 4  # the start and three epochs


# -- those that end the fit -----------------------------------------------------------


@each_mode
def test_a_second_one_ends_the_fit_and_leaves_the_earlier_one(parameters, when, quick, iris):
    X = iris / 8
    model = quick(likelihood="bernoulli", **parameters).fit(X)
    expected = outputs(model, X[:9])
    press = CtrlC(when, times=2)
    before = vars(model.set_callbacks(press).set_params(max_iter=12)).copy()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:70])
    assert vars(model) == before
    assert press.lives == ["setup", "teardown"]
    assert_same(outputs(model, X[:9]), expected)


def test_a_second_one_while_the_film_is_written_ends_the_fit(quick, iris):
    class InTeardown(CtrlC):
        def teardown(self, estimator, context):
            signal.raise_signal(signal.SIGINT)

    model = quick().set_callbacks(InTeardown([("epoch", 1)]))
    with pytest.raises(KeyboardInterrupt):
        model.fit(iris)
    assert not model.__sklearn_is_fitted__()


@pytest.mark.parametrize("piped", [False, True])
def test_a_search_is_ended_by_the_first(piped, quick, iris):
    press = CtrlC([("epoch", 1)])
    model = quick(max_iter=12).set_callbacks(press)
    model = make_pipeline(StandardScaler(), model) if piped else model
    search = GridSearchCV(model, {}, cv=2)
    with pytest.raises(KeyboardInterrupt):
        search.fit(iris)
    assert press.lives == ["setup", "teardown"]


def test_a_refit_is_cut_short(quick, iris):
    press = CtrlC([("fit", 0), ("fit", 1), ("epoch", 1)])
    search = GridSearchCV(quick(max_iter=5).set_callbacks(press), {}, cv=2)
    with interrupted:
        search.fit(iris)
    assert search.best_estimator_.n_iter_ == 2


# -- whose Ctrl-C it is -------------------------------------------------------------------


def test_another_handler_is_left_alone(quick, iris):
    def own(number, frame):
        raise KeyboardInterrupt("the caller's own")

    before = signal.signal(signal.SIGINT, own)
    try:
        with pytest.raises(KeyboardInterrupt, match="the caller's own"):
            quick().set_callbacks(CtrlC([("epoch", 0)])).fit(iris)
    finally:
        after = signal.signal(signal.SIGINT, before)
    assert after is own


def test_in_another_thread_nothing_is_handled(quick, iris):
    handlers = []
    model = quick()

    class Look(Recorder):
        def on_fit_task_end(self, estimator, context):
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=model.set_callbacks(Look()).fit, args=(iris,))
    thread.start()
    thread.join()
    assert handlers
    assert set(handlers) == {signal.default_int_handler}
    assert model.n_iter_ == 3


def test_only_the_outermost_notes_it():
    outer, inner = Progress(), Progress()
    with outer.noting_ctrl_c(), inner.noting_ctrl_c():
        signal.raise_signal(signal.SIGINT)
    assert (outer.interrupted, inner.interrupted) == (True, False)


def test_what_was_noted_before_it_is_to_raise_is_not_lost():
    progress = Progress()
    with progress.noting_ctrl_c():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            progress.raise_on_ctrl_c()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_partial_fit_is_ended_by_the_first(quick, iris, monkeypatch):
    model = quick().partial_fit(iris)
    before, step = vars(model).copy(), Steps.step

    def pressing(steps):
        signal.raise_signal(signal.SIGINT)
        step(steps)

    monkeypatch.setattr(Steps, "step", pressing)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(iris)
    assert vars(model) == before


def test_another_process_may_end_a_training(iris, quick):
    with stopping_when(lambda: True), interrupted:
        assert quick(max_iter=50).fit(iris).n_iter_ == 1
