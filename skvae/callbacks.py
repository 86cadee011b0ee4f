"""Callbacks for :mod:`sklearn.callback` that need no display."""

import copy
import os
import pickle
import shutil
import uuid
from contextlib import suppress
from numbers import Integral
from pathlib import Path

from skvae.training.progress import is_one_of_many

# What scikit-learn hangs on an estimator while it is fitted.
_TRANSIENT = ("_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx")


class Checkpoint:
    """Callback that keeps a file of the estimator as far as it has been trained.

    Set it on the estimator itself by ``estimator.set_callbacks``. After each `every` epochs
    the file holds a fitted estimator in the state that was reached, and at the end of `fit`
    in that which was kept. It is replaced as a whole: whenever the process dies, even by
    ``kill -9`` or with the machine, the file is one that loads, or there is none yet.

    To go on, load it and fit with ``warm_start=True``. That continues from the state of the
    file with the optimiser's moments, and appends to its history, under a new one-cycle
    schedule of `max_iter` epochs and with other draws: it is not bit by bit the training
    that was killed. The estimator of the file has its callbacks, this one too.

    In a pipeline it is set on the step, and the file holds the step. Of a search only the
    refit is written, as the candidates' fits are compared and thrown away. Where
    ``early_stopping="cv"`` trains several models, as "auto" does below 1000 rows, the file
    is written in the final training: a process that is killed before that leaves none.

    Parameters
    ----------
    path : str or path-like
        The file to write. Its folder must exist; an earlier file is replaced.
    every : int, default=1
        Epochs from one writing to the next.

    Notes
    -----
    The file is a pickle, for :func:`pickle.load` or ``joblib.load``: load it only if you
    trust its origin. A process that is killed while it writes leaves a file
    ``.<name>.<number>.tmp`` behind, which can be deleted. `partial_fit` calls no callbacks;
    there, write a file between two calls.

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
        """Refuse what cannot be written, before any training."""
        if not isinstance(self.every, Integral) or self.every < 1:
            raise ValueError(
                f"every={self.every!r} of Checkpoint must be an integer from 1 on."
            )
        if not isinstance(self.path, str | os.PathLike) or not str(self.path):
            raise TypeError(f"path={self.path!r} of Checkpoint must be the path of a file.")
        _check_writable(Path(self.path))
        if not hasattr(estimator, "warm_start") or not hasattr(estimator, "partial_fit"):
            raise TypeError(
                f"Checkpoint cannot resume {type(estimator).__name__}. Set it on the "
                "autoencoder itself, in a pipeline on that step."
            )
        _pickled(estimator)

    def on_fit_task_begin(self, estimator, context):
        """Take no notice: there is nothing to lose yet."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """Write the estimator, unless it is the end of an epoch between two writings."""
        between = context.task_name == "epoch" and (context.task_id + 1) % self.every
        partial = context.task_name == "steps"
        if fitted_estimator is None or between or partial or is_one_of_many(context):
            return
        _write_atomically(Path(self.path), _pickled(fitted_estimator))

    def teardown(self, estimator, context):
        """Do nothing: what is worth it is written."""


def _pickled(estimator):
    """Return the bytes of an estimator without what belongs to the fit under way."""
    twin = copy.copy(estimator)
    for name in _TRANSIENT:
        vars(twin).pop(name, None)
    try:
        return pickle.dumps(twin, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"Checkpoint cannot write this {type(estimator).__name__}: {error}. Modules, "
            "functions and callbacks in it must be ones that pickle knows, defined at the "
            "top level of a module."
        ) from error


def _check_writable(path):
    """Refuse a path that no file can be written to."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write {path} to.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the path of a file.")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file and would be replaced by one.")


def _write_atomically(path, data):
    """Write bytes so that `path` holds all of them or what it held before."""
    _check_writable(path)
    # A link stays a link: what it points to is replaced.
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            if path.exists():
                # Who may not read the file before may not read it now.
                shutil.copymode(path, temporary)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The new name has to last through a power cut, too, where the system can do that.
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
