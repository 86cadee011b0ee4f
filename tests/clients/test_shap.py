"""shap explains scores and codes."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

from skvae import VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
shap = pytest.importorskip("shap")


@pytest.fixture(scope="module")
def vae():
    return VAETransformer(2, max_iter=0, random_state=0, device="cpu").fit(load_iris().data)


def test_the_parts_of_a_score_add_up_to_it(vae):
    X = load_iris().data
    explainer = shap.Explainer(vae.score_samples, X[::15], algorithm="permutation", seed=0)
    parts = explainer(X[:3])
    total = parts.values.sum(axis=1) + parts.base_values
    np.testing.assert_allclose(total, vae.score_samples(X[:3]), rtol=1e-5)


def test_gradients_of_the_encoder(vae):
    X = torch.as_tensor(load_iris().data, dtype=torch.float32)
    explainer = shap.GradientExplainer(vae.encoder_module(), X[::15])
    values = explainer.shap_values(X[:3], nsamples=400, rseed=0)
    # The encoder is linear at its start: each value is exact but for the draw of the rows.
    expected = vae.transform(X[:3].numpy()) - vae.transform(X[::15].numpy()).mean(axis=0)
    np.testing.assert_allclose(np.asarray(values).sum(axis=1), expected, atol=0.3)
