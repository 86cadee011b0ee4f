"""Copies of a module's last or best state, and of an optimiser's moments."""

import copy
import math


class LastStates:
    """Keeps copies of the last two states of a module, updated in place."""

    def __init__(self, module):
        self.module = module
        self._states = [copy.deepcopy(module.state_dict())]

    def update(self):
        """Copy the current state, in place of the older of two copies."""
        if len(self._states) < 2:
            self._states.insert(0, copy.deepcopy(self.module.state_dict()))
            return
        self._states.reverse()
        for name, value in self.module.state_dict().items():
            self._states[0][name].copy_(value)

    def restore(self):
        """Restore the states one after the other, the last one first; iterate over them."""
        for state in self._states:
            self.module.load_state_dict(state)
            yield


class BestState:
    """Keeps the best state of a module by its validation score.

    Parameters
    ----------
    module : Module
    n_iter_no_change : int
        Epochs without an improvement after which training should stop.
    tol : float
        Minimum improvement.
    optimizer : Optimizer, default=None
        Optimiser whose moments are kept and restored with the state.
    """

    def __init__(self, module, n_iter_no_change, tol, optimizer=None):
        self.module = module
        self.optimizer = optimizer
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.score = -float("inf")
        self.epoch = 0
        self._state, self._moments = None, None
        self._epochs_seen = 0
        self._reference = -float("inf")
        self._last_gain = 0

    def update(self, score):
        """Record the state after one more epoch, the start being epoch 0.

        Returns
        -------
        bool
            Whether to stop: `n_iter_no_change` epochs have passed without improvement.
        """
        epoch = self._epochs_seen
        self._epochs_seen += 1
        first_number = math.isnan(self.score) and not math.isnan(score)
        if self._state is None or score > self.score or first_number:
            self.score, self.epoch = score, epoch
            self._state = copy.deepcopy(self.module.state_dict())
            self._moments = None if self.optimizer is None else copy_moments(self.optimizer)
        if score > self._reference + self.tol:
            self._reference, self._last_gain = score, epoch
        return epoch - self._last_gain >= self.n_iter_no_change

    def skip(self):
        """Ignore an epoch of the warm-up: it is no candidate, and training continues."""
        self._last_gain = self._epochs_seen
        self._epochs_seen += 1

    def restore(self):
        """Restore the best state of the module."""
        self.module.load_state_dict(self._state)
        if self.optimizer is not None:
            set_moments(self.optimizer, self._moments)


def copy_moments(optimizer):
    """Return a copy of an optimiser's moments and step counts, without its settings."""
    return copy.deepcopy(optimizer.state_dict()["state"])


def set_moments(optimizer, moments):
    """Load moments into an optimiser; its settings do not change."""
    groups = optimizer.state_dict()["param_groups"]
    # A copy, because training changes them in place and may fail.
    optimizer.load_state_dict({"state": copy.deepcopy(moments), "param_groups": groups})
