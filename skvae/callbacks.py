"""Callbacks for :mod:`sklearn.callback` that need no display.

A callback of one's own is a class with four methods, `setup`, `on_fit_task_begin`,
`on_fit_task_end` and `teardown`, whose parameters have the names below. The training ends if
`on_fit_task_end` of an epoch returns True; an error loses it. The method is also given the
model so far if it has a parameter ``*, fitted_estimator``.

At the end of each epoch, ``context.epoch_history`` is a dict of that epoch's values of
``history_``: ``loss``, ``reconstruction``, ``kl`` and, with held-out rows, the same with the
prefix ``validation_``, in nats per row and the units of the data.
``context.task_id`` counts from 0 in each `fit`, also in one that goes on by `warm_start`.

With ``early_stopping="cv"``, as "auto" is for small tables, ``context.parent.task_name`` is
first "cross-validation", where the values are means over the folds, and then "final training",
of the model that is kept. ``examples/optuna_pruning.py`` and ``examples/mlflow_logging.py``
have a callback each for Optuna and MLflow.

Examples
--------
>>> from sklearn.datasets import load_iris
>>> from skvae import VAETransformer
>>> class PrintLosses:
...     def setup(self, estimator, context):
...         pass
...
...     def on_fit_task_begin(self, estimator, context):
...         pass
...
...     def on_fit_task_end(self, estimator, context):
...         if context.task_name == "epoch":
...             loss = context.epoch_history["validation_loss"]
...             print(f"{context.parent.task_name}, epoch {context.task_id}: {loss:.1f}")
...
...     def teardown(self, estimator, context):
...         pass
>>> vae = VAETransformer(max_iter=2, random_state=0).set_callbacks(PrintLosses())
>>> _ = vae.fit(load_iris().data)  # doctest: +ELLIPSIS
cross-validation, epoch 0: ...
cross-validation, epoch 1: ...
final training, epoch 0: ...
"""

import copy
import errno
import os
import pickle
import shutil
import uuid
from contextlib import suppress
from numbers import Integral
from pathlib import Path

from skvae.training.progress import is_search_candidate

__all__ = ["Checkpoint"]

# Attributes that scikit-learn sets on an estimator during `fit`.
_TRANSIENT = ("_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx")


class Checkpoint:
    """Callback that writes the estimator to a file while it is trained.

    Set it on the estimator itself with ``estimator.set_callbacks``. Every `every` epochs it
    writes a fitted estimator in the current state, and at the end of `fit` one in the state
    that is kept, with held-out rows the best. There is no file of each epoch, nor one of the
    best state before the end: after a kill it is lost. The file is replaced as a whole: if the
    process is killed, even by ``kill -9`` or a power cut, the file can be loaded, or there is
    none yet.

    To resume, load the file and call `fit` with ``warm_start=True``. Training continues from
    the state in the file with the optimiser's moments and the rest of a `kl_warmup`, for up
    to `max_iter` more epochs, and the history is appended to. The
    one-cycle schedule over `max_iter` epochs and the random draws are new: the result is not
    exactly that of the training that was killed. The estimator in the file has its callbacks,
    including this one.

    In a pipeline, set it on the step; the file then contains that step. In a search only the
    refit is written, not the candidates. If ``early_stopping="cv"`` trains several models, as
    "auto" does for small tables, the file is only written while the last of them is trained,
    that of all rows.

    Parameters
    ----------
    path : str or path-like
        The file to write. Its folder must exist; an existing file is replaced.
    every : int, default=1
        Number of epochs from one writing to the next.

    Notes
    -----
    The file is a pickle, to be loaded by :func:`pickle.load` or ``joblib.load``, and only if
    you trust its origin. A process that is killed while it writes leaves a temporary file
    ``.<name>.<number>.tmp``, which can be deleted. `partial_fit` calls no callbacks: write
    a file between two calls instead.

    Examples
    --------
    >>> import tempfile
    >>> import joblib
    >>> from sklearn.datasets import load_iris
    >>> from skvae import VAETransformer
    >>> from skvae.callbacks import Checkpoint
    >>> X = load_iris().data
    >>> vae = VAETransformer(max_iter=50, early_stopping=True, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/vae.joblib"
    ...     _ = vae.set_callbacks(Checkpoint(path, every=5)).fit(X)
    ...     resumed = joblib.load(path).set_params(warm_start=True, max_iter=100).fit(X)
    >>> bool(resumed.n_iter_ > vae.n_iter_)
    True
    """

    def __init__(self, path, every=1):
        self.path = path
        self.every = every

    # -- scikit-learn's protocol -----------------------------------------------------

    def setup(self, estimator, context):
        """Check the parameters and that the file can be written, before any training."""
        if not isinstance(self.every, Integral) or self.every < 1:
            raise ValueError(f"every={self.every!r} of Checkpoint must be a positive integer.")
        if not isinstance(self.path, str | os.PathLike) or not str(self.path):
            raise TypeError(f"path={self.path!r} of Checkpoint must be the path of a file.")
        if not hasattr(estimator, "warm_start") or not hasattr(estimator, "partial_fit"):
            raise TypeError(
                f"Checkpoint cannot resume {type(estimator).__name__}. Set it on the "
                "autoencoder itself; in a pipeline, on that step."
            )
        _pickled(estimator)
        _check_writable(Path(self.path))

    def on_fit_task_begin(self, estimator, context):
        """Do nothing."""

    def wants_fitted_estimator(self, context):
        """Whether the estimator is written at the end of a task: not between two writings."""
        between = context.task_name == "epoch" and (context.task_id + 1) % self.every
        return not (between or context.task_name == "steps" or is_search_candidate(context))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Write the estimator, unless it is the end of an epoch between two writings."""
        if fitted_estimator is None or not self.wants_fitted_estimator(context):
            return
        _write_atomically(Path(self.path), _pickled(fitted_estimator))

    def teardown(self, estimator, context):
        """Do nothing."""


def _pickled(estimator):
    """Return the pickle of an estimator without the attributes of the running fit."""
    stored = copy.copy(estimator)
    for name in _TRANSIENT:
        vars(stored).pop(name, None)
    try:
        return pickle.dumps(stored, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"Checkpoint cannot write this {type(estimator).__name__}: {error}. Modules, "
            "functions and callbacks in it must be picklable: define them at the top level "
            "of a module."
        ) from error


def _check_writable(path):
    """Raise OSError or ValueError that names the path if no file can be written to it."""
    if "\0" in str(path):
        raise ValueError(f"path={str(path)!r} of Checkpoint contains a null character.")
    temporary = _temporary(_target(path))
    try:
        with open(temporary, "xb"):
            pass
        temporary.unlink()
    except OSError as error:
        # The same error, which names the temporary file, would be unclear.
        raise OSError(error.errno, error.strerror, str(path)) from error


def _target(path):
    """Return the path of the file to write, or raise OSError or ValueError.

    A symbolic link stays: the file that it points to is replaced.
    """
    target = Path(os.path.realpath(path))
    # Links are resolved, except those that form a loop.
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {target.parent} to write {path} to.")
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the path of a file.")
    if target.exists() and not target.is_file():
        raise ValueError(f"{path} is not a regular file, and would be replaced by one.")
    return target


def _temporary(target):
    """Return the path of a new file in the same folder."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")


def _write_atomically(path, data):
    """Write bytes so that the file holds either all of them or its old content."""
    target = _target(path)
    temporary = _temporary(target)
    try:
        with open(temporary, "xb") as file:
            if target.exists():
                # Keep the permissions of the old file.
                shutil.copymode(target, temporary)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # On systems that can sync a folder, the new name then survives a power cut.
    with suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
