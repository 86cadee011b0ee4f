"""What an estimator is stored as: the same model again, from arrays and plain values."""

import copy
import itertools
import pickle
import re
import tempfile
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from helpers import assert_same, outputs
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from skops.io.exceptions import UntrustedTypesFoundException

from skvae import TRUSTED_TYPES, AutoencoderTransformer, VAETransformer
from skvae.estimators.state import OtherVersionsWarning
from skvae.likelihoods import LIKELIHOODS, CodedCategorical, Gaussian, Mixed
from skvae.networks import MLP, NETWORKS, ConvNet, ModuleNetwork
from skvae.posteriors import POSTERIORS

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


def by_joblib(model):
    """Store a model and load it with arrays that are mapped to the file and read-only."""
    with tempfile.TemporaryDirectory() as folder:
        joblib.dump(model, f"{folder}/model")
        return joblib.load(f"{folder}/model", mmap_mode="r")


def by_skops(model):
    data = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
    return skops.io.loads(data, trusted=TRUSTED_TYPES)


WAYS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "joblib": by_joblib,
    "skops": by_skops,
    "deepcopy": copy.deepcopy,
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))

AUTOENCODER = {"estimator": AutoencoderTransformer}
ESTIMATORS = [
    *(
        dict(zip(("network", "likelihood", "posterior"), names, strict=True))
        for names in itertools.product(NETWORKS, LIKELIHOODS, POSTERIORS)
    ),
    *(AUTOENCODER | {"network": name} for name in NETWORKS),
    *(AUTOENCODER | {"likelihood": name} for name in LIKELIHOODS),
    {"likelihood": Gaussian("heteroscedastic", mean="sigmoid"), "objective": "iwae"},
    {"likelihood": Gaussian(np.float32(0.2)), "network": MLP(()), "latent_dim": np.int64(9)},
    {"likelihood": Mixed([("code", CodedCategorical(2), [0]), ("n", "gaussian", slice(1, 4))])},
    {"network": MLP((6, 5), "gelu", dropout=0.3, batch_norm=True)},
    {"network": ConvNet((2, 3), batch_norm=True), "image_shape": [np.int64(2), 2]},
    {"random_state": np.random.RandomState(3), "early_stopping": True},
    AUTOENCODER | {"noise": 0.3, "network": MLP((6,), dropout=0.3)},
    AUTOENCODER | {"noise": 0.3, "corruption": "masking"},
]


def ids(parameters):
    return "-".join(getattr(v, "__name__", str(v)) for v in parameters.values())


@pytest.fixture(scope="module")
def X():  # noqa: N802
    """Return rows in the support of every likelihood."""
    return np.eye(4)[np.random.RandomState(0).randint(4, size=60)]


def linear(n_in, n_out):
    return torch.nn.Linear(n_in, n_out)


# -- the same again ------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", ESTIMATORS, ids=ids)
def test_a_loaded_model_agrees_to_the_bit_and_trains_on_alike(parameters, quick, X):
    shape = {"image_shape": (2, 2), "max_iter": 1, "warm_start": True}
    model = quick(**copy.deepcopy(shape | parameters)).fit(X).partial_fit(X[:30])
    twins = [way(model) for way in WAYS.values()]
    for go_on in (lambda m: m, lambda m: m.partial_fit(X), lambda m: m.fit(X)):
        expected = outputs(go_on(model), X[:9])
        for twin in twins:
            assert set(vars(twin)) == set(vars(model))
            assert_same(outputs(go_on(twin), X[:9]), expected)


@each_way
def test_an_unfitted_estimator_comes_back_unfitted(way):
    model = VAETransformer(3, network=MLP([4, 5]), tol=np.inf, device=torch.device("cpu"))
    twin = way(model)
    assert repr(twin) == repr(model)
    assert twin.device == model.device
    assert not twin.__sklearn_is_fitted__()


@each_way
def test_it_is_stored_within_the_tools_of_scikit_learn(way, quick, iris):
    codes = ("vae", quick(max_iter=1))
    grid = {"vae__network": ["mlp", MLP((3,))]}
    pipeline = Pipeline([("scale", StandardScaler()), codes])
    for tool in (
        pipeline,
        GridSearchCV(pipeline, grid, cv=2),
        ColumnTransformer([(*codes, [0, 1, 2])], remainder="passthrough"),
        FeatureUnion([codes, ("scale", MinMaxScaler())]),
    ):
        twin = way(clone(tool).fit(iris))
        np.testing.assert_array_equal(twin.transform(iris), tool.fit(iris).transform(iris))
    classifier = Pipeline([codes, ("classify", LogisticRegression())])
    search = GridSearchCV(classifier, grid, cv=2).fit(iris, np.repeat([0, 1, 2], 50))
    np.testing.assert_array_equal(way(search).predict(iris), search.predict(iris))


@each_way
def test_names_of_columns_and_configured_output_come_back(way, quick, X):
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = quick().set_output(transform="pandas").fit(frame)
    twin = way(model)
    pd.testing.assert_frame_equal(twin.transform(frame), model.transform(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        twin.transform(frame[list("dcba")])


@pytest.mark.parametrize("parameters", [{}, AUTOENCODER | {"noise": 0.3}], ids=ids)
def test_equal_models_have_equal_hashes_before_and_after_use(parameters, quick, X):
    model, other = (quick(**parameters).fit(X) for _ in range(2))
    expected, size = joblib.hash(model), len(pickle.dumps(model))
    assert joblib.hash(other) == expected
    assert joblib.hash(pickle.loads(pickle.dumps(model))) == expected
    model.score(X)
    assert joblib.hash(model) == expected
    assert len(pickle.dumps(model)) == size
    assert joblib.hash(other.partial_fit(X)) != expected


def types_in(value):
    """Return the types of all that a state holds."""
    found = {type(value)}
    if isinstance(value, dict):
        value = [*value, *value.values()]
    elif hasattr(value, "get_params"):
        value = list(value.get_params().values())
    if isinstance(value, list | tuple):
        found.update(*(types_in(part) for part in value))
    return found


@pytest.mark.parametrize("parameters", ESTIMATORS[-8:], ids=ids)
def test_the_state_holds_arrays_plain_values_and_parameter_objects(parameters, quick, X):
    state = quick(**{"max_iter": 1} | parameters).fit(X).__getstate__()
    arrays = (np.ndarray, np.generic, np.random.RandomState)
    plain = (int, float, str, list, tuple, dict, type(None))
    likelihoods = (*LIKELIHOODS.values(), CodedCategorical, Mixed, slice)
    components = (*NETWORKS.values(), *likelihoods, *POSTERIORS.values())
    for found in types_in(state):
        assert issubclass(found, arrays + plain + components), found


def test_a_device_that_is_not_here_gives_way_to_the_cpu(quick, X):
    stored = quick(max_iter=1).fit(X).__getstate__()
    model = VAETransformer()
    model.__setstate__(stored | {"device_": "cuda:77"})
    assert model.device_ == "cpu"
    assert np.isfinite(model.score(X))


# -- the user's own modules ----------------------------------------------------------------


@pytest.mark.parametrize(
    "parts", [(linear, linear), (linear(4, 4), linear(2, 4))], ids=["function", "modules"]
)
def test_modules_of_the_users_are_stored_by_pickle_and_joblib(parts, quick, X):
    model = quick(network=ModuleNetwork(*parts), warm_start=True).fit(X)
    twins = [WAYS[name](model) for name in ("pickle", "joblib", "deepcopy")]
    for each in (model, *twins):
        assert_same(outputs(each.partial_fit(X).fit(X), X), outputs(model, X))


def test_skops_names_the_users_function_which_it_does_not_trust(quick, X):
    model = quick(network=ModuleNetwork(linear, linear)).fit(X)
    data, name = skops.io.dumps(model), f"{__name__}.linear"
    assert set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED_TYPES) == {name}
    with pytest.raises(UntrustedTypesFoundException, match=name):
        skops.io.loads(data, trusted=TRUSTED_TYPES)
    twin = skops.io.loads(data, trusted=[*TRUSTED_TYPES, name])
    assert_same(outputs(twin, X), outputs(model, X))
    # Parameters that were set after the fit do not hide it.
    data = skops.io.dumps(model.set_params(network="mlp"))
    assert name in skops.io.get_untrusted_types(data=data)
    # Of torch's own objects skops stores none.
    model = VAETransformer(network=ModuleNetwork(linear(4, 4), linear(2, 4)))
    with pytest.raises(RuntimeError, match="Cannot directly construct TensorBase"):
        skops.io.dumps(model)


# -- other versions ------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["skvae", "torch", "scikit-learn"])
@pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])
def test_another_minor_version_warns_and_another_patch_does_not(library, estimator):
    state = estimator().__getstate__()
    here = state["_versions"][library]

    def load(version):
        loaded = estimator()
        loaded.__setstate__(state | {"_versions": state["_versions"] | {library: version}})
        # The versions belong to the file, and not to the model.
        assert vars(loaded).keys() == vars(estimator()).keys()

    load(".".join([*here.split(".")[:2], "99"]))
    saved = f"This {estimator.__name__} was saved with {library} 0.0.7 (here {here})."
    with pytest.warns(OtherVersionsWarning, match=re.escape(saved)) as caught:
        load("0.0.7")
    assert [warning.filename for warning in caught] == [__file__]
    # A filter for the one is one for the other.
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        with pytest.raises(OtherVersionsWarning, match=re.escape(saved)):
            load("0.0.7")
