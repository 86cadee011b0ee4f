"""The tasks that a training consists of, told to scikit-learn's callbacks or to nobody."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

import numpy as np


class Tasks:
    """Is told of a training's tasks as they go by. This one takes no notice.

    Attributes
    ----------
    on_step : callable or None
        To be called after each step, as :func:`skvae.training.loop.train` does.
    """

    on_step: Callable | None = None

    @contextmanager
    def stage(self, name, n_epochs):
        """Make the epochs in the body subtasks of one that has this name."""
        yield

    def begin_epoch(self, outcome=None):
        """Take note that an epoch begins.

        `outcome` is what is being trained; it is missing where that will not be kept.
        """

    def end_epoch(self, outcome=None):
        """Take note that an epoch has ended; return whether to stop there."""
        return False


def is_one_of_many(context):
    """Whether a fit is one of those that a search makes to compare them, by its task."""
    while context is not None:
        if not context.sequential_subtasks:
            return True
        context = context.parent
    return False


class CallbackTasks(Tasks):
    """Calls scikit-learn's callbacks at the beginning and the end of each task.

    Epochs are leaves of the tree of tasks. A callback with an attribute
    `first_epoch_tasks` has the first epoch of what is kept divided into at most so many
    subtasks: of one step each at first and of ever more, since most happens then.

    Parameters
    ----------
    estimator : estimator
        With callbacks.
    context : CallbackContext
        Of the whole fit.
    data : dict
        What the callbacks may ask for, `X` and `y`.
    snapshot : callable
        Maps an outcome to the attributes of an estimator that was fitted so far. It is
        called only when a callback asks for such an estimator.
    """

    def __init__(self, estimator, context, data, snapshot):
        self.estimator = estimator
        self.data = data
        self.snapshot = snapshot
        self._parent, self._epoch, self._part = context, None, None
        self._outcome, self._started, self._marks = None, False, set()
        callbacks = getattr(estimator, "_skl_callbacks", [])
        wishes = [getattr(callback, "first_epoch_tasks", 0) for callback in callbacks]
        self._n_parts = max(wishes, default=0)
        if self._n_parts:
            self.on_step = self._step

    @contextmanager
    def stage(self, name, n_epochs):
        """Make the epochs in the body subtasks of one that has this name."""
        whole, self._parent = self._parent, self._open(self._parent, name, n_epochs)
        yield
        self._close(self._parent)
        self._parent = whole

    def begin_epoch(self, outcome=None):
        """Begin the task of an epoch."""
        first = outcome is not None and not self._started
        self._started, self._outcome = outcome is not None, outcome
        n_parts = self._n_parts if first else 0
        # Later beginnings are the end of the task before.
        start = outcome if first else None
        self._epoch = self._open(self._parent, "epoch", n_parts, start)
        self._part = self._open(self._epoch, "steps") if n_parts else None

    def end_epoch(self, outcome=None):
        """End the task of the epoch; return whether a callback asks to stop."""
        if self._part is not None:
            # An interruption has ended the epoch within this part.
            self._close(self._part, outcome)
            self._part = None
        return self._close(self._epoch, outcome)

    def _step(self, done, n_steps):
        if self._part is None:
            return False
        if done == 1:
            # Downwards: of one mark alone, the last step.
            self._marks = set(np.geomspace(n_steps, 1, self._n_parts).round())
        if done not in self._marks:
            return False
        stop = self._close(self._part, self._outcome)
        self._part = None
        if done < n_steps and not stop:
            self._part = self._open(self._epoch, "steps")
        return stop

    def _open(self, parent, name, n_subtasks=0, outcome=None):
        context = parent.subcontext(name, max_subtasks=n_subtasks)
        return context.call_on_fit_task_begin(**self._told(outcome))

    def _close(self, context, outcome=None):
        return context.call_on_fit_task_end(**self._told(outcome))

    def _told(self, outcome):
        attributes = None if outcome is None else partial(self.snapshot, outcome)
        return {
            "estimator": self.estimator,
            **self.data,
            "reconstruction_attributes": attributes,
        }
