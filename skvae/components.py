"""Base class of networks, likelihoods and posteriors, and their names."""

from typing import Any

from sklearn.base import BaseEstimator, clone


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
