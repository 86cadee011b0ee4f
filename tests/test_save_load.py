"""skvae.save and skvae.load: the same bits again, and no code from a file."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from callback_cases import Recorder
from helpers import assert_same, outputs
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from skvae import AutoencoderTransformer, VAETransformer
from skvae.files import write_atomically
from skvae.likelihoods import Bernoulli, Gaussian
from skvae.networks import MLP, ConvNet, ModuleNetwork
from skvae.posteriors import Full

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

CONV = {"network": ConvNet((2, 3), batch_norm=True), "image_shape": (2, 2)}
ESTIMATORS = {
    "defaults": {},
    "isotropic": {"likelihood": Gaussian("isotropic"), "posterior": "full"},
    "fixed noise": {"likelihood": Gaussian(np.float32(0.2)), "objective": "iwae"},
    "sigmoid": {"likelihood": Gaussian("heteroscedastic", mean="sigmoid")},
    "bernoulli": {"likelihood": "bernoulli", "image_shape": [np.int64(2), 2]},
    "continuous": {"likelihood": "continuous_bernoulli", "posterior": Full()},
    "poisson": {"likelihood": "poisson"},
    "negative binomial": {"likelihood": "negative_binomial", "beta": 0.5},
    "categorical": {"likelihood": "categorical"},
    "linear": {"network": MLP(()), "latent_dim": 9},
    "dropout": {"network": MLP((6, 5), "gelu", dropout=0.3, batch_norm=True)},
    "convolutions": CONV,
    "strided": {"network": ConvNet((3,), 2, activation="leaky_relu"), "image_shape": (2, 2, 1)},
    "autoencoder": {"estimator": AutoencoderTransformer, **CONV},
    "denoising": {"estimator": AutoencoderTransformer, "noise": 0.3},
    "masking": {"estimator": AutoencoderTransformer, "noise": 0.3, "corruption": "masking"},
    "generator": {"random_state": np.random.RandomState(3), "early_stopping": True},
}


@pytest.fixture(scope="module")
def X():  # noqa: N802
    """Return rows in the support of every likelihood."""
    return np.eye(4)[np.random.RandomState(0).randint(4, size=60)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skvae"


def reload(model, path):
    skvae.save(model, path)
    return skvae.load(path)


# -- the same again --------------------------------------------------------------------


@pytest.mark.parametrize("parameters", ESTIMATORS.values(), ids=list(ESTIMATORS))
def test_a_loaded_model_agrees_to_the_bit_and_trains_on_alike(parameters, quick, X, path):
    model = quick(max_iter=2, warm_start=True, **parameters).fit(X).partial_fit(X[:30])
    twin = reload(model, path)
    assert set(vars(twin)) == set(vars(model))
    if "random_state" not in parameters:
        assert repr(twin) == repr(model)
    assert_same(outputs(twin, X[:9]), outputs(model, X[:9]))
    for go_on in ("partial_fit", "fit"):
        for each in (model, twin):
            getattr(each, go_on)(X)
        assert_same(outputs(twin, X[:9]), outputs(model, X[:9]))
    assert_same(*(outputs(clone(each).fit(X), X[:9]) for each in (model, twin)))


@pytest.mark.parametrize("parameters", ESTIMATORS.values(), ids=list(ESTIMATORS))
def test_every_tensor_comes_back_with_its_layout(parameters, quick, X, path):
    model = quick(max_iter=1, **parameters).fit(X)
    twin = reload(model, path)
    old, new = model._fitted.module, twin._fitted.module
    assert [type(part) for part in new.modules()] == [type(part) for part in old.modules()]
    for listed in ("named_parameters", "named_buffers"):
        pairs = zip(getattr(old, listed)(), getattr(new, listed)(), strict=True)
        for (name, value), (same_name, same) in pairs:
            assert (name, value.dtype, value.stride(), value.requires_grad) == (
                same_name, same.dtype, same.stride(), same.requires_grad,
            )  # fmt: skip
            assert torch.equal(value, same)
    assert list(new.state_dict()) == list(old.state_dict())


def test_frames_requests_and_configured_output_come_back(quick, X, path):
    frame = pd.DataFrame(X, columns=list("abcd"))
    with sklearn.config_context(enable_metadata_routing=True):
        model = quick().set_fit_request(X_val=True).set_output(transform="pandas").fit(frame)
        twin = reload(model, path)
        assert str(twin.get_metadata_routing()) == str(model.get_metadata_routing())
    pd.testing.assert_frame_equal(twin.transform(frame), model.transform(frame))
    assert list(twin.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        twin.transform(frame[list("dcba")])


def test_an_unfitted_estimator_comes_back_unfitted(path):
    model = VAETransformer(3, network=MLP([4, 5]), tol=np.inf, device=torch.device("cpu"))
    twin = reload(model, path)
    assert repr(twin) == repr(model)
    assert twin.device == model.device
    assert not twin.__sklearn_is_fitted__()


def test_another_process_gives_the_same_bits(quick, X, path):
    model = quick().fit(X)
    skvae.save(model, path)
    code = "import sys, skvae, numpy as np; X = np.eye(4); m = skvae.load(sys.argv[1]); "
    code += "print(m.transform(X).tobytes().hex(), m.score_samples(X).tobytes().hex())"
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    expected = (model.transform(np.eye(4)), model.score_samples(np.eye(4)))
    assert run.stdout.split() == [part.tobytes().hex() for part in expected], run.stderr


def test_saving_changes_nothing_and_repeats(quick, X, path, tmp_path):
    model = quick().fit(X)
    expected = outputs(model, X[:9])
    skvae.save(model, path)
    skvae.save(skvae.load(path), tmp_path / "again")
    assert path.read_bytes() == (tmp_path / "again").read_bytes()
    assert_same(outputs(model, X[:9]), expected)


def test_callbacks_are_left_out_and_stay_with_the_estimator(quick, X, path):
    model = quick().set_callbacks(Recorder()).fit(X)
    twin = reload(model, path)
    assert not hasattr(twin, "_skl_callbacks")
    assert len(model._skl_callbacks) == 1
    assert_same(outputs(twin, X[:9]), outputs(model, X[:9]))


def test_what_a_killed_writer_left_is_taken_over(path):
    left = path.with_name(f".{path.name}.tmp")
    left.write_bytes(b"half" * 10_000)
    skvae.save(VAETransformer(latent_dim=4), path)
    assert skvae.load(path).latent_dim == 4
    assert os.listdir(path.parent) == [path.name]


def test_writers_of_one_file_take_turns(path):
    contents = [bytes([number]) * 10**6 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: write_atomically(path, data), contents))
    assert path.read_bytes() in contents
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("name", ["target", "missing"])
def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(name, path, tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"another's")
    path.with_name(f".{path.name}.tmp").symlink_to(tmp_path / name)
    with pytest.raises(OSError, match=r"\.tmp"):
        skvae.save(VAETransformer(), path)
    assert target.read_bytes() == b"another's"
    assert not (tmp_path / "missing").exists()


def test_without_locks_the_temporary_files_have_names_of_their_own(path, monkeypatch):
    monkeypatch.setattr("skvae.files.fcntl", None)
    path.with_name(f".{path.name}.tmp").write_bytes(b"half")
    skvae.save(VAETransformer(latent_dim=4), path)
    assert skvae.load(path).latent_dim == 4
    monkeypatch.setattr(os, "fsync", lambda _: os.stat("/nowhere"))
    with pytest.raises(FileNotFoundError):
        skvae.save(VAETransformer(latent_dim=5), path)
    assert sorted(os.listdir(path.parent)) == [f".{path.name}.tmp", path.name]


# -- what cannot be saved, and failures while writing ---------------------------------------


class OwnLikelihood(Bernoulli):
    """A likelihood whose code is the user's."""


class OwnTransformer(VAETransformer):
    """An estimator whose code is the user's."""


def linear(n_in, n_out):
    return torch.nn.Linear(n_in, n_out)


REFUSED = {
    "module": (VAETransformer(network=ModuleNetwork(linear, linear)), "network holds a Mod"),
    "likelihood": (VAETransformer(likelihood=OwnLikelihood()), "likelihood holds a OwnLike"),
    "function": (VAETransformer(verbose=linear), "verbose holds a function"),
    "class": (VAETransformer(network=MLP), "network holds the class MLP"),
    "subclass": (OwnTransformer(), r"takes one of \['Auto.*got OwnTransformer"),
    "pipeline": (make_pipeline(StandardScaler(), VAETransformer()), "got Pipeline"),
}


@pytest.mark.parametrize(("model", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_needs_code_is_refused_by_name_and_an_earlier_file_stays(model, message, path):
    path.write_bytes(b"before")
    with pytest.raises(TypeError, match=f"(?s){message}.*pickle"):
        skvae.save(model, path)
    assert os.listdir(path.parent) == ["model.skvae"]
    assert path.read_bytes() == b"before"


def test_the_users_own_modules_are_refused_when_only_the_fit_holds_them(quick, X, path):
    model = quick(network=ModuleNetwork(linear, linear), max_iter=1).fit(X)
    with pytest.raises(TypeError, match=r"modules of ModuleNetwork.*pickle or joblib"):
        skvae.save(model.set_params(network="mlp"), path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_while_writing_leaves_the_earlier_file(step, path, monkeypatch):
    skvae.save(VAETransformer(latent_dim=3), path)

    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        skvae.save(VAETransformer(latent_dim=4), path)
    monkeypatch.undo()
    assert skvae.load(path).latent_dim == 3
    assert os.listdir(path.parent) == ["model.skvae"]


def test_a_file_is_one_as_open_would_make_it(path, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    link = tmp_path / "link"
    link.symlink_to(path)
    skvae.save(VAETransformer(), str(link))
    assert link.is_symlink()
    assert path.stat().st_mode == plain.stat().st_mode
    assert isinstance(skvae.load(link), VAETransformer)


def test_a_path_that_no_file_can_have_is_named(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a folder: give the path of a file"):
        skvae.save(VAETransformer(), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere to write .*a\.skvae"):
        skvae.save(VAETransformer(), tmp_path / "nowhere" / "a.skvae")
    assert not os.listdir(tmp_path)


def test_what_is_no_regular_file_is_not_replaced(tmp_path, quick, iris):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ValueError, match="no regular file"):
        skvae.save(quick().fit(iris), path)
    assert path.is_fifo()


def test_who_could_not_read_the_file_before_cannot_now(tmp_path, quick, iris):
    path = tmp_path / "model.skvae"
    model = quick().fit(iris)
    skvae.save(model, path)
    path.chmod(0o600)
    skvae.save(model, path)
    assert path.stat().st_mode & 0o777 == 0o600
