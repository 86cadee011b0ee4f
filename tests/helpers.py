"""What several test files compare."""

import os
import subprocess
import sys

import numpy as np

from skvae import AutoencoderTransformer

NOISES = {
    "plain": {},
    "gaussian": {"noise": 0.3},
    "masking": {"noise": 0.3, "corruption": "masking"},
}


def reconstruct(model, X):
    return model.inverse_transform(model.transform(X))


def outputs(model, X):
    """Return everything a user can ask a model, as one dictionary of arrays."""
    Z = model.transform(X)
    # An autoencoder has no density to ask.
    density = {} if isinstance(model, AutoencoderTransformer) else density_outputs(model, X)
    return {
        "transform": Z,
        "inverse_transform": model.inverse_transform(Z),
        "score_samples": model.score_samples(X),
        "float32": model.transform(X.astype(np.float32)),
        "names": model.get_feature_names_out(),
        **density,
        **model.history_,
    }


def density_outputs(model, X):
    mean, spread = model.latent_posterior(X)
    return {
        "sample": model.sample(3, random_state=0),
        "elbo": np.stack(model.elbo(X)),
        "mean": mean,
        "spread": spread,
        "latent_kl_": model.latent_kl_,
    }


def assert_same(actual, expected):
    assert set(actual) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(actual[name], values, err_msg=name)


def printed_without_cuda(code):
    """Return what code prints in a process that sees no GPU."""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
