"""Parameter objects, and the names that stand for them."""

from typing import Any

from sklearn.base import BaseEstimator, clone


class Component(BaseEstimator):
    """A part of a model that an estimator takes as one parameter.

    Like a Gaussian-process kernel it holds hyper-parameters only: it has
    ``get_params`` and ``set_params``, so a grid search reaches inside it, and
    nothing is fitted in place.
    """

    #: What the estimator calls this parameter; used in error messages.
    kind = "component"

    _parameter_constraints: dict = {}

    def check(self) -> None:
        """Raise ValueError or TypeError when a hyper-parameter is out of range."""
        self._validate_params()


def resolve(value: Any, registry: dict[str, type[Component]]) -> Component:
    """Return a fresh component for a name, or a copy of the caller's own.

    Parameters
    ----------
    value : str or Component
        A key of `registry` or an instance of one of its kind.
    registry : dict of str to type
        The names in use.

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
