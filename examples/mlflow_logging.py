"""
Logging by MLflow
=================

A callback logs the losses of each epoch to the active run, where they are shown as curves, and
the fitted model is stored with it in MLflow's default format, which runs no code when it is
loaded.
"""

import mlflow
from sklearn.datasets import load_wine

from skvae import TRUSTED_TYPES, VAETransformer


class LogHistory:
    """Callback that logs to the active run of MLflow."""

    def setup(self, estimator, context):
        mlflow.log_params(estimator.get_params(deep=False))
        # The tasks of a fit that goes on are counted from 0 again.
        self.epochs_before = getattr(estimator, "n_iter_", 0) if estimator.warm_start else 0

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            # "cross-validation" is of the folds, "final training" of the model that is kept.
            stage = context.parent.task_name
            losses = {f"{stage}/{k}": v for k, v in context.epoch_history.items()}
            mlflow.log_metrics(losses, step=self.epochs_before + context.task_id)

    def teardown(self, estimator, context):
        pass


X = load_wine().data
with mlflow.start_run():
    vae = VAETransformer(max_iter=10, random_state=0).set_callbacks(LogHistory()).fit(X)
    # The model alone: a callback is code.
    stored = mlflow.sklearn.log_model(
        vae.set_callbacks(), name="vae", skops_trusted_types=TRUSTED_TYPES
    )
loaded = mlflow.sklearn.load_model(stored.model_uri)
print(loaded.score(X), vae.score(X))
