"""
One model of rows that Ray holds
================================

Ray Train starts the workers and gives them a process group of torch; skvae joins it. Needs
``pip install "ray[train,data]"``. Give the cluster more CPUs than workers: Ray reads the rows
in tasks of its own, which otherwise wait for ever. It leaves out rows, fewer than there are
workers, so that all get equally many.
"""

import joblib
import ray.data
from ray.train import ScalingConfig, get_context, get_dataset_shard
from ray.train.torch import TorchTrainer

from skvae import VAETransformer


def train(config):
    """Train on the rows of this worker, together with the others."""
    rows = get_dataset_shard("train").materialize().to_pandas()
    vae = VAETransformer(latent_dim=8, random_state=0).fit(rows, group="world")
    if get_context().get_world_rank() == 0:
        joblib.dump(vae, config["path"])


if __name__ == "__main__":
    TorchTrainer(
        train,
        train_loop_config={"path": "/shared/vae.joblib"},
        datasets={"train": ray.data.read_parquet("/shared/rows")},
        scaling_config=ScalingConfig(num_workers=4),
    ).fit()
