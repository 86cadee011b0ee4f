"""Copies of a fitted model agree with it; new parameters do not reach into it."""

import copy
import pickle

import joblib
import pytest
from helpers import assert_same, outputs
from sklearn.base import clone

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Bernoulli, Gaussian
from skvae.networks import MLP
from skvae.posteriors import Diagonal

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


def by_joblib(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


def by_memory_map(model, tmp_path):
    joblib.dump(model, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib", mmap_mode="r")


COPIES = {
    "pickle": lambda model, tmp_path: pickle.loads(pickle.dumps(model)),
    "joblib": by_joblib,
    "memory-mapped": by_memory_map,
    "deepcopy": lambda model, tmp_path: copy.deepcopy(model),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=list(COPIES))
@pytest.mark.parametrize(
    "parameters",
    [
        {"likelihood": "gaussian"},
        {"likelihood": "bernoulli"},
        {"likelihood": "continuous_bernoulli"},
        {"estimator": AutoencoderTransformer, "noise": 0.1},
        {"estimator": AutoencoderTransformer, "noise": 0.3, "corruption": "masking"},
    ],
    ids=["gaussian", "bernoulli", "continuous_bernoulli", "denoising", "masking"],
)
def test_copies_agree_to_the_bit_and_train_on_alike(copied, parameters, quick, iris, tmp_path):
    X = iris / 10
    model = quick(**parameters).partial_fit(X)
    twin = copied(model, tmp_path)
    assert_same(outputs(twin, X[:9]), outputs(model, X[:9]))
    for each in (model, twin):
        each.partial_fit(X[:50])
    assert_same(outputs(twin, X[:9]), outputs(model, X[:9]))
    refitted = (outputs(clone(each).fit(X), X[:9]) for each in (model, twin))
    assert_same(*refitted)


def test_a_pickle_does_not_grow_with_use(quick, iris):
    model = quick().fit(iris)
    before = len(pickle.dumps(model))
    model.score(iris)
    assert len(pickle.dumps(model)) == before


def test_parameters_set_after_fit_do_not_change_predictions(quick, iris):
    model = quick().fit(iris)
    expected = outputs(model, iris[:9])
    model.set_params(
        latent_dim=3, likelihood="bernoulli", network__hidden_layer_sizes=(), n_samples=9,
        init="random", random_state=5, max_iter=0, device="nowhere",
    )  # fmt: skip
    assert_same(outputs(model, iris[:9]), expected)


def test_the_callers_objects_are_never_changed(iris):
    sizes = [16]
    own = {"network": MLP(sizes), "likelihood": Gaussian("isotropic"), "posterior": Diagonal()}
    before = {name: dict(vars(part)) for name, part in own.items()}
    model = VAETransformer(**own, max_iter=2, early_stopping=False).fit(iris)
    copies = clone(model)
    clone(model).set_params(network__activation="tanh", likelihood__noise=0.5)
    for name, part in own.items():
        assert getattr(model, name) is part
        assert vars(part) == before[name]
        assert getattr(copies, name) is not part
    # Nor does changing them later reach into the fitted model.
    expected = outputs(model, iris[:9])
    sizes.append(3)
    own["likelihood"].noise = "nonsense"
    assert_same(outputs(model, iris[:9]), expected)


def test_nested_parameters_work_while_the_component_is_a_name():
    model = VAETransformer().set_params(likelihood__noise=0.5, network__activation="tanh")
    assert model.likelihood.noise == 0.5
    assert model.network.activation == "tanh"
    model.set_params(likelihood="bernoulli")
    assert model.likelihood == "bernoulli"
    with pytest.raises(ValueError, match="Invalid parameter 'noise' for estimator Bernoulli"):
        model.set_params(likelihood__noise=0.5)
    with pytest.raises(ValueError, match="Unknown likelihood 'gauss'"):
        model.set_params(likelihood="gauss", likelihood__noise=0.5)
    assert isinstance(model.set_params(likelihood=Bernoulli()).likelihood, Bernoulli)
