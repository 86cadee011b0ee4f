"""
Pruning by Optuna
=================

A callback reports the held-out score of each epoch to the trial, and ends the fit of a trial
that is worse than the others. In the default cross-validation it is the mean of the folds.
"""

import optuna
from sklearn.datasets import load_wine

from skvae import VAETransformer


class PruneTrial:
    """Callback that reports to an Optuna trial, and prunes it."""

    def __init__(self, trial):
        self.trial = trial

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.parent.task_name != "final training":
            score = -context.epoch_history["validation_loss"]
            self.trial.report(score, step=context.task_id)
            if self.trial.should_prune():
                raise optuna.TrialPruned()

    def teardown(self, estimator, context):
        pass


def objective(trial):
    vae = VAETransformer(
        latent_dim=trial.suggest_int("latent_dim", 1, 5),
        learning_rate_init=trial.suggest_float("learning_rate_init", 1e-3, 1.0, log=True),
        max_iter=20,
        random_state=0,
    )
    return vae.set_callbacks(PruneTrial(trial)).fit(X).best_validation_score_


X = load_wine().data
study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.RandomSampler(seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
)
study.optimize(objective, n_trials=12)
pruned = study.get_trials(states=[optuna.trial.TrialState.PRUNED])
print(f"{len(pruned)} of {len(study.trials)} trials pruned; best: {study.best_params}")
