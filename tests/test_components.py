"""Names, objects and mistakes: what an estimator's component parameters accept."""

import copy
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from torch import nn

from skvae.components import Component, resolve, same_parameters
from skvae.likelihoods import LIKELIHOODS, Categorical, Gaussian, Likelihood
from skvae.networks import MLP, NETWORKS, ConvNet, ModuleNetwork
from skvae.posteriors import POSTERIORS

REGISTRIES = {"network": NETWORKS, "likelihood": LIKELIHOODS, "posterior": POSTERIORS}
ENTRIES = [
    pytest.param(registry, name, id=f"{kind}-{name}")
    for kind, registry in REGISTRIES.items()
    for name in registry
]
each_registry = pytest.mark.parametrize(
    ("kind", "registry"), [pytest.param(*item, id=item[0]) for item in REGISTRIES.items()]
)
each_entry = pytest.mark.parametrize(("registry", "name"), ENTRIES)


@each_registry
def test_all_entries_are_of_the_kind_that_the_messages_name(kind, registry):
    assert {cls.kind for cls in registry.values()} == {kind}


@each_entry
def test_a_name_stands_for_the_object_with_its_defaults(registry, name):
    component = resolve(name, registry)
    assert type(component) is registry[name]
    assert component.get_params() == registry[name]().get_params()


@each_entry
def test_a_name_gives_a_new_object_each_time(registry, name):
    assert resolve(name, registry) is not resolve(name, registry)


@each_entry
def test_an_object_is_accepted_and_copied(registry, name):
    own = registry[name]()
    component = resolve(own, registry)
    assert type(component) is type(own)
    assert component is not own
    assert component.get_params() == own.get_params()


@each_entry
def test_the_defaults_pass_their_own_check(registry, name):
    registry[name]().check()


@each_entry
def test_clone_gives_equal_parameters_and_the_same_repr(registry, name):
    own = registry[name]()
    assert clone(own).get_params() == own.get_params()
    assert repr(clone(own)) == repr(own)


@each_entry
def test_the_repr_is_the_code_that_makes_the_object(registry, name):
    assert repr(registry[name]()) == f"{registry[name].__name__}()"


def test_the_copy_shares_no_mutable_hyper_parameter():
    sizes = [4, 3]
    component = resolve(MLP(sizes), NETWORKS)
    component.hidden_layer_sizes.append(2)
    assert sizes == [4, 3]


def test_set_params_on_the_copy_leaves_the_original():
    own = Gaussian(noise=0.5)
    resolve(own, LIKELIHOODS).set_params(noise="isotropic")
    assert own.noise == 0.5


def test_a_subclass_of_an_entry_is_accepted():
    class Narrow(Gaussian):
        pass

    assert type(resolve(Narrow(noise=0.1), LIKELIHOODS)) is Narrow


def test_a_new_component_needs_no_constraints_to_be_accepted():
    # A likelihood of the user's own is one class; only what it needs is asked of it.
    class Own(Likelihood):
        pass

    assert type(resolve(Own(), LIKELIHOODS)) is Own


@each_registry
def test_an_unknown_name_lists_the_names_in_use(kind, registry):
    with pytest.raises(ValueError, match=f"Unknown {kind} 'nonesuch'") as error:
        resolve("nonesuch", registry)
    assert all(repr(name) in str(error.value) for name in registry)


@each_registry
@pytest.mark.parametrize("value", [None, 3, ("mlp",), np.array(1.0), object()])
def test_neither_name_nor_object_names_the_parameter_and_the_options(kind, registry, value):
    with pytest.raises(TypeError, match=f"The {kind!r} parameter must be one of") as error:
        resolve(value, registry)
    assert all(repr(name) in str(error.value) for name in registry)


@each_entry
def test_a_class_in_place_of_an_instance_gets_a_hint(registry, name):
    with pytest.raises(TypeError, match="an instance, not the class"):
        resolve(registry[name], registry)


@each_registry
def test_a_component_of_another_kind_is_refused(kind, registry):
    other = next(r for k, r in REGISTRIES.items() if k != kind)
    with pytest.raises(TypeError, match=f"The {kind!r} parameter"):
        resolve(next(iter(other.values()))(), registry)


def test_a_bare_component_is_of_no_kind():
    with pytest.raises(TypeError, match="The 'likelihood' parameter"):
        resolve(Component(), LIKELIHOODS)


@pytest.mark.parametrize("noise", [0, -1.0, np.nan, np.inf, "shared", None, [0.1, 0.2]])
def test_a_bad_hyper_parameter_is_named_with_its_owner_and_range(noise):
    with pytest.raises(ValueError, match="'noise' parameter of Gaussian must be") as error:
        resolve(Gaussian(noise=noise), LIKELIHOODS)
    assert "per_feature" in str(error.value)


def test_a_bad_hyper_parameter_is_seen_at_resolve_and_not_before():
    # As in scikit-learn: __init__ and set_params only assign.
    assert Gaussian(noise=-1.0).set_params(noise=-2.0).noise == -2.0


def test_an_unknown_hyper_parameter_is_refused():
    with pytest.raises(ValueError, match="Invalid parameter 'sigma'"):
        Gaussian().set_params(sigma=1.0)


class Factory:
    """A callable whose copies are not equal to it."""

    def __init__(self, n_units=3):
        self.n_units = n_units

    def __call__(self, n_in, n_out):
        return nn.Linear(n_in, n_out)


@pytest.mark.parametrize(
    "value",
    [
        MLP((8,) * 40),
        Categorical(sizes=(2,) * 40),
        ModuleNetwork(Factory(), Factory().__call__),
        ModuleNetwork(nn.Linear(2, 3), partial(nn.Linear, bias=False)),
        ModuleNetwork(nn.Linear, Factory),
        Gaussian(noise=0.5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_copy_has_the_same_parameters(value):
    assert same_parameters(value, copy.deepcopy(value))
    assert same_parameters(value, clone(value))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MLP((8,) * 40), MLP((*(8,) * 39, 9))),
        (MLP((8,)), MLP((8, 8))),
        (MLP(), ConvNet()),
        (MLP(), None),
        (Gaussian(noise=0.5), Gaussian(noise="isotropic")),
        (Gaussian(noise=0.5), Gaussian(noise=0.6)),
        (ModuleNetwork(Factory(), Factory()), ModuleNetwork(Factory(), Factory(4))),
        (ModuleNetwork(nn.Linear(2, 3), nn.ReLU()), ModuleNetwork(nn.Linear(2, 4), nn.ReLU())),
        (ModuleNetwork(nn.Linear, nn.ReLU), ModuleNetwork(nn.Linear, nn.Tanh)),
    ],
)
def test_changed_parameters_are_not_the_same(first, second):
    assert not same_parameters(first, second)
    assert not same_parameters(second, first)


def test_numbers_and_sequences_are_compared_by_value():
    assert same_parameters(Gaussian(noise=1), Gaussian(noise=1.0))
    assert same_parameters(MLP((8, 4)), MLP([8, 4]))
    assert same_parameters(MLP((8, 4)), MLP(np.array([8, 4])))
