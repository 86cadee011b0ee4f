"""What several test files compare."""

import numpy as np


def outputs(model, X):
    """Return everything a user can ask a model, as one dictionary of arrays."""
    Z = model.transform(X)
    mean, spread = model.latent_posterior(X)
    return {
        "transform": Z,
        "inverse_transform": model.inverse_transform(Z),
        "score_samples": model.score_samples(X),
        "sample": model.sample(3, random_state=0),
        "elbo": np.stack(model.elbo(X)),
        "mean": mean,
        "spread": spread,
        "float32": model.transform(X.astype(np.float32)),
        "names": model.get_feature_names_out(),
        "latent_kl_": model.latent_kl_,
        **model.history_,
    }


def assert_same(actual, expected):
    assert set(actual) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(actual[name], values, err_msg=name)
