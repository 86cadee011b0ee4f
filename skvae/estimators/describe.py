"""Values as JSON and arrays, and back, for classes from closed lists only.

What JSON knows stands for itself; everything else is an object of one key, the kind of
value. To rebuild one, a kind is looked up here and a class by its name in a list of
skvae's own and torch's layers: a description cannot name anything else.
"""

import math
from dataclasses import fields

import numpy as np
import torch

from skvae.components import Component
from skvae.data.units import Units
from skvae.estimators.structure import describe_module, rebuild_module
from skvae.files import BadFileError
from skvae.likelihoods import LIKELIHOODS
from skvae.model.modules import Fitted
from skvae.networks import NETWORKS
from skvae.posteriors import POSTERIORS

COMPONENTS: dict[str, type[Component]] = {
    cls.__name__: cls
    for registry in (NETWORKS, LIKELIHOODS, POSTERIORS)
    for cls in registry.values()
}
_RECORDS = {"Units": Units}


class Describer:
    """Turns values into descriptions, and collects their arrays.

    Attributes
    ----------
    arrays : list of ndarray
    """

    def __init__(self):
        self.arrays = []

    def __call__(self, value, name):
        """Return the description of a value; errors call it `name`.

        Raises
        ------
        TypeError
            If it, or something in it, cannot be told without code.
        """
        if value is None or type(value) in (bool, int) or isinstance(value, str):
            return str(value) if isinstance(value, str) else value
        if type(value) is float and math.isfinite(value):
            return value
        if type(value) is list:
            return [self(item, name) for item in value]
        for kind, (belongs, describe, _) in KINDS.items():
            if belongs(value):
                return {kind: describe(self, value, name)}
        raise TypeError(
            f"{name} holds {_shortened(value)}, which a file without code cannot describe: "
            "skvae.save knows the networks, likelihoods and posteriors of skvae itself. Use "
            "pickle or joblib for this estimator; their files run code when they are loaded, "
            "so take them only from where you trust."
        )

    def store(self, array):
        """Keep an array and return its number."""
        self.arrays.append(array)
        return len(self.arrays) - 1


class Rebuilder:
    """Turns descriptions back into values.

    Parameters
    ----------
    arrays : list of ndarray
    """

    def __init__(self, arrays):
        self.arrays = arrays

    def __call__(self, description):
        """Return the value of a description."""
        if isinstance(description, list):
            return [self(item) for item in description]
        if not isinstance(description, dict):
            return description
        ((kind, content),) = description.items()
        return KINDS[kind][2](self, content)


def _shortened(value):
    text = f"{type(value).__name__} object"
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {text}"


def _describe_pairs(describe, value, name):
    return [
        [describe(key, name), describe(item, f"{name}[{key!r}]")] for key, item in value.items()
    ]


def _describe_tensor(describe, value, name):
    tensor = value.detach().cpu()
    # Strides too: channels-last weights are multiplied in another order than others.
    return [describe.store(tensor.numpy()), list(tensor.stride())]


def _rebuild_tensor(rebuild, content):
    number, strides = content
    source = torch.from_numpy(rebuild.arrays[number])
    reach = 1 + sum((n - 1) * s for n, s in zip(source.shape, strides, strict=True))
    if source.numel() and reach != source.numel():
        raise BadFileError("it holds a tensor with gaps")
    return torch.empty_strided(source.shape, strides, dtype=source.dtype).copy_(source)


def _describe_component(describe, value, name):
    parameters = value.get_params(deep=False)
    told = {key: describe(item, f"{name}.{key}") for key, item in parameters.items()}
    return [type(value).__name__, told]


def _rebuild_component(rebuild, content):
    name, parameters = content
    return COMPONENTS[name](**{key: rebuild(item) for key, item in parameters.items()})


def _describe_record(describe, value, name):
    told = {f.name: describe(getattr(value, f.name), f"{name}.{f.name}") for f in fields(value)}
    return [type(value).__name__, told]


def _rebuild_record(rebuild, content):
    name, values = content
    return _RECORDS[name](**{key: rebuild(item) for key, item in values.items()})


def _rebuild_random_state(rebuild, content):
    rng = np.random.RandomState()
    rng.set_state(rebuild(content))
    return rng


def _is_listed(classes):
    return lambda value: classes.get(type(value).__name__) is type(value)


def _is_numeric(value):
    # Not long doubles, whose layout differs between machines.
    numeric = isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf"
    return numeric and value.dtype.itemsize <= 8


# Kind -> (whether a value is of it, describe(describer, value, name), rebuild(rebuilder, it)).
KINDS = {
    "tuple": (
        lambda value: type(value) is tuple,
        lambda describe, value, name: describe(list(value), name),
        lambda rebuild, items: tuple(rebuild(items)),
    ),
    "dict": (
        lambda value: type(value) is dict,
        _describe_pairs,
        lambda rebuild, pairs: {rebuild(key): rebuild(item) for key, item in pairs},
    ),
    "float": (
        lambda value: type(value) is float,
        lambda describe, value, name: repr(value),
        lambda rebuild, text: float(text),
    ),
    "scalar": (
        lambda value: isinstance(value, np.generic) and _is_numeric(value),
        lambda describe, value, name: describe.store(np.asarray(value)),
        lambda rebuild, number: rebuild.arrays[number][()],
    ),
    "array": (
        lambda value: isinstance(value, np.ndarray) and _is_numeric(value),
        lambda describe, value, name: describe.store(value),
        lambda rebuild, number: rebuild.arrays[number],
    ),
    "names": (
        lambda value: (
            isinstance(value, np.ndarray)
            and value.ndim == 1
            and all(isinstance(item, str) for item in value)
        ),
        lambda describe, value, name: [str(item) for item in value],
        lambda rebuild, names: np.array([str(item) for item in names], dtype=object),
    ),
    "tensor": (lambda v: isinstance(v, torch.Tensor), _describe_tensor, _rebuild_tensor),
    "device": (
        lambda value: isinstance(value, torch.device),
        lambda describe, value, name: str(value),
        lambda rebuild, name: torch.device(name),
    ),
    "random_state": (
        lambda value: type(value) is np.random.RandomState,
        lambda describe, value, name: describe(value.get_state(), name),
        _rebuild_random_state,
    ),
    "component": (_is_listed(COMPONENTS), _describe_component, _rebuild_component),
    "record": (_is_listed(_RECORDS), _describe_record, _rebuild_record),
    "fitted": (
        lambda value: type(value) is Fitted,
        # Its own state: on the CPU, and without what it can make anew.
        lambda describe, value, name: describe_module(
            describe, value.__getstate__()["module"], name
        ),
        lambda rebuild, module: Fitted(rebuild_module(rebuild, module)),
    ),
}
