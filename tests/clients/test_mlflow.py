"""MLflow's log_model and load_model, and the callback of the example."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import TRUSTED_TYPES, VAEOutlierDetector, VAETransformer

mlflow = pytest.importorskip("mlflow")
# Of MLflow's own dependencies, and about the requirements and signature of a model.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]
EXAMPLE = Path(__file__).parents[2] / "examples" / "mlflow_logging.py"


@pytest.fixture(autouse=True)
def _store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_experiment("skvae")


@pytest.mark.parametrize("estimator", [VAETransformer, VAEOutlierDetector])
def test_a_pipeline_is_stored_in_the_default_format(estimator):
    X = load_wine().data
    model = make_pipeline(StandardScaler(), estimator(max_iter=0)).fit(X)
    with mlflow.start_run():
        stored = mlflow.sklearn.log_model(model, name="m", skops_trusted_types=TRUSTED_TYPES)
    loaded = mlflow.sklearn.load_model(stored.model_uri)
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))


def test_the_example_logs_each_epoch_of_both_stages():
    namespace = runpy.run_path(str(EXAMPLE))
    vae, X = namespace["vae"], namespace["X"]
    assert namespace["loaded"].score(X) == vae.score(X)
    client, run = mlflow.MlflowClient(), mlflow.last_active_run()
    for stage, n_epochs in (("cross-validation", 10), ("final training", vae.n_iter_)):
        curve = client.get_metric_history(run.info.run_id, f"{stage}/validation_loss")
        assert [metric.step for metric in curve] == list(range(n_epochs))
    logged = [metric.value for metric in curve]
    np.testing.assert_allclose(logged, vae.history_["validation_loss"])
    assert run.data.params["max_iter"] == "10"
