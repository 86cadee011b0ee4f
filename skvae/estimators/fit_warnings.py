"""Warnings of `fit`: about its plan, and about how the training ended."""

import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skvae.callers import stacklevel_of_user
from skvae.data.columns import column_name, shortened
from skvae.data.units import count_values
from skvae.training.diagnosis import COLLAPSED, convergence_warning, why_start_was_best

# A latent dimension with a smaller KL, in nats, counts as unused.
_COLLAPSED_KL = 0.01


def warn_of_empty_columns(training, X, one_pass):
    """Warn of columns without any value, of which no model can be learned.

    `one_pass` is whether it is the first call of `partial_fit`.
    """
    if not training.architecture.has_missing:
        return
    (n_values,) = training.group.sum(count_values(X))
    if n_values.all():
        return
    advice = "The model learns nothing of them; leave them out."
    if one_pass:
        advice = (
            "They keep the scale 1, whatever values later calls have. Begin with rows in which "
            "each column has values."
        )
    empty = [column_name(j, training.feature_names) for j in np.flatnonzero(n_values == 0)]
    warnings.warn(
        f"X has columns without any value: {shortened(empty)}. {advice}",
        UserWarning,
        stacklevel=stacklevel_of_user(),
    )


def warn_of_warmup(training):
    """Warn if the warm-up of the KL term is not over before the training is."""
    objective, epochs = training.setup.objective, training.setup.plan.epochs
    after = f" after {objective.epochs_before}" if objective.epochs_before else ""
    if 0 < epochs <= objective.warmup_left and objective.beta > 0:
        message = (
            f"kl_warmup={objective.kl_warmup} lasts as long as the training or longer "
            f"(max_iter gives {epochs} epochs{after}): the KL term does not reach its weight "
            "beta."
        )
        if training.stopping.mode != "all":
            message += (
                " Early stopping only keeps a state from after the warm-up, and here "
                "there is none: the model stays at its start."
            )
        warnings.warn(message, UserWarning, stacklevel=stacklevel_of_user())


def warn_of_result(training, result):
    """Warn if the user interrupted the training, or if it has not converged."""
    setup, estimator = training.setup, training.estimator
    name, epochs = type(estimator).__name__, setup.plan.epochs
    if setup.progress.interrupted:
        warnings.warn(
            f"Training interrupted by user: {name} did {len(result.history['loss'])} of "
            f"{epochs} epochs, and the best state so far was kept.",
            UserWarning,
            stacklevel=stacklevel_of_user(),
        )
    about_start = partial(
        why_start_was_best,
        training.tables,
        training.units,
        training.feature_names,
        training.likely_cause,
    )
    message = convergence_warning(name, result, epochs, training.likely_cause, about_start)
    if message is not None:
        warnings.warn(message, ConvergenceWarning, stacklevel=stacklevel_of_user())
    largest_kl = np.max(getattr(estimator, "latent_kl_", np.inf))
    if epochs > 0 and setup.objective.beta > 0 and largest_kl < _COLLAPSED_KL:
        warnings.warn(
            COLLAPSED.format(name), ConvergenceWarning, stacklevel=stacklevel_of_user()
        )
