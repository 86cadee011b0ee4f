"""What the ranks of a group must agree on before they train one model, and at the end."""

import hashlib
import pickle
from contextlib import contextmanager

import numpy as np

from skvae.components import same_parameters
from skvae.estimators.state import get_state
from skvae.group import GroupError, open_group

# Parameters that may differ between ranks.
_OWN = {"device", "verbose"}
# Characters of a value in a message.
_MOST_TEXT = 200
# Attributes of the place of a training, which are no part of its result.
_NOT_FITTED = {"device_", "_versions"}


@contextmanager
def in_group(estimator, group, continues):
    """Open the group of a fit; errors of the body are raised on all ranks.

    Callbacks are those of rank 0: another rank has none in the body.

    Parameters
    ----------
    estimator : LatentTransformer
    group : None, "world" or ProcessGroup
    continues : bool
        Whether the training continues from a fitted model.
    """
    group = open_group(group)
    hidden = {}
    if not group.is_main and "_skl_callbacks" in vars(estimator):
        hidden["_skl_callbacks"] = vars(estimator).pop("_skl_callbacks")
    with group.sharing_errors():
        main, *others = group.gather(continues)
        for rank, other in enumerate(others, start=1):
            if other != main:
                one, none = (rank, 0) if other else (0, rank)
                raise ValueError(
                    f"Rank {one} of {group.size} continues a fitted model, and rank {none} has "
                    "none: load the same model on all ranks."
                )
        yield group
        # An error of any rank up to here ends the fit on all.
        group.agree(False)
    vars(estimator).update(hidden)


def check_agreement(group, estimator, continues, **arguments):
    """Raise ValueError on all ranks unless they have the same parameters and columns.

    Parameters
    ----------
    group : Group
    estimator : LatentTransformer
        After the validation of its rows.
    continues : bool
        Whether the training continues from its fitted model.
    **arguments : dict
        What else must be the same, by a name for the message.
    """
    if group.size == 1:
        return
    names = getattr(estimator, "feature_names_in_", None)
    own = {
        "another class": type(estimator).__name__,
        **{f"another {name}": value for name, value in _parameters(estimator).items()},
        "another number of columns": estimator.n_features_in_,
        "other names of columns": None if names is None else names.tolist(),
        **arguments,
        "another fitted model": fingerprint(vars(estimator)) if continues else None,
    }
    main, *others = group.gather(own)
    for rank, other in enumerate(others, start=1):
        for what in {**main, **other}:
            if what not in main or not same_parameters(main[what], other.get(what)):
                raise ValueError(
                    f"Rank {rank} of {group.size} has {what} than rank 0: "
                    f"{_short(other.get(what))} and not {_short(main.get(what))}. Pass the "
                    "same to the estimators of all ranks."
                )


def stopping_in(group, early_stopping):
    """Return the parameter `early_stopping` as it is in a group.

    The folds of a cross-validation would be trained on all ranks at once, each with a fifth of
    few rows: "auto" holds out rows in a group of any size.
    """
    if group.size == 1 or early_stopping not in ("cv", "auto"):
        return early_stopping
    if early_stopping == "cv":
        raise ValueError(
            "early_stopping='cv' is for few rows and is not done in a group: use True, which "
            "holds out rows of each rank, or False, or fit in one process."
        )
    return True


def check_not_in(group):
    """Raise ValueError in a group, for a candidate of a search."""
    if group.size > 1:
        raise ValueError(
            "A search cannot fit its candidates in a group: its ranks would not choose the "
            "same one. Search in one process, for example on a part of the rows, and fit the "
            "best estimator in the group."
        )


def check_same_result(group, attributes):
    """Raise GroupError unless all ranks have the same fitted attributes, bit for bit."""
    if group.size == 1:
        return
    if len(set(group.gather(fingerprint(attributes)))) > 1:
        raise GroupError(
            f"The {group.size} ranks have trained different models, which is an error of skvae "
            "or of a network, a likelihood or a callback that draws from a global generator."
        )


def fingerprint(attributes):
    """Return a hash of the fitted attributes of an estimator, but for where it was fitted."""
    state = get_state({name: attributes[name] for name in attributes if _is_fitted(name)})
    digest = hashlib.sha256()
    _update(digest, {name: state[name] for name in state if name not in _NOT_FITTED})
    return digest.hexdigest()


def _is_fitted(name):
    return name.endswith("_") or name in ("_architecture", "_units", "_fitted", "_moments")


def _update(digest, value):
    """Add a value to a hash: arrays by their bytes, others by their representation."""
    if isinstance(value, dict):
        for key in sorted(value):
            digest.update(str(key).encode())
            _update(digest, value[key])
    elif isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    else:
        digest.update(repr(value).encode())


def _parameters(estimator):
    """Return the parameters that all ranks must share, as values that can be sent."""
    return {
        name: _sendable(value)
        for name, value in estimator.get_params(deep=False).items()
        if name not in _OWN
    }


def _sendable(value):
    """Return a value, or the representation of one that cannot be pickled."""
    if isinstance(value, np.random.RandomState):
        # The seed of rank 0 is used, as without any.
        return None
    try:
        pickle.dumps(value)
    except Exception:
        return repr(value)
    return value


def _short(value):
    text = repr(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
