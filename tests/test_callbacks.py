"""Callbacks see each task once, change no bit of the training, and may fail or stop it."""

import pickle
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from callback_cases import Failing, Recorder, Stopper, User
from helpers import assert_same, outputs
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AutoencoderTransformer, VAETransformer
from skvae.callbacks import Checkpoint
from skvae.estimators.fitting import Training
from skvae.networks import MLP

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

MODES = [True, False, "cv"]
each_mode = pytest.mark.parametrize("mode", MODES)
each_estimator = pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])


def score(model, X, y):
    return model.score(X)


def epochs(*ids):
    return [("epoch", number) for number in ids]


# -- the tasks ------------------------------------------------------------------------


@each_mode
@each_estimator
def test_each_epoch_is_a_task_that_begins_and_ends_once(estimator, mode, quick, iris):
    seen = Recorder()
    model = quick(estimator, early_stopping=mode, max_iter=5).set_callbacks(seen).fit(iris)
    root = ("fit", 0)
    trained = epochs(*range(model.n_iter_))
    if mode == "cv":
        stages = [("cross-validation", 0)], [("final training", 1)]
        expected = [
            *([root, *stages[0], epoch] for epoch in epochs(*range(5))),
            [root, *stages[0]],
            *([root, *stages[1], epoch] for epoch in trained),
            [root, *stages[1]],
        ]
    else:
        expected = [[root, epoch] for epoch in trained]
    assert seen.ended == [*expected, [root]]
    assert sorted(seen.begun) == sorted(seen.ended)
    assert seen.lives == ["setup", "teardown"]
    assert seen.sizes == {"fit": 2 if mode == "cv" else 5, "epoch": 0} | (
        {"cross-validation": 5, "final training": model.n_iter_} if mode == "cv" else {}
    )


def test_early_stopping_ends_the_tasks(quick, iris):
    seen = Recorder()
    model = quick(early_stopping=True, n_iter_no_change=2, tol=100, max_iter=50)
    model.set_callbacks(seen).fit(iris)
    assert model.n_iter_ < 10
    assert len(seen.ended) == len(seen.begun) == model.n_iter_ + 1


def test_a_callback_may_have_the_first_epoch_divided(quick, digits):
    user, seen = User(), Recorder()
    quick(early_stopping="cv").set_callbacks(user, seen).fit(digits[:640])
    final = [path[2:] for path in seen.ended if ("final training", 1) in path]
    # Of ten steps the first, the second, the fifth and the last.
    steps = [[("epoch", 0), ("steps", number)] for number in range(4)]
    assert final[:5] == [*steps, epochs(0)]
    assert all("steps" not in dict(path) for path in final[5:])
    states = [model.transform(digits[:5]) for model, _ in list(user.models.values())[:4]]
    assert all((one != next_).any() for one, next_ in pairwise(states))


def test_without_epochs_the_fit_is_a_single_task(quick, iris):
    seen = Recorder()
    quick(max_iter=0).set_callbacks(seen).fit(iris)
    assert seen.ended == [[("fit", 0)]]


def test_partial_fit_calls_no_callbacks(quick, iris):
    seen = Recorder()
    quick().set_callbacks(seen).partial_fit(iris)
    assert seen.lives == seen.begun == seen.ended == []


# -- what callbacks are given ---------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        *({"early_stopping": mode} for mode in MODES),
        {"network": MLP(batch_norm=True), "posterior": "full"},
        {"estimator": AutoencoderTransformer, "noise": 0.3, "early_stopping": True},
        {"random_state": np.random.RandomState(3)},
    ],
    ids=["hold-out", "all", "cv", "batch_norm", "denoising", "generator"],
)
def test_training_takes_the_same_course_bit_by_bit(parameters, quick, iris):
    alone, seen = (quick(**pickle.loads(pickle.dumps(parameters))) for _ in range(2))
    user = User()
    seen.set_callbacks(user)
    for _ in range(2):
        assert_same(outputs(seen.fit(iris), iris[:9]), outputs(alone.fit(iris), iris[:9]))
    assert len(user.models) > seen.n_iter_


def test_a_snapshot_is_the_model_of_its_epoch_and_stays_so(quick, iris):
    user = User()
    model = quick(early_stopping=False).set_callbacks(user).fit(iris)
    for snapshot, score_then in user.models.values():
        assert snapshot.score(iris) == score_then
    last, _ = user.models[("epoch", model.n_iter_ - 1),]
    assert_same(outputs(last, iris[:9]), outputs(model, iris[:9]))
    first, _ = user.models[("epoch", 0),]
    assert first.n_iter_ == 1
    np.testing.assert_array_equal(first.loss_curve_, model.loss_curve_[:1])
    assert (first.transform(iris) != last.transform(iris)).any()


def test_cross_validated_noise_is_that_of_the_epoch(iris):
    user = User()
    model = VAETransformer(1, max_iter=30, early_stopping="cv", random_state=0)
    model.set_callbacks(user).fit(iris)
    last, _ = user.models[("final training", 1), ("epoch", model.n_iter_ - 1)]
    assert last.score(iris) == model.score(iris)


def test_snapshots_are_made_only_on_request(quick, iris, monkeypatch):
    made, fitted_attributes = [], Training.fitted_attributes

    def counted(training, result, *group):
        made.append(result)
        return fitted_attributes(training, result, *group)

    monkeypatch.setattr(Training, "fitted_attributes", counted)
    for callbacks, expected in (((), 1), ((Recorder(),), 1), ((User(),), 1 + 3 + 3)):
        made.clear()
        quick().set_callbacks(*callbacks).fit(iris)
        # User: the three epochs, and the three steps of the first.
        assert len(made) == expected


@each_mode
@each_estimator
def test_scoring_monitor_logs_the_estimators_own_scores(estimator, mode, quick):
    X, y = load_iris(return_X_y=True, as_frame=True)
    monitor = ScoringMonitor(scoring={"score": score})
    model = quick(estimator, early_stopping=mode).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs().data
    by_task = {row["task_id_path"]: row["score"] for row in log}
    assert by_task[0,] == model.score(X)
    assert len(log) == model.n_iter_ + 1
    assert np.isfinite(list(by_task.values())).all()


@each_mode
@each_estimator
def test_the_context_of_an_epoch_has_its_history(estimator, mode, quick, iris):
    class Keeper(Recorder):
        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch":
                self.stages.setdefault(context.parent.task_name, []).append(
                    context.epoch_history
                )

        stages = {}

    keeper, parameters = Keeper(), {"early_stopping": mode, "max_iter": 4}
    model = quick(estimator, **parameters).set_callbacks(keeper).fit(10 * iris)
    final = keeper.stages["final training" if mode == "cv" else "fit"]
    for name, values in model.history_.items():
        assert [epoch[name] for epoch in final] == values.tolist()
    if mode == "cv":
        folds = [epoch["validation_loss"] for epoch in keeper.stages["cross-validation"]]
        assert len(folds) == 4
        assert folds[: model.n_iter_] == model.history_["validation_loss"].tolist()


def test_a_callback_that_prunes_by_the_folds_leaves_an_earlier_fit(quick, iris):
    class PrunedError(Exception):
        pass

    class Pruner(Recorder):
        def on_fit_task_end(self, estimator, context):
            if context.epoch_history["validation_loss"] > 0:
                raise PrunedError

    model = quick(early_stopping="cv").fit(iris)
    before = outputs(model, iris[:9])
    with pytest.raises(PrunedError):
        model.set_callbacks(Pruner()).fit(100 * iris)
    assert_same(outputs(model, iris[:9]), before)


def test_callbacks_get_rows_as_they_came(quick, iris):
    class Keeper(Recorder):
        def on_fit_task_end(self, estimator, context, *, X, y):
            self.data = X, y

    X, y = pd.DataFrame(iris, columns=list("abcd")), np.arange(len(iris))
    keeper = Keeper()
    quick().set_callbacks(keeper).fit(X, y)
    assert keeper.data[0] is X
    assert keeper.data[1] is y


# -- what callbacks do ----------------------------------------------------------------


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("hook", ["setup", "begin", "end", "teardown"])
def test_a_failing_callback_leaves_the_estimator_as_it_was(fitted, error, hook, quick, iris):
    model = quick()
    if fitted:
        model.fit(iris)
    failing = Failing(hook, error=error)
    before = vars(model.set_callbacks(failing)).copy()
    with pytest.raises(error, match="the callback's own"):
        model.fit(iris[:50] ** 2)
    assert vars(model) == before
    assert failing.lives == ["setup", "teardown"]
    assert_same(
        outputs(model.set_callbacks().fit(iris), iris), outputs(quick().fit(iris), iris)
    )


@each_mode
def test_a_callback_may_end_the_training(mode, quick, iris, recwarn):
    stopper = Stopper(*([("final training", 1)] if mode == "cv" else []), ("epoch", 1))
    model = quick(latent_dim=1, early_stopping=mode, max_iter=20, learning_rate_init=1e-3)
    assert model.fit(iris).n_iter_ > 2
    recwarn.clear()
    model.set_callbacks(stopper).fit(iris)
    assert model.n_iter_ == 2
    if mode == "cv":
        assert model.best_validation_score_ == model.validation_scores_[1]
    assert stopper.lives == ["setup", "teardown"]
    # A training that was stopped on purpose is not one that did not converge.
    assert not recwarn.list


def test_a_callback_may_end_the_cross_validation(quick, iris):
    stopper = Stopper(("cross-validation", 0), ("epoch", 2))
    model = quick(early_stopping="cv", max_iter=20).set_callbacks(stopper).fit(iris)
    assert len([path for path in stopper.ended if path[1:2] == stopper.path[:1]]) == 4
    assert 1 <= model.n_iter_ <= 3


def test_a_callback_may_end_the_first_epoch(quick, iris):
    stopper = Stopper(("epoch", 0), ("steps", 0), first_epoch_tasks=2)
    model = quick(max_iter=2).set_callbacks(stopper).fit(iris)
    assert [path[1:] for path in stopper.ended] == [
        [("epoch", 0), ("steps", 0)],
        epochs(0),
        epochs(1),
        [],
    ]
    assert model.n_iter_ == 2


# -- scikit-learn's own ---------------------------------------------------------------


def test_clones_share_the_callbacks_and_pickles_keep_them(quick, iris):
    seen = Recorder()
    model = quick().set_callbacks(seen)
    assert clone(model)._skl_callbacks[0] is seen
    twin = pickle.loads(pickle.dumps(model.fit(iris)))
    assert len(twin.fit(iris)._skl_callbacks[0].lives) == 4
    assert len(seen.lives) == 2


@each_estimator
def test_progress_bars_reach_from_a_pipeline_to_the_epochs(estimator, quick, iris, capsys):
    pytest.importorskip("rich")
    step = quick(estimator, early_stopping="cv")
    make_pipeline(StandardScaler(), step).set_callbacks(ProgressBar()).fit(iris)
    bars = capsys.readouterr().out
    for name in ("fit #1", "cross-validation #0", "final training #1"):
        assert f"{estimator.__name__} - {name}" in bars


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_reach_through_a_search(n_jobs, quick, iris, capsys, monkeypatch, tmp_path):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "200")
    monitor = ScoringMonitor(scoring={"score": score})
    search = GridSearchCV(
        quick(early_stopping="cv").set_callbacks(monitor, Checkpoint(tmp_path / "vae")),
        {"latent_dim": [1, 2]},
        cv=2,
        n_jobs=n_jobs,
    )
    search.set_callbacks(ProgressBar()).fit(iris, np.zeros(len(iris)))
    bars = capsys.readouterr().out.splitlines()
    for name, count in (("fit #", 5), ("cross-validation #0", 5), ("final training #1", 5)):
        lines = [line for line in bars if f"VAETransformer - {name}" in line]
        assert len(lines) == count
        assert all("100%" in line for line in lines)
    by_task = {row["task_id_path"]: row["score"] for row in monitor.get_logs().data}
    assert by_task[0, 1] == search.best_estimator_.score(iris)
    assert {path[:3] for path in by_task if path[1] == 0} == {(0, 0, k) for k in range(4)}
    refit = pickle.loads((tmp_path / "vae").read_bytes())
    assert_same(outputs(refit, iris[:9]), outputs(search.best_estimator_, iris[:9]))
