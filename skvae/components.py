"""Base class of networks, likelihoods and posteriors, and their names."""

from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from torch import nn


class Component(BaseEstimator):
    """A part of a model that an estimator takes as one parameter.

    Like a Gaussian-process kernel it has hyper-parameters only, with ``get_params`` and
    ``set_params``, so that a grid search can set them. It is never fitted.
    """

    #: Name of the estimator's parameter; used in error messages.
    kind = "component"

    _parameter_constraints: dict = {}

    def check(self) -> None:
        """Raise ValueError or TypeError when a hyper-parameter is out of range."""
        self._validate_params()


def resolve(value: Any, registry: dict[str, type[Component]]) -> Component:
    """Return a new component for a name, or a clone of the caller's component.

    Parameters
    ----------
    value : str or Component
        A key of `registry`, or an instance of the same kind.
    registry : dict of str to type
        Component classes by name.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `value` is neither a name nor such a component.
    """
    ancestors = next(iter(registry.values())).__mro__
    base_class: Any = next(cls for cls in ancestors if Component in cls.__bases__)
    if isinstance(value, str):
        if value not in registry:
            raise ValueError(
                f"Unknown {base_class.kind} {value!r}. Use one of {sorted(registry)}, "
                f"or a {base_class.__name__} object."
            )
        return registry[value]()
    if not isinstance(value, base_class):
        hint = " (an instance, not the class)" if isinstance(value, type) else ""
        raise TypeError(
            f"The {base_class.kind!r} parameter must be one of {sorted(registry)} or a "
            f"{base_class.__name__} object{hint}. Got {value!r} instead."
        )
    component = clone(value)
    component.check()
    return component


def same_parameters(first: Any, second: Any) -> bool:
    """Whether two values of a parameter describe the same model.

    Sequences, components and the caller's own objects are compared by their contents,
    since the copies that an estimator makes of such objects are not equal to them.
    """
    if isinstance(first, list | tuple | np.ndarray):
        return (
            isinstance(second, list | tuple | np.ndarray)
            and len(first) == len(second)
            and all(map(same_parameters, first, second))
        )
    if isinstance(first, nn.Module):
        return repr(first) == repr(second)
    if type(first) is not type(second) or isinstance(first, FunctionType | type):
        return bool(first == second)
    if isinstance(first, MethodType):
        same_owner = same_parameters(first.__self__, second.__self__)
        return first.__func__ is second.__func__ and same_owner
    if isinstance(first, partial):
        parts = [(one.func, one.args, list(one.keywords.items())) for one in (first, second)]
        return same_parameters(*parts)
    if type(first).__eq__ is object.__eq__ and hasattr(first, "__dict__"):
        return same_parameters(list(vars(first).items()), list(vars(second).items()))
    return bool(first == second)
