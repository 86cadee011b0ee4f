"""A state that was edited or damaged is refused with ValueError when it is loaded."""

import copy
from functools import reduce

import numpy as np
import pandas as pd
import pytest
import torch

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Categorical, Gaussian
from skvae.networks import MLP, ConvNet, ModuleNetwork
from skvae.posteriors import Diagonal

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

X = pd.DataFrame(np.random.RandomState(0).standard_normal((60, 4)), columns=list("abcd"))
WEIGHT = "encoder.body.output.weight"
VARIANCE = "encoder.body.hidden.1.running_var"


def load(state, estimator=VAETransformer):
    model = estimator()
    model.__setstate__(state)
    return model


def with_value(array, value):
    """Return a copy whose last element has this value."""
    changed = np.array(array)
    changed[(-1,) * changed.ndim] = value
    return changed


def spoiled(state):
    """Return states of which one part is not right, by what that is."""
    arrays = state["_fitted"]["arrays"]
    weight, moments = arrays[WEIGHT], state["_moments"][WEIGHT]
    loss = state["history_"]["loss"]
    changes = {
        "_versions": {"none": None, "a number": {"torch": 3}, "text": "1.0"},
        "_fitted arrays": {
            "another shape": arrays | {WEIGHT: weight[:2]},
            "another dtype": arrays | {WEIGHT: weight.astype(float)},
            "no array": arrays | {WEIGHT: weight.tolist()},
            "masked": arrays | {WEIGHT: np.ma.array(weight)},
            "a name more": arrays | {"odd": weight},
            "a name less": {name: arrays[name] for name in arrays if name != WEIGHT},
        },
        f"_fitted arrays {WEIGHT}": {str(v): with_value(weight, v) for v in (np.nan, -np.inf)},
        f"_fitted arrays {VARIANCE}": {
            str(v): with_value(arrays[VARIANCE], v) for v in (np.nan, np.inf, -1)
        },
        "_fitted frozen": {
            "unknown": ["odd"],
            "twice": [WEIGHT, WEIGHT],
            "a buffer": [VARIANCE],
            "none": None,
        },
        "_architecture network": {
            "other": MLP((7,)),
            "a name": "mlp",
            "a class": MLP,
            "of another kind": Gaussian(),
            "negative": MLP((-7,)),
            "zero": MLP((0,)),
            "no layers": ConvNet(()),
            "no channels": ConvNet((0, 3)),
            "no kernel": ConvNet(kernel_size=0),
            "no stride": ConvNet(stride=0),
            "no module": ModuleNetwork(3, 4),
        },
        "_architecture likelihood": {
            "other": Gaussian("heteroscedastic"),
            "no sizes": Categorical(sizes=5),
            "other sizes": Categorical(sizes=(2, 3)),
            "none": None,
        },
        "_architecture posterior": {"none": None, "of another kind": Gaussian()},
        "_architecture latent_dim": {"more": 3, "zero": 0, "negative": -1, "text": "2"},
        "_architecture image_shape": {"larger": (3, 3), "a number": 4},
        "_architecture noise": {"negative": -1.0, "NaN": np.nan, "infinite": np.inf},
        "_architecture corruption": {"unknown": "salt"},
        "_architecture odd": {"unknown": 3},
        f"_moments {WEIGHT}": {
            "another shape": moments | {"exp_avg": moments["exp_avg"][:2]},
            "a kind less": {"step": moments["step"]},
            "many steps": moments | {"step": moments["exp_avg"]},
            "infinite mean": moments | {"exp_avg": with_value(moments["exp_avg"], np.inf)},
            "negative square": moments | {"exp_avg_sq": -1 - moments["exp_avg_sq"]},
            "no square": moments | {"exp_avg_sq": with_value(moments["exp_avg_sq"], np.nan)},
            "negative step": moments | {"step": with_value(moments["step"], -1)},
            "infinite step": moments | {"step": with_value(moments["step"], np.inf)},
        },
        "_moments odd": {"of others": moments},
        "_units loc": {
            "longer": np.zeros(5),
            "not finite": np.full(4, np.nan),
            "masked": np.ma.array(np.zeros(4), mask=[1, 0, 0, 0]),
        },
        "_units scale": {"zero": np.zeros(4), "float32": np.ones(4, np.float32)},
        "_units": {"of others": {name: v[:3] for name, v in state["_units"].items()}},
        "history_": {
            "no loss": {"kl": loss},
            "longer": {"loss": np.append(loss, 0.0)},
            "masked": {"loss": np.ma.array(loss)},
        },
        "n_features_in_": {"other": 5},
        "n_iter_": {"other": 9, "no integer": 1.0, "text": "1"},
        "feature_names_in_": {"fewer": state["feature_names_in_"][:3], "none": None},
        "noise_variance_": {"more": np.ones(5), "one": 1.0},
        "latent_kl_": {"more": np.ones(3)},
    }
    for name in ("_architecture", "_units", "_moments", "history_"):
        changes.setdefault(name, {})["none"] = None
        yield f"without {name}", {key: state[key] for key in state if key != name}
    for place, values in changes.items():
        *outer, last = place.split()
        for what, value in values.items():
            twin = copy.deepcopy(state)
            reduce(dict.get, outer, twin)[last] = value
            yield f"{place}: {what}", twin


@pytest.fixture(scope="module")
def stored(quick):
    network = MLP((6,), batch_norm=True)
    return quick(network=network, max_iter=1).fit(X).__getstate__()


def test_an_invalid_state_is_refused(stored):
    load(stored)
    for what, state in spoiled(stored):
        print(what)  # the last one, when it is loaded
        with pytest.raises(
            ValueError, match=r"^This state of VAETransformer is invalid: "
        ) as caught:
            load(state)
        assert str(caught.value).endswith(
            ". It was damaged, or written by another version of skvae."
        )


@pytest.mark.parametrize("noise", [-0.1, np.nan, np.inf, 1.5, "much"])
def test_a_noise_out_of_range_is_refused(noise, autoencoder):
    state = autoencoder(noise=0.3, corruption="masking", max_iter=1).fit(X).__getstate__()
    state["_architecture"]["noise"] = noise
    with pytest.raises(ValueError, match=r"^This state of AutoencoderTransformer is invalid"):
        load(state, AutoencoderTransformer)


def test_an_autoencoder_has_no_posterior(autoencoder):
    state = autoencoder(max_iter=1).fit(X).__getstate__()
    state["_architecture"]["posterior"] = Diagonal()
    with pytest.raises(ValueError, match=r"the posterior of its model is Diagonal\(\)"):
        load(state, AutoencoderTransformer)


@pytest.mark.parametrize("position", [-1, 625, 10**6])
def test_a_random_state_with_an_invalid_position_is_refused(position):
    # To draw from it would crash the process.
    random_state = np.random.RandomState(0)
    inner = random_state.get_state(legacy=False)
    inner["state"]["pos"] = position
    random_state.set_state(inner)
    state = VAETransformer().__getstate__() | {"random_state": random_state}
    with pytest.raises(ValueError, match=f"random_state is a RandomState.*position {position}"):
        load(state)


# -- unusual, but right ----------------------------------------------------------------------


def test_numpy_integers_are_numbers(stored):
    state = copy.deepcopy(stored)
    state["_architecture"]["latent_dim"] = np.int64(2)
    state["n_iter_"] = np.int64(1)
    np.testing.assert_array_equal(load(state).transform(X), load(stored).transform(X))


def test_a_mean_square_that_overflowed_is_loaded(stored):
    state = copy.deepcopy(stored)
    state["_moments"][WEIGHT]["exp_avg_sq"].fill(np.inf)
    assert np.isfinite(load(state).partial_fit(X).score(X))


class Masked(torch.nn.Linear):
    """A layer with a buffer of minus infinity, as attention has."""

    def __init__(self, *widths):
        super().__init__(*widths)
        self.register_buffer("mask", torch.full((3,), -torch.inf))


def test_a_mask_of_the_users_module_is_loaded(quick):
    model = quick(network=ModuleNetwork(Masked, Masked)).fit(X)
    np.testing.assert_array_equal(copy.deepcopy(model).transform(X), model.transform(X))
