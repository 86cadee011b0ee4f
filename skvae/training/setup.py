"""The settings of a training: its plan, when to stop, and its random streams."""

from dataclasses import dataclass

import numpy as np
import torch

from skvae.data.rows import StreamedRows
from skvae.group import ALONE, Alone
from skvae.model.objectives import BatchLoss, Objective
from skvae.randomness import RandomStreams
from skvae.training.progress import Progress

# With fewer rows, a tenth of them is too few to evaluate the training reliably.
FEW_ROWS = 1000
# Peak rate of the schedule: high where steps are few.
RATE, _RATE_OF_FEW = 5e-3, 8e-3
# Rows of a batch, with which the steps of the automatic number of epochs are counted.
_BATCH_ROWS = 128
# Numbers of cells and of columns from which on cross-validation takes too long.
FEW_CELLS, FEW_COLUMNS = 2**18, 1000


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Parameters
    ----------
    epochs : int
    batch_size : int
    learning_rate : float
        The peak of the one-cycle schedule, or the constant rate.
    weight_decay : float
    one_cycle : bool, default=True
        Whether the rate rises and falls over the epochs (Smith & Topin 2018) or is constant.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    one_cycle: bool = True

    @classmethod
    def for_rows(
        cls, n_rows, batch_size, max_iter, learning_rate, weight_decay, auto_size=_BATCH_ROWS
    ):
        """Replace "auto": about the same number of steps for any number of rows.

        `auto_size` is the size of batches of the network, which changes no number of epochs.
        """
        few = n_rows < FEW_ROWS
        counted = size = batch_size
        if size == "auto":
            counted, size = (64, 64) if few else (_BATCH_ROWS, auto_size)
        epochs = max_iter
        if epochs == "auto":
            steps, most = (600, 400) if few else (6000, 200)
            epochs = int(np.clip(steps // -(-n_rows // counted), 10, most))
        if learning_rate == "auto":
            learning_rate = _RATE_OF_FEW if few else RATE
        # int: torch does not accept NumPy integers, as from a grid over np.arange.
        return cls(int(epochs), int(min(size, n_rows)), learning_rate, weight_decay)


@dataclass(frozen=True)
class Stopping:
    """How the number of epochs is chosen.

    Parameters
    ----------
    mode : {"all", "hold_out", "cv"}
        All planned epochs, the best on held-out rows, or the best in cross-validation.
    validation_fraction : float
        Share of the rows held out.
    n_iter_no_change : int
        Epochs without improvement on held-out rows after which to stop.
    tol : float
        Minimum improvement, in nats per row.
    """

    mode: str
    validation_fraction: float
    n_iter_no_change: int
    tol: float

    @staticmethod
    def choose_mode(early_stopping, shape, epochs, has_validation_rows, continues):
        """Return the mode for the estimator's `early_stopping`.

        A model that continues has seen all rows and cannot be cross-validated on them: all
        epochs are done instead.
        """
        if epochs == 0:
            return "all"
        if has_validation_rows:
            return "hold_out"
        if early_stopping == "auto":
            n_rows, n_features = shape
            few_cells = n_features < FEW_COLUMNS and n_rows * n_features < FEW_CELLS
            early_stopping = "cv" if few_cells and n_rows < FEW_ROWS else True
        if early_stopping == "cv":
            return "all" if continues else "cv"
        return "hold_out" if early_stopping else "all"


@dataclass(frozen=True)
class Setup:
    """The settings that all modes of training need.

    Parameters
    ----------
    objective : Objective
    rows : Tensor or StreamedRows of shape (n, n_features)
        In model units.
    plan : Plan
    streams : RandomStreams
    progress : Progress
    group : Group, default=ALONE
        The ranks that train together; the rows are those of this one.
    """

    objective: Objective
    rows: torch.Tensor | StreamedRows
    plan: Plan
    streams: RandomStreams
    progress: Progress
    group: Alone = ALONE

    def loss_terms(self, module, purpose="draws", fold=0):
        """Return the loss as :func:`skvae.training.loop.train_epochs` takes it."""
        device = self.rows.device
        generator = self.streams.generator(purpose, fold, device)
        return BatchLoss(self.objective, module, generator)
