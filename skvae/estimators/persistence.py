"""Save a fitted estimator to a file that holds no code, and load it."""

import os
from pathlib import Path

import sklearn

from skvae.estimators.autoencoder import AutoencoderTransformer
from skvae.estimators.describe import Describer, Rebuilder
from skvae.estimators.vae import VAETransformer
from skvae.files import BadFileError, pack, unpack, write_atomically

_ESTIMATORS = {cls.__name__: cls for cls in (VAETransformer, AutoencoderTransformer)}
_REQUESTS = "_metadata_request"


def save(estimator, path):
    """Save an estimator to a file that holds numbers and names, and no code.

    Unlike a file of pickle or joblib it can be loaded without trust in its origin. It
    holds all of the estimator but its callbacks: parameters, fitted attributes and what a
    further training continues from, the optimiser's moments too. It is written whole or
    not at all.

    Parameters
    ----------
    estimator : VAETransformer or AutoencoderTransformer
        Fitted or not.
    path : str or PathLike
        Where to; a file that is there is replaced.

    Raises
    ------
    TypeError
        If `estimator` is another object, or holds one that cannot be told without code, such
        as the modules of a `ModuleNetwork`.
    OSError
        If the file cannot be written: its folder is missing, or `path` is itself a folder.

    See Also
    --------
    load : The way back.

    Notes
    -----
    In a pipeline, save this step so and the others with their own means.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> import skvae
    >>> X = load_iris().data
    >>> model = skvae.VAETransformer(max_iter=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "iris.skvae"
    ...     skvae.save(model, path)
    ...     loaded = skvae.load(path)
    >>> bool((loaded.transform(X) == model.transform(X)).all())
    True
    """
    kind = type(estimator)
    if _ESTIMATORS.get(kind.__name__) is not kind:
        raise TypeError(
            f"skvae.save takes one of {sorted(_ESTIMATORS)}, got {kind.__name__}. Save a "
            "pipeline's other steps by their own means, or all by pickle or joblib."
        )
    describe = Describer()
    state = estimator.__getstate__()
    state.pop("_skl_callbacks", None)
    requests = _requests(state.pop(_REQUESTS, None))
    description = {
        "class": kind.__name__,
        "state": {name: describe(value, name) for name, value in state.items()},
        "requests": describe(requests, "the metadata request"),
    }
    write_atomically(path, pack(description, describe.arrays))


def load(path):
    """Load an estimator that :func:`save` wrote. No code of the file is run: it holds none.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    VAETransformer or AutoencoderTransformer
        Gives the same bits as the one that was saved, on the same machine and versions.
        One that was fitted on CUDA is on the CPU where there is none.

    Raises
    ------
    ValueError
        If the file is truncated, was altered, is another's, or of a newer format.

    Warns
    -----
    OtherVersionsWarning
        If the minor version of skvae, torch or scikit-learn is another.

    See Also
    --------
    save : The way there, with an example.

    Notes
    -----
    The checksum tells an accident, not a forger: a file from a stranger cannot run code,
    but may hold any model.

    Examples
    --------
    >>> import skvae
    >>> skvae.load("model.pickle")  # doctest: +SKIP
    Traceback (most recent call last):
    ValueError: Cannot load 'model.pickle': it was not written by skvae.save. ...
    """
    data = Path(path).read_bytes()
    try:
        description, arrays = unpack(data)
        estimator, state = _rebuild(description, Rebuilder(arrays))
    # Whatever a forged description makes fail, the fault is the file's.
    except Exception as error:
        known = isinstance(error, BadFileError)
        reason = error if known else f"its contents do not fit together ({error!r})"
        raise ValueError(f"Cannot load {os.fspath(path)!r}: {reason}.") from error
    estimator.__setstate__(state)
    return estimator


def _rebuild(description, rebuild):
    """Return an empty estimator with its metadata requests, and its state."""
    estimator = _ESTIMATORS[description["class"]]()
    requests = rebuild(description["requests"])
    with sklearn.config_context(enable_metadata_routing=True):
        for method, request in requests.items():
            getattr(estimator, f"set_{method}_request")(**request)
    return estimator, {name: rebuild(item) for name, item in description["state"].items()}


def _requests(metadata_request):
    """Return method -> what it requests, of scikit-learn's object for it."""
    if metadata_request is None:
        return {}
    parts = {
        name: getattr(part, "requests", None) for name, part in vars(metadata_request).items()
    }
    return {name: dict(part) for name, part in parts.items() if part}
