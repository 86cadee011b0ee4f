"""A model that other versions saved is loaded with a warning that names them."""

import copy
import pickle
import warnings

import pytest
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning

import skvae
from skvae import AutoencoderTransformer, VAETransformer, base
from skvae.estimators.versions import OtherVersionsWarning, present_versions


def by_pickle(model, path):
    path.write_bytes(pickle.dumps(model))
    return lambda: pickle.loads(path.read_bytes())


def by_save(model, path):
    skvae.save(model, path)
    return lambda: skvae.load(path)


WAYS = pytest.mark.parametrize("way", [by_pickle, by_save])


@WAYS
@pytest.mark.parametrize("library", ["skvae", "torch", "scikit-learn"])
@pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])
def test_another_minor_version_warns(way, library, estimator, tmp_path, monkeypatch):
    other = present_versions() | {library: "0.0.7"}
    with monkeypatch.context() as patched:
        patched.setattr(base, "present_versions", lambda: other)
        load = way(estimator(), tmp_path / "model")
    here = present_versions()[library]
    with pytest.warns(OtherVersionsWarning) as caught:
        loaded = load()
    assert len(caught) == 1
    text = str(caught[0].message)
    assert f"This {estimator.__name__} was saved with {library} 0.0.7 (here {here})." in text
    assert caught[0].category.__mro__.index(InconsistentVersionWarning)
    # The versions belong to the file, and not to the model.
    assert vars(loaded).keys() == vars(estimator()).keys()


@WAYS
def test_another_patch_version_does_not_warn(way, tmp_path, monkeypatch):
    patch = {
        name: ".".join([*text.split(".")[:2], "99"])
        for name, text in present_versions().items()
    }
    with monkeypatch.context() as patched:
        patched.setattr(base, "present_versions", lambda: patch)
        load = way(VAETransformer(), tmp_path / "model")
    load()


def test_a_state_without_versions_is_taken_as_it_is():
    model = VAETransformer()
    state = model.__getstate__()
    del state["_versions"]
    loaded = VAETransformer(latent_dim=5)
    loaded.__setstate__(state)
    assert loaded.latent_dim == 2
    assert "_versions" not in vars(copy.deepcopy(model)).keys() | vars(clone(model)).keys()


def test_the_warning_points_at_the_caller_and_can_be_filtered_as_scikit_learns():
    state = VAETransformer().__getstate__() | {"_versions": {"torch": "1.0"}}
    with pytest.warns(OtherVersionsWarning):
        VAETransformer().__setstate__(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        VAETransformer().__setstate__(state)
