"""Checks of a stored state, which may have been edited or damaged.

Their messages are the reasons that :func:`skvae.estimators.state.set_state` gives.
"""

from dataclasses import replace
from numbers import Integral
from types import NoneType

import numpy as np

from skvae.estimators.validation import check_image_shape, check_positive_integer
from skvae.likelihoods import Likelihood
from skvae.model.architecture import Architecture
from skvae.model.corruption import CORRUPTIONS
from skvae.networks import Network
from skvae.posteriors import Posterior

# Words of the Mersenne Twister: from a larger position NumPy reads past its memory.
_TWISTER_WORDS = 624


def checked_architecture(state, n_features):
    """Return the architecture, or raise an error if a part of it is out of range."""
    parts = Architecture(**state["_architecture"])
    check_positive_integer(parts.latent_dim, "latent_dim")
    kinds = {
        "network": Network,
        "likelihood": Likelihood,
        "posterior": Posterior if "posterior" in state else NoneType,
    }
    for name, kind in kinds.items():
        component = getattr(parts, name)
        if not isinstance(component, kind):
            raise ValueError(f"the {name} of its model is {component!r}")
        if component is not None:
            component.check()
    if not 0 <= parts.noise < np.inf or parts.corruption not in CORRUPTIONS:
        raise ValueError(f"noise={parts.noise!r} with corruption={parts.corruption!r}")
    return replace(
        parts,
        latent_dim=int(parts.latent_dim),
        image_shape=check_image_shape(parts.image_shape, n_features),
    )


def check_lengths(state, latent_dim, n_features):
    """Raise an error if fitted attributes do not fit each other."""
    n_epochs, history = state["n_iter_"], state["history_"]
    if not isinstance(n_epochs, Integral):
        raise ValueError(f"n_iter_ is {n_epochs!r}")
    if "loss" not in history:
        raise ValueError("history_ has no loss")
    if state["n_features_in_"] != n_features:
        raise ValueError(f"n_features_in_ does not fit its {n_features} units")
    expected = [(f"{name} of history_", values, n_epochs) for name, values in history.items()]
    for name, length in (
        ("feature_names_in_", n_features),
        ("noise_variance_", n_features),
        ("latent_kl_", latent_dim),
    ):
        expected.append((name, state.get(name, np.empty(length)), length))
    for name, values, length in expected:
        if np.shape(values) != (length,):
            raise ValueError(f"{name} has shape {np.shape(values)}, not ({length},)")


def check_not_masked(value):
    """Raise ValueError if there is a masked array in nested dictionaries."""
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError("it has a masked array")
    if isinstance(value, dict):
        for part in value.values():
            check_not_masked(part)


def check_random_states(state):
    """Raise ValueError if a RandomState has an invalid position."""
    for name, value in state.items():
        if isinstance(value, np.random.RandomState):
            position = value.get_state(legacy=False)["state"].get("pos", 0)
            if not 0 <= position <= _TWISTER_WORDS:
                raise ValueError(f"{name} is a RandomState with invalid position {position}")
