"""Convert a fitted estimator to a state of arrays, and back.

The pickled state has NumPy arrays, numbers, strings and parameter objects, but no torch
modules: tools that support these can store it, and loading runs no code from the file.
"""

import functools
import warnings

import numpy as np
import sklearn
import torch
from sklearn.exceptions import InconsistentVersionWarning

from skvae.data.encoding import TableEncoding
from skvae.data.marginals import units_from_arrays
from skvae.estimators.state_checks import (
    check_lengths,
    check_not_masked,
    check_random_states,
    checked_architecture,
)
from skvae.machine import resolve_device
from skvae.model.modules import FittedModule

# AdamW's state of each parameter.
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}


class OtherVersionsWarning(InconsistentVersionWarning):
    """Issued when a model was saved with other minor versions than the installed ones.

    A filter for scikit-learn's `InconsistentVersionWarning` applies to it too.

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
            "its methods fail: compare a few rows with known results, or fit it again."
        )


def present_versions():
    """Return the versions of the libraries that a fitted model's results depend on."""
    # Not at the top: the package imports this module before it sets its version.
    from skvae import __version__

    return {
        "skvae": __version__,
        "torch": str(torch.__version__),
        "scikit-learn": sklearn.__version__,
    }


def other_versions(saved):
    """Return the libraries whose minor version differs from the installed one.

    Parameters
    ----------
    saved : dict of str to str
        Result of `present_versions` when the model was saved.

    Returns
    -------
    dict of str to tuple of str
        Library -> (version that saved, version that loads).
    """
    pairs = {
        name: (saved.get(name, present), present)
        for name, present in present_versions().items()
    }
    return {
        name: (before, present)
        for name, (before, present) in pairs.items()
        if before.split(".")[:2] != present.split(".")[:2]
    }


def get_state(attributes):
    """Return the state in which an estimator is stored, from its attributes."""
    state = {**attributes, "_versions": present_versions()}
    if "_fitted" in state:
        fitted = state["_fitted"]
        arrays = {name: _to_array(t) for name, t in fitted.module.state_dict().items()}
        state["_fitted"] = {"arrays": arrays, "frozen": list(fitted.frozen)}
        state["_architecture"] = state["_architecture"].to_dict()
        state["_units"] = state["_units"].to_arrays()
        if state.get("_encoding") is not None:
            state["_encoding"] = state["_encoding"].to_arrays()
    return state


def set_state(estimator_name, state):
    """Return an estimator's attributes from its stored state.

    Raises
    ------
    ValueError
        If the state is invalid: its parts do not fit together.
    """
    try:
        state = dict(state)
        differences = other_versions(state.pop("_versions", {}))
        if differences:
            # From here through __setstate__ and the unpickler's C code to the caller.
            warnings.warn(OtherVersionsWarning(estimator_name, differences), stacklevel=3)
        check_not_masked(state)
        check_random_states(state)
        return {**state, **_rebuild(state)} if "_fitted" in state else state
    except (Warning, torch.OutOfMemoryError):
        # The first by a filter of the user's; neither is an error of the state.
        raise
    except Exception as error:
        reason = str(error).rstrip(".") if isinstance(error, ValueError) else repr(error)
        raise ValueError(
            f"This state of {estimator_name} is invalid: {reason}. It was damaged, or written "
            "by another version of skvae."
        ) from error


def _rebuild(state):
    """Return the attributes of a fitted estimator that are not stored as they are."""
    units = units_from_arrays(state["_units"])
    architecture = checked_architecture(state, units.n_features)
    check_lengths(state, architecture.latent_dim, units.n_features)
    with torch.inference_mode(False), torch.no_grad():
        module = architecture.build(units, torch.Generator())
        _load_arrays(module, state["_fitted"]["arrays"])
    frozen, names = state["_fitted"]["frozen"], dict(module.named_parameters())
    if len(set(frozen)) != len(frozen) or not set(frozen) <= set(names):
        raise ValueError(
            f"the frozen parameters {frozen} are not different ones of its network"
        )
    moments_from_arrays(module, state["_moments"])
    device = _present_device(state["device_"])
    encoding = state.get("_encoding")
    return {
        "_encoding": None if encoding is None else TableEncoding.from_arrays(encoding),
        "_units": units,
        "_architecture": architecture,
        "_fitted": FittedModule(module.to(device), units.n_features, frozen),
        "device_": device,
    }


def _present_device(name):
    """Return a device, or the CPU if it is missing, so that CUDA models load anywhere."""
    try:
        return str(resolve_device(name))
    except ValueError:
        return "cpu"


def _load_arrays(module, arrays):
    """Set a module's parameters and buffers; names, shapes and dtypes must match."""
    own = module.state_dict()
    if set(own) != set(arrays):
        odd = sorted(set(own) ^ set(arrays))
        raise ValueError(f"only one of the arrays and the network has {odd[0]}")
    for name, value in own.items():
        loaded = _to_tensor(arrays[name], value, name)
        # The user's own buffers may have such values from the start, as a mask does.
        valid = loaded.isfinite() | ~value.isfinite()
        if name.endswith("running_var"):
            valid &= loaded >= 0
        if not valid.all():
            raise ValueError(f"{name} has values that are not finite, or a negative variance")
        value.copy_(loaded)


def moments_to_arrays(optimizer):
    """Return an optimiser's moments and step counts by the names of their parameters.

    Return {} without an optimiser.
    """
    if optimizer is None:
        return {}
    names = [name for group in optimizer.param_groups for name in group["param_names"]]
    return {
        names[i]: {kind: _to_array(value) for kind, value in moments.items()}
        for i, moments in optimizer.state_dict()["state"].items()
    }


def moments_from_arrays(module, arrays):
    """Return moments as the `state` of an optimiser of the module's parameters.

    Raises
    ------
    ValueError
        If they do not fit the module's parameters.
    """
    parameters = dict(module.named_parameters())
    odd = sorted(set(arrays) - set(parameters))
    if odd:
        raise ValueError(f"it has moments of {odd[0]}, which is not in its network")
    moments = {}
    for name, kinds in arrays.items():
        if set(kinds) != _MOMENTS:
            raise ValueError(f"it has {sorted(kinds)} as the moments of {name}")
        # In the memory layout of the parameter, which the optimiser relies on.
        like = parameters[name].detach()
        own = moments[parameters[name]] = {
            kind: _to_tensor(array, like if kind != "step" else like.new_empty(()), name)
            for kind, array in kinds.items()
        }
        # A mean square may overflow: a large gradient is finite, but not its square.
        finite = own["step"].isfinite() & own["exp_avg"].isfinite().all()
        if not (finite & (own["step"] >= 0) & (own["exp_avg_sq"] >= 0).all()):
            raise ValueError(f"the moments of {name} are not finite, or negative")
    return moments


def _to_array(tensor):
    # A copy in C order, so that equal states have equal bytes whatever the device's layout.
    return np.array(tensor.detach().cpu().numpy(), order="C")


def _to_tensor(array, like, name):
    """Return an array as a tensor; dtype and shape must be those of `like`."""
    kind = str(like.dtype).removeprefix("torch.")
    fits = isinstance(array, np.ndarray) and array.shape == tuple(like.shape)
    if not fits or str(array.dtype) != kind:
        found = f"{getattr(array, 'dtype', type(array).__name__)} {np.shape(array)}"
        raise ValueError(
            f"for its network {name} should be {kind} {tuple(like.shape)}, not {found}"
        )
    # A copy: torch does not accept read-only arrays, such as memory-mapped files.
    return torch.empty_like(like).copy_(torch.from_numpy(np.array(array)))


class FittedState:
    """Mixin of estimators: their fitted attributes, and how they are stored."""

    def _set_fitted(self, attributes):
        # An earlier fit may have set it, and this one may not.
        vars(self).pop("noise_variance_", None)
        vars(self).update(attributes)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_fitted")

    def __getstate__(self):
        return get_state(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(set_state(type(self).__name__, state))


def restored_on_failure(method):
    """Restore all attributes if a fit fails, so that an earlier one stays usable.

    It fails before it starts if it is given weights of the rows.
    """

    @functools.wraps(method)
    def restoring(estimator, *args, **kwargs):
        _refuse_weights(estimator, method, kwargs)
        before = vars(estimator).copy()
        try:
            return method(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return restoring


def _refuse_weights(estimator, method, kwargs):
    """Raise TypeError that says what to do instead of passing weights of the rows."""
    # Python's own error would not.
    if "sample_weight" in kwargs:
        raise TypeError(
            f"{type(estimator).__name__}.{method.__name__} takes no sample_weight: all rows "
            "count the same. Repeat or draw rows instead, for example with "
            "sklearn.utils.resample."
        )
