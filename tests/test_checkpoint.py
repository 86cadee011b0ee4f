"""The file holds the training as far as it went, and loads whenever the process dies."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from callback_cases import Failing, Recorder, Stopper, path_of
from helpers import assert_same, outputs
from sklearn.callback import FitCallback, ProgressBar
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import AutoencoderTransformer, VAETransformer
from skvae.callbacks import Checkpoint
from skvae.estimators.fitting import Training
from skvae.networks import ModuleNetwork

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vae.joblib"


class Reader(Recorder):
    """Reads the file at the end of each task."""

    def __init__(self, path):
        super().__init__()
        self.path, self.files = path, {}

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        found = joblib.load(self.path) if self.path.exists() else None
        self.files[tuple(path_of(context)[1:])] = found, fitted_estimator


# -- what it writes ---------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])
@pytest.mark.parametrize("mode", [True, False])
def test_each_epoch_leaves_a_model_as_reached(mode, estimator, quick, iris, path):
    seen = Reader(path)
    model = quick(estimator, early_stopping=mode).set_callbacks(Checkpoint(path), seen)
    model.fit(iris)
    assert len(seen.files) == model.n_iter_ + 1
    for found, reached in seen.files.values():
        assert_same(outputs(found, iris[:9]), outputs(reached, iris[:9]))
    assert_same(outputs(joblib.load(path), iris[:9]), outputs(model, iris[:9]))
    assert os.listdir(path.parent) == [path.name]


def test_between_two_writings_the_file_stays(quick, iris, path):
    seen = Reader(path)
    quick(max_iter=5).set_callbacks(Checkpoint(path, every=2), seen).fit(iris)
    found = [None if file is None else file.n_iter_ for file, _ in seen.files.values()]
    # After the first to the fifth epoch, and at the end.
    assert found == [None, 2, 2, 4, 4, 5]


@pytest.mark.parametrize("beside", [[], [Recorder()]], ids=["alone", "beside another"])
def test_between_two_writings_no_model_is_made(beside, quick, iris, path, monkeypatch):
    made = []
    of_training = Training.fitted_attributes
    monkeypatch.setattr(
        Training,
        "fitted_attributes",
        lambda self, result, *group: made.append(result) or of_training(self, result, *group),
    )
    quick(max_iter=12).set_callbacks(Checkpoint(path, every=5), *beside).fit(iris)
    # After the epochs 5 and 10, and at the end.
    assert len(made) == 3


def test_in_cv_mode_it_is_written_in_the_final_training(quick, iris, path):
    seen = Reader(path)
    model = quick(early_stopping="cv", likelihood="bernoulli")
    model.set_callbacks(Checkpoint(path), seen).fit(iris / 8)
    for task, (found, _) in seen.files.items():
        assert (found is None) == (task[:1] == (("cross-validation", 0),))
    assert_same(outputs(joblib.load(path), iris[:9] / 8), outputs(model, iris[:9] / 8))


@pytest.mark.parametrize("read", [joblib.load, lambda path: pickle.loads(path.read_bytes())])
def test_it_goes_on_as_the_model_itself_would(read, quick, iris, path):
    model = quick(early_stopping=True).set_callbacks(Checkpoint(path)).fit(iris)
    twin = read(path)
    for each in (model, twin):
        each.set_params(warm_start=True, max_iter=2).fit(iris)
    assert_same(outputs(twin, iris[:9]), outputs(model, iris[:9]))
    # It still has its callback, which has written again.
    assert joblib.load(path).n_iter_ == twin.n_iter_ == 5


def test_a_killed_training_goes_on_with_its_moments_and_history(quick, iris, path):
    model = quick(max_iter=9).set_callbacks(Checkpoint(path), Failing("end", "fit"))
    with pytest.raises(RuntimeError, match="the callback's own"):
        model.fit(iris)
    # The last file that was written while the training ran, before its end failed.
    resumed = joblib.load(path).set_callbacks()
    assert resumed.n_iter_ == 9
    loss = resumed.loss_curve_
    resumed.set_params(warm_start=True, max_iter=2).fit(iris)
    assert resumed.loss_curve_[:9] == loss
    assert {int(entry["step"]) for entry in resumed._moments.values()} == {11 * 3}


def test_a_killed_training_goes_on_with_its_warm_up(quick, iris, path):
    model = quick(kl_warmup=2).set_callbacks(Checkpoint(path), Failing("end", "epoch"))
    with pytest.raises(RuntimeError, match="the callback's own"):
        model.fit(iris)
    history = joblib.load(path).set_callbacks().set_params(warm_start=True).fit(iris).history_
    expected = np.array([0, 0.5, 1, 1]) * history["kl"] - history["reconstruction"]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)


def test_training_takes_the_same_course(quick, iris, path):
    watched = quick(early_stopping=True).set_callbacks(Checkpoint(path)).fit(iris)
    alone = quick(early_stopping=True).fit(iris)
    assert_same(outputs(watched, iris[:9]), outputs(alone, iris[:9]))


def test_the_file_after_a_stop_is_what_is_kept(quick, iris, path):
    model = quick(max_iter=9).set_callbacks(Checkpoint(path, 100), Stopper(("epoch", 1)))
    assert_same(outputs(model.fit(iris), iris[:9]), outputs(joblib.load(path), iris[:9]))


# -- around it ----------------------------------------------------------------------------


def test_in_a_pipeline_the_file_is_the_step(quick, iris, path):
    step = quick().set_callbacks(Checkpoint(path))
    pipeline = make_pipeline(StandardScaler(), step).set_callbacks(Recorder()).fit(iris)
    resumed = joblib.load(path).set_params(warm_start=True)
    pipeline.set_params(vaetransformer=resumed).fit(iris)
    assert resumed.n_iter_ == 6


@pytest.mark.parametrize("piped", [False, True])
def test_of_a_search_only_the_refit_is_written(piped, quick, iris, path):
    model = quick().set_callbacks(Checkpoint(path))
    grid = {"latent_dim": [1, 2]}
    if piped:
        model = make_pipeline(StandardScaler(), model)
        grid = {"vaetransformer__latent_dim": [1, 2]}
    seen = []

    def note_the_file(model, X, y=None):
        seen.append(path.exists())
        return model.score(X)

    search = GridSearchCV(model, grid, cv=2, scoring=note_the_file).fit(iris)
    assert seen == [False] * 4
    best = search.best_estimator_[-1] if piped else search.best_estimator_
    X = search.best_estimator_[:-1].transform(iris) if piped else iris
    assert_same(outputs(joblib.load(path), X[:9]), outputs(best, X[:9]))


def test_beside_a_progress_bar(quick, iris, path, capsys):
    pytest.importorskip("rich")
    quick().set_callbacks(ProgressBar(), Checkpoint(path)).fit(iris)
    assert joblib.load(path).set_callbacks().n_iter_ == 3


def test_it_is_a_callback():
    assert isinstance(Checkpoint("file"), FitCallback)
    twin = pickle.loads(pickle.dumps(Checkpoint("file", every=3)))
    assert vars(twin) == {"path": "file", "every": 3}


# -- what is refused ----------------------------------------------------------------------


def no_module(n_in, n_out):
    pytest.fail("trained")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"every": 0}, ValueError, "every=0 of Checkpoint must be a positive integer"),
        ({"every": 1.5}, ValueError, r"every=1\.5"),
        (
            {"path": "nowhere/file"},
            FileNotFoundError,
            "no folder .*nowhere to write nowhere/file",
        ),
        ({"path": "."}, IsADirectoryError, "give the path of a file"),
        ({"network": lambda n, m: None}, TypeError, "cannot write this VAE.*top level"),
    ],
)
def test_what_cannot_be_written_is_refused_before_training(
    changes, error, message, quick, iris, path
):
    module = changes.pop("network", no_module)
    model = quick(network=ModuleNetwork(module, module))
    model.set_callbacks(Checkpoint(**{"path": path} | changes))
    with pytest.raises(error, match=message):
        model.fit(iris)
    assert not path.exists()


def unwritable(kind, folder, monkeypatch):
    """Return a path in the folder that cannot be written, for a reason of the system."""
    path = folder / "file"
    if kind == "a link into a missing folder":
        path.symlink_to(folder / "missing" / "file")
    elif kind == "a loop of links":
        path.symlink_to(folder / "other")
        (folder / "other").symlink_to(path)
    elif kind == "an unwritable folder":
        # Not by chmod, which does not keep the superuser out.
        def refuse(file, *args):
            raise PermissionError(errno.EACCES, "Permission denied", str(file))

        monkeypatch.setattr("builtins.open", refuse)
    return {"a too long name": folder / ("n" * 300), "a null byte": f"{path}\0"}.get(kind, path)


@pytest.mark.skipif(os.name == "nt", reason="links and null bytes are others there")
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("a link into a missing folder", FileNotFoundError, "no folder .*missing to write"),
        ("a loop of links", OSError, "symbolic links"),
        ("an unwritable folder", PermissionError, "Permission denied"),
        ("a too long name", OSError, "name too long"),
        ("a null byte", ValueError, "null character"),
    ],
)
def test_a_path_that_the_system_refuses_is_named_before_training(
    kind, error, message, quick, iris, tmp_path, monkeypatch
):
    path = unwritable(kind, tmp_path, monkeypatch)
    before = sorted(os.listdir(tmp_path))
    model = quick(network=ModuleNetwork(no_module, no_module)).set_callbacks(Checkpoint(path))
    with pytest.raises(error, match=message) as caught:
        model.fit(iris)
    assert repr(str(path)).strip("'") in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_it_belongs_on_the_estimator_not_on_a_pipeline(quick, iris, path):
    pipeline = make_pipeline(quick()).set_callbacks(Checkpoint(path))
    with pytest.raises(TypeError, match="on that step"):
        pipeline.fit(iris)


def test_an_earlier_file_stays_when_writing_fails(quick, iris, path, monkeypatch):
    path.write_bytes(b"before")

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    model = quick().set_callbacks(Checkpoint(path))
    with pytest.raises(OSError, match="No space left"):
        model.fit(iris)
    assert path.read_bytes() == b"before"
    assert os.listdir(path.parent) == [path.name]
    assert not model.__sklearn_is_fitted__()


# -- kill -9 ------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="benchmarks/kill.py forks")
def test_after_each_kill_the_file_loads_and_has_lost_no_epoch():
    command = [sys.executable, str(BENCHMARKS / "kill.py"), "--kills", "4"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 kills" in run.stdout


@pytest.mark.parametrize("path", [None, 3, "", b"model"])
def test_what_is_no_path_is_refused_by_name(path, quick, iris):
    with pytest.raises(TypeError, match="of Checkpoint must be the path"):
        quick().set_callbacks(Checkpoint(path)).fit(iris)
