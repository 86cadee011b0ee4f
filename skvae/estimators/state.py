"""The state of a fitted estimator as arrays, and back.

What an estimator is pickled as holds NumPy arrays, numbers, names and parameter objects, and
no torch modules: tools that know these can store it, and loading runs no code of the file.
"""

import functools
import warnings

import numpy as np
import sklearn
import torch
from sklearn.exceptions import InconsistentVersionWarning

from skvae.data.units import Units
from skvae.model.architecture import Architecture
from skvae.model.modules import FittedModule

# Words of the Mersenne Twister: NumPy reads past its memory from a later position.
_TWISTER_WORDS = 624


class OtherVersionsWarning(InconsistentVersionWarning):
    """A model was saved with other minor versions than those that load it.

    A filter for scikit-learn's own `InconsistentVersionWarning` catches it too.

    Parameters
    ----------
    estimator_name : str
    differences : dict of str to tuple of str
        Library -> (version that saved, version that loads).
    """

    def __init__(self, estimator_name, differences):
        saved, present = differences.get("scikit-learn", (sklearn.__version__,) * 2)
        super().__init__(
            estimator_name=estimator_name,
            current_sklearn_version=present,
            original_sklearn_version=saved,
        )
        self.differences = differences

    def __str__(self):
        changes = ", ".join(
            f"{name} {saved} (here {present})"
            for name, (saved, present) in self.differences.items()
        )
        return (
            f"This {self.estimator_name} was saved with {changes}. Its results may differ or "
            "its methods fail: compare a few rows with known results, or fit it anew."
        )


def present_versions():
    """Return the versions of what a fitted model's results depend on."""
    # Not at the top: the package imports this module before it has its version.
    from skvae import __version__

    return {
        "skvae": __version__,
        "torch": str(torch.__version__),
        "scikit-learn": sklearn.__version__,
    }


def warn_of_other_versions(estimator_name, saved):
    """Warn where a minor version differs from the present one.

    Parameters
    ----------
    estimator_name : str
    saved : dict of str to str
        As `present_versions` gave them at the time.
    """
    differences = {
        name: (saved[name], present)
        for name, present in present_versions().items()
        if name in saved and saved[name].split(".")[:2] != present.split(".")[:2]
    }
    if differences:
        # From here through __setstate__ and the unpickler's C code to the caller.
        warnings.warn(OtherVersionsWarning(estimator_name, differences), stacklevel=3)


def get_state(attributes):
    """Return what an estimator is stored as, from its attributes."""
    state = {**attributes, "_versions": present_versions()}
    if "_fitted" in state:
        fitted = state["_fitted"]
        arrays = {name: _to_array(t) for name, t in fitted.module.state_dict().items()}
        state["_fitted"] = {"arrays": arrays, "frozen": list(fitted.frozen)}
        state["_architecture"] = state["_architecture"].to_dict()
        state["_units"] = state["_units"].to_arrays()
    return state


def set_state(estimator_name, state):
    """Return an estimator's attributes from what it was stored as.

    Raises
    ------
    ValueError
        If the state cannot be right: its parts do not fit together.
    """
    state = dict(state)
    warn_of_other_versions(estimator_name, state.pop("_versions", {}))
    _check_random_states(state)
    if "_fitted" not in state:
        return state
    try:
        units = Units.from_arrays(state["_units"])
        architecture = Architecture(**state["_architecture"])
        arrays, frozen = state["_fitted"]["arrays"], state["_fitted"]["frozen"]
        # A model fitted on CUDA also loads where there is none.
        if state["device_"] != "cpu" and not torch.cuda.is_available():
            state["device_"] = "cpu"
        with torch.inference_mode(False), torch.no_grad():
            module = architecture.build(units, torch.Generator())
            _load_arrays(module, arrays)
        fitted = FittedModule(module.to(state["device_"]), frozen)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"This state of a {estimator_name} cannot be right: {error!r}. It was damaged, "
            "or written by another version of skvae."
        ) from error
    return {**state, "_units": units, "_architecture": architecture, "_fitted": fitted}


def _load_arrays(module, arrays):
    """Set a module's parameters and buffers; names, shapes and dtypes must be its own."""
    own = module.state_dict()
    if set(own) != set(arrays):
        odd = sorted(set(own) ^ set(arrays))
        raise ValueError(f"This state does not fit its own network: {odd[0]} is in one alone.")
    for name, value in own.items():
        _check_array(arrays[name], value, name)
        value.copy_(torch.from_numpy(np.array(arrays[name])))


def moments_to_arrays(optimizer):
    """Return an optimiser's moments and step counts as arrays, {} where there are none."""
    if optimizer is None:
        return {}
    return {
        str(place): {name: _to_array(value) for name, value in moments.items()}
        for place, moments in optimizer.state_dict()["state"].items()
    }


def moments_from_arrays(optimizer, arrays):
    """Return moments as :func:`skvae.training.states.set_moments` takes them.

    Raises
    ------
    ValueError
        If they are not those of the optimiser's parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if set(arrays) - {str(place) for place in range(len(parameters))}:
        raise ValueError("This state holds moments of parameters that its network lacks.")
    return {
        int(place): {
            name: _moment(parameters[int(place)], name, value) for name, value in part.items()
        }
        for place, part in arrays.items()
    }


def _moment(parameter, name, array):
    if np.ndim(array) == 0:
        return torch.tensor(array)
    _check_array(array, parameter, name)
    # In the parameter's own memory layout, which the optimiser relies on.
    return torch.empty_like(parameter.detach()).copy_(torch.from_numpy(np.array(array)))


def _to_array(tensor):
    # A copy in C order, whatever the layout on the device: equal states are then equal bytes.
    return np.array(tensor.detach().cpu().numpy(), order="C")


def _check_array(array, tensor, name):
    kind = str(tensor.dtype).removeprefix("torch.")
    fits = isinstance(array, np.ndarray) and array.shape == tuple(tensor.shape)
    if not fits or str(array.dtype) != kind:
        found = f"{getattr(array, 'dtype', type(array).__name__)} {np.shape(array)}"
        raise ValueError(
            f"This state does not fit its own network: {name} should be {kind} "
            f"{tuple(tensor.shape)}, not {found}."
        )


def _check_random_states(state):
    """Raise ValueError where a RandomState has a position that NumPy cannot be in."""
    for name, value in state.items():
        if isinstance(value, np.random.RandomState):
            position = value.get_state(legacy=False)["state"].get("pos", 0)
            if not 0 <= position <= _TWISTER_WORDS:
                raise ValueError(f"{name} is a RandomState at the impossible place {position}.")


def restored_on_failure(method):
    """Put every attribute back when a method fails: an earlier fit stays usable."""

    @functools.wraps(method)
    def restoring(estimator, *args, **kwargs):
        before = vars(estimator).copy()
        try:
            return method(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return restoring
