"""Parameters of estimators that have parameters of their own."""

from skvae.components import resolve


class NestedParameters:
    """Mixin for a `set_params` that reaches into networks, likelihoods and posteriors."""

    # For each parameter that takes a component, the component classes by name.
    _registries: dict = {}

    def set_params(self, **params):
        """Set the parameters of this estimator.

        As in scikit-learn, and ``likelihood__noise`` or ``network__activation`` also
        work if the component is given by its name.

        Parameters
        ----------
        **params : dict
            Estimator parameters.

        Returns
        -------
        self : object
            This estimator.
        """
        for name, registry in self._registries.items():
            value = params.get(name, getattr(self, name))
            nested = any(key.startswith(f"{name}__") for key in params)
            if nested and isinstance(value, str):
                params[name] = resolve(value, registry)
        # The component first: BaseEstimator reads its parameters before it sets them.
        whole = {name: params.pop(name) for name in self._registries if name in params}
        super().set_params(**whole)
        return super().set_params(**params)
