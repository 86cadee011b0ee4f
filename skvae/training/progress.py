"""The progress of a training: printed lines, scikit-learn's callbacks, and Ctrl-C."""

import signal
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature

import numpy as np

from skvae.training.result import last_in_data_units

# Says whether a training is to stop, of one that another process started.
_should_stop = ContextVar("should_stop", default=lambda: False)


@contextmanager
def stopping_when(should_stop):
    """Let a training in the body end as by Ctrl-C once ``should_stop()`` is true."""
    token = _should_stop.set(should_stop)
    try:
        yield
    finally:
        _should_stop.reset(token)


class Progress:
    """Report the progress of a training, and say when to stop.

    Parameters
    ----------
    log_jacobians : LogJacobians, default=None
        Converts printed losses to the units of the data. None prints nothing.
    tasks : CallbackTasks, default=None
        Calls the callbacks.
    """

    def __init__(self, log_jacobians=None, tasks=None):
        self.log_jacobians = log_jacobians
        self.tasks = tasks
        self._noted = False
        self._handles_ctrl_c = False

    @property
    def interrupted(self):
        """Whether Ctrl-C was pressed."""
        return self._pressed

    @property
    def _pressed(self):
        return self._noted or _should_stop.get()()

    @contextmanager
    def noting_ctrl_c(self):
        """Note the first Ctrl-C in the body; the second raises KeyboardInterrupt.

        Only Python's default handler is replaced, and only in the main thread, as Python
        requires. Another handler stays, and its KeyboardInterrupt ends the body.
        """
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note_ctrl_c)
            self._handles_ctrl_c = True
        try:
            yield
        finally:
            self._restore_ctrl_c()

    def raise_on_ctrl_c(self):
        """Raise KeyboardInterrupt on Ctrl-C from now on, and for one already noted."""
        self._restore_ctrl_c()
        if self._pressed:
            raise KeyboardInterrupt

    @contextmanager
    def stage(self, name, n_epochs):
        """Make the epochs in the body subtasks of a task with this name."""
        if self.tasks is None:
            yield
        else:
            with self.tasks.stage(name, n_epochs):
                yield

    def begin_epoch(self, current=None):
        """Begin an epoch; `current`, if given, returns a copy of the result so far."""
        if self.tasks is not None:
            self.tasks.begin_epoch(current)

    def on_step(self, done, n_steps):
        """Report a step; return whether to end the epoch."""
        stop = self.tasks is not None and self.tasks.on_step(done, n_steps)
        return stop or self._pressed

    def end_epoch(self, history, prints=True):
        """End an epoch, print its losses in `history`, and return whether to stop training."""
        if prints and self.log_jacobians is not None:
            values = last_in_data_units(history, self.log_jacobians)
            line = f"Epoch {len(history['loss'])}"
            for name in ("loss", "validation_loss"):
                if name in values:
                    line += f", {name} = {values[name]:.4f}"
            print(line)
        return (self.tasks is not None and self.tasks.end_epoch(history)) or self.interrupted

    def _note_ctrl_c(self, number, frame):
        if self._noted:
            signal.default_int_handler(number, frame)
        self._noted = True

    def _restore_ctrl_c(self):
        if self._handles_ctrl_c:
            self._handles_ctrl_c = False
            signal.signal(signal.SIGINT, signal.default_int_handler)


class GroupProgress(Progress):
    """Progress of a training in a group: all ranks stop if one of them is to stop.

    Parameters
    ----------
    group : Group
    log_jacobians : LogJacobians, default=None
        As in :class:`Progress`; rank 0 prints.
    """

    def __init__(self, group, log_jacobians=None):
        super().__init__(log_jacobians if group.is_main else None)
        self.group = group
        self._interrupted = False

    @property
    def interrupted(self):
        """Whether Ctrl-C was pressed on any rank before the end of the last epoch."""
        return self._interrupted

    def end_epoch(self, history=None):
        """End an epoch, and return whether any rank is to stop."""
        stop = super().end_epoch(history)
        self._interrupted |= self.group.agree(self._pressed)
        return self.group.agree(stop) or self._interrupted


def progress_of(group, log_jacobians=None):
    """Return the Progress of a training in a group, which may be of one process."""
    return Progress(log_jacobians) if group.size == 1 else GroupProgress(group, log_jacobians)


class CallbackTasks:
    """Calls scikit-learn's callbacks at the beginning and the end of each task.

    Epochs are leaves of the tree of tasks. If a callback has an attribute
    `first_epoch_tasks`, the first epoch of the final training is divided into at most that
    many subtasks, short ones first, because most changes happen then. A callback with a
    method ``wants_fitted_estimator(context)`` is given a fitted estimator at the end of a
    task only if it returns true, or another callback asks for one: it takes time to make.
    The context of an epoch has an attribute `epoch_history` when it ends: see `fit`.

    Parameters
    ----------
    context : CallbackContext
        Context of the whole fit.
    arguments : dict
        Arguments of the callbacks: the `estimator` on which they are set, `X` and `y`.
    fitted_attributes : callable
        Maps a training result to the estimator's fitted attributes; called only if a
        callback needs a fitted estimator.
    log_jacobians : LogJacobians
        Converts the history to the units of the data.
    """

    def __init__(self, context, arguments, fitted_attributes, log_jacobians):
        self.arguments = arguments
        self.fitted_attributes = fitted_attributes
        self.log_jacobians = log_jacobians
        self._parent, self._epoch, self._part = context, None, None
        self._current, self._started, self._marks = None, False, set()
        callbacks = arguments["estimator"]._skl_callbacks
        self._n_parts = max((getattr(c, "first_epoch_tasks", 0) for c in callbacks), default=0)
        self._askers = [
            getattr(callback, "wants_fitted_estimator", lambda context: True)
            for callback in callbacks
            if "fitted_estimator" in signature(callback.on_fit_task_end).parameters
        ]

    @contextmanager
    def stage(self, name, n_epochs):
        """Make the epochs in the body subtasks of a task with this name."""
        whole, self._parent = self._parent, self._begin(self._parent, name, n_epochs)
        yield
        self._end(self._parent)
        self._parent = whole

    def begin_epoch(self, current):
        """Begin the task of an epoch and, in the first of the final training, a subtask."""
        first = current is not None and not self._started
        self._started, self._current = current is not None, current
        n_parts = self._n_parts if first else 0
        # Later epochs begin with the state at the end of the previous task.
        self._epoch = self._begin(self._parent, "epoch", n_parts, current if first else None)
        self._part = self._begin(self._epoch, "steps") if n_parts else None

    def on_step(self, done, n_steps):
        """End a part of the first epoch after its last step; return whether to stop."""
        if self._part is None:
            return False
        if done == 1:
            # Downwards, so that a single mark is the last step.
            self._marks = set(np.geomspace(n_steps, 1, self._n_parts).round())
        if done not in self._marks:
            return False
        stop = self._end(self._part, self._current)
        self._part = None
        if done < n_steps and not stop:
            self._part = self._begin(self._epoch, "steps")
        return stop

    def end_epoch(self, history):
        """End the task of the epoch; return whether a callback asks to stop."""
        if self._part is not None:
            # The epoch was interrupted within this part.
            self._end(self._part, self._current)
            self._part = None
        self._epoch.epoch_history = last_in_data_units(history, self.log_jacobians)
        return self._end(self._epoch, self._current)

    def _begin(self, parent, name, n_subtasks=0, current=None):
        context = parent.subcontext(name, max_subtasks=n_subtasks)
        return context.call_on_fit_task_begin(**self._with_fitted(current))

    def _end(self, context, current=None):
        if not any(wants(context) for wants in self._askers):
            current = None
        return context.call_on_fit_task_end(**self._with_fitted(current))

    def _with_fitted(self, current):
        attributes = None if current is None else lambda: self.fitted_attributes(current())
        return {**self.arguments, "reconstruction_attributes": attributes}


def is_search_candidate(context):
    """Whether a fit is one of several that a search compares."""
    while context is not None:
        if not context.sequential_subtasks:
            return True
        context = context.parent
    return False
