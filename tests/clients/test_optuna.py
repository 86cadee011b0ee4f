"""Optuna prunes trials by the folds' losses, as the example does."""

import runpy
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")
EXAMPLE = Path(__file__).parents[2] / "examples" / "optuna_pruning.py"


def test_the_example_prunes_bad_trials_and_keeps_the_best():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = runpy.run_path(str(EXAMPLE))["study"]
    states = optuna.trial.TrialState
    pruned = study.get_trials(states=[states.PRUNED])
    complete = study.get_trials(states=[states.COMPLETE])
    assert len(pruned) + len(complete) == len(study.trials)
    assert pruned
    # In the cross-validation: before all epochs, and before the final training.
    assert all(len(trial.intermediate_values) < 20 for trial in pruned)
    assert all(len(trial.intermediate_values) == 20 for trial in complete)
    # The score is the best of those that were reported, or that of the start.
    for trial in complete:
        assert trial.value >= max(trial.intermediate_values.values()) - 1e-6
