"""Bad input is named, with the remedy, and a failure changes nothing."""

import contextlib
import copy
import io
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import assert_same, outputs, printed_without_cuda
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skvae import VAETransformer
from skvae.likelihoods import LIKELIHOODS, Bernoulli, Gaussian
from skvae.networks import MLP, NETWORKS
from skvae.posteriors import POSTERIORS, Diagonal

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

METHODS = ["transform", "score_samples", "score", "elbo", "latent_posterior"]


class Interrupted(io.StringIO):
    """A screen on which Ctrl-C is pressed at the first line of a verbose training."""

    def write(self, text):
        raise KeyboardInterrupt


# -- bad input -------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_values_outside_the_support_name_the_worst_column_and_the_remedy(
    likelihood, method, quick, iris
):
    X = iris / 10
    X[3, 1], X[5, 2], X[7, 2] = 1.2, -0.25, 1.5
    fit = getattr(quick(likelihood=likelihood), method)
    with pytest.raises(ValueError, match=r"\[0, 1\].*feature 2 .*-0\.25 to 1\.5.*MinMaxScaler"):
        fit(X)
    with pytest.raises(ValueError, match=r"'c' of X ranges from -0\.25 to 1\.5"):
        fit(pd.DataFrame(X, columns=list("abcd")))


@pytest.mark.parametrize("method", METHODS)
def test_values_outside_the_support_are_clipped_with_one_warning_later(method, quick, iris):
    model = quick(likelihood="bernoulli").fit(iris / 8)
    X = iris[:10] / 8
    X[0, 0], X[1, 1] = 1.1, -0.1
    with pytest.warns(UserWarning, match=r"2 of the 40 values.*\[0, 1\].*clipped") as caught:
        actual = getattr(model, method)(X)
    assert len(caught) == 1
    np.testing.assert_array_equal(actual, getattr(model, method)(X.clip(0, 1)))
    assert X[0, 0] == 1.1, "the caller's rows are not changed"


def test_validation_rows_slightly_outside_the_support_are_clipped_too(quick, iris):
    # X_val scaled by the training rows' minimum and maximum leaves [0, 1] as a fold does.
    X_val = iris / 8
    X_val[0, 0] = 1.01
    with pytest.warns(UserWarning, match="clipped"):
        model = quick(likelihood="bernoulli").fit(iris / 8, X_val=X_val)
    assert len(model.validation_scores_) == model.n_iter_


@pytest.mark.parametrize("method", ["fit", "partial_fit", *METHODS])
def test_infinity_is_refused(method, quick, iris):
    model, X = quick(max_iter=0).fit(iris), iris.copy()
    X[3, 1] = np.inf
    with pytest.raises(ValueError, match="X contains infinity"):
        getattr(model, method)(X)


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "Z contains NaN"), (np.inf, "Z contains infinity")]
)
def test_codes_that_are_not_finite_are_refused(value, message, quick, iris):
    model = quick(max_iter=0).fit(iris)
    with pytest.raises(ValueError, match=message):
        model.inverse_transform([[0.0, value]])


def test_sparse_codes_are_refused(quick, iris):
    with pytest.raises(TypeError, match=r"[Ss]parse data"):
        quick(max_iter=0).fit(iris).inverse_transform(csr_array(iris[:, :2]))


@pytest.mark.parametrize("method", ["fit", "partial_fit", *METHODS])
def test_strings_and_single_rows_are_refused(method, quick, iris):
    function = getattr(quick(max_iter=0).fit(iris), method)
    with pytest.raises(ValueError, match="could not convert string to float: 'setosa'"):
        function(np.array([[1.0, 2.0, 3.0, "setosa"]] * 5, dtype=object))
    with pytest.raises(ValueError, match=r"(?s)Expected 2D array.*Reshape"):
        function(iris[0])


@pytest.mark.parametrize("method", ["partial_fit", *METHODS])
def test_a_wrong_number_of_columns_is_refused(method, quick, iris):
    model = quick(max_iter=0).fit(iris)
    with pytest.raises(ValueError, match=r"X has 3 features.*expecting 4"):
        getattr(model, method)(iris[:, :3])


@pytest.mark.parametrize("width", [1, 3])
def test_a_wrong_width_of_codes_is_refused(width, quick, iris):
    model = quick(max_iter=0).fit(iris)
    with pytest.raises(ValueError, match=rf"Z has {width} columns.*latent_dim=2.*transform"):
        model.inverse_transform(np.zeros((5, width)))


BAD_PARAMETERS = {
    "latent_dim": [0, -1, 2.5, "2", None],
    "batch_size": [0, "large"],
    "max_iter": [-1, 1.5, "many", None],
    "learning_rate_init": [0, -1e-3, np.nan, "constant"],
    "weight_decay": [-1, None],
    "early_stopping": ["always", None, 3],
    "validation_fraction": [0, 1, 1.5],
    "n_iter_no_change": [0],
    "tol": [-1e-3],
    "warm_start": ["yes"],
    "random_state": [-1, "seed"],
    "n_samples": [0, 1.5],
    "init": ["pca", None],
    "objective": ["iwae2", None],
    "likelihood": ["gauss", None, Gaussian, 0.5, MLP(), np.array(["gaussian"])],
    "network": ["dense", None, MLP, Gaussian(), torch.nn.Linear(4, 2)],
    "posterior": ["diag", None, Diagonal, MLP()],
    "device": ["tpu", "mps", "cuda:x", "gpu", None, 0],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}-{str(value)[:20]}")
        for name, values in BAD_PARAMETERS.items()
        for value in values
    ],
)
def test_a_bad_parameter_is_named_at_fit_and_not_before(name, value, iris):
    model = VAETransformer(max_iter=0).set_params(**{name: value})
    with pytest.raises((ValueError, TypeError), match=name) as error:
        model.fit(iris)
    assert str(getattr(value, "__name__", value)) in str(error.value) or name == "network"


@pytest.mark.parametrize("registry", [LIKELIHOODS, NETWORKS, POSTERIORS])
def test_an_object_with_its_defaults_is_the_same_as_its_name(registry, quick):
    # One 1 a row: in the support of every likelihood.
    X = np.eye(4)[np.random.RandomState(0).randint(4, size=100)]
    for name, component in registry.items():
        by_name, by_object = (
            quick(image_shape=(2, 2), **{component.kind: value}).fit(X)
            for value in (name, component())
        )
        assert_same(outputs(by_object, X[:9]), outputs(by_name, X[:9]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda")])
def test_cuda_without_cuda_says_what_to_do(device, iris):
    with pytest.raises(ValueError, match=r"device='cuda.*0 CUDA devices.*'auto' or 'cpu'"):
        VAETransformer(device=device).fit(iris)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_the_device_is_told(device, quick, iris):
    model = quick(device=device).fit(iris)
    assert clone(model).get_params()["device"] == device
    assert model.device_ == "cpu"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_model_of_cuda_agrees_with_the_cpu_and_loads_without_cuda(quick, iris, tmp_path):
    on_cpu, on_cuda = (quick(device=name, max_iter=0).fit(iris) for name in ("cpu", "cuda"))
    np.testing.assert_allclose(on_cuda.transform(iris), on_cpu.transform(iris), atol=1e-4)
    assert quick(device="cuda").fit(iris).device_.startswith("cuda")
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(on_cuda))
    code = f"import pickle; print(pickle.load(open({str(path)!r}, 'rb')).device_)"
    assert printed_without_cuda(code) == "cpu"


@pytest.mark.parametrize("n_rows", [2, 3, 4])
def test_too_few_rows_for_a_hold_out_say_so(n_rows, iris):
    with pytest.raises(ValueError, match=f"validation_fraction=0.1 of {n_rows} rows.*X_val"):
        VAETransformer(early_stopping=True).fit(iris[:n_rows])
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        VAETransformer().fit(iris[:1])


@pytest.mark.parametrize(
    "method", [*METHODS, "inverse_transform", "sample", "get_feature_names_out"]
)
def test_methods_before_fit_say_so(method, iris):
    arguments = () if method in ("sample", "get_feature_names_out") else (iris,)
    with pytest.raises(NotFittedError, match="VAETransformer"):
        getattr(VAETransformer(), method)(*arguments)


# -- a failure changes nothing -------------------------------------------------------------

FAILURES = {
    "infinite": lambda m, X: m.fit(np.where(X > 3, np.inf, X)),
    "bad parameter": lambda m, X: m.set_params(latent_dim=0).fit(X),
    "other columns, support": lambda m, X: m.set_params(likelihood="bernoulli").fit(X[:, :2]),
    "frame, device": lambda m, X: m.set_params(device="tpu").fit(
        pd.DataFrame(X).add_prefix("")
    ),
    "validation rows": lambda m, X: m.fit(X[:, :3], X_val=X),
    "interrupt": lambda m, X: m.set_params(verbose=True).fit(X[:, :3]),
    "interrupted warm start": lambda m, X: m.set_params(verbose=True, warm_start=True).fit(X),
    "interrupted stream": lambda m, X: m.set_params(verbose=True).partial_fit(X),
    "warning as error": lambda m, X: m.set_params(init="random", max_iter=1).fit(X[:, :3]),
}


@pytest.mark.parametrize("fitted_by", ["fit", "partial_fit"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=list(FAILURES))
def test_after_a_failure_the_earlier_fit_is_whole(failure, fitted_by, quick, iris):
    model = getattr(quick(), fitted_by)(iris)
    untouched, parameters = copy.deepcopy(model), model.get_params()
    expected, attributes = outputs(model, iris[:9]), set(vars(model))
    with warnings.catch_warnings(), contextlib.redirect_stdout(Interrupted()):
        warnings.simplefilter("error", ConvergenceWarning)
        with pytest.raises((ValueError, KeyboardInterrupt, ConvergenceWarning)):
            failure(model, iris)
    assert_same(outputs(model, iris[:9]), expected)
    assert set(vars(model)) == attributes
    # And so is what a stream goes on from.
    model.set_params(**parameters)
    assert_same(*(outputs(m.partial_fit(iris), iris[:9]) for m in (model, untouched)))


def test_a_failed_first_fit_leaves_the_estimator_unfitted(iris):
    model = VAETransformer(likelihood="bernoulli")
    before = set(vars(model))
    with pytest.raises(ValueError, match="MinMaxScaler"):
        model.fit(iris)
    assert set(vars(model)) == before


# -- parameters ----------------------------------------------------------------------------


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
