"""captum attributes codes to columns."""

import pytest
import torch
from sklearn.datasets import load_iris

from skvae import VAETransformer

captum_attr = pytest.importorskip("captum.attr")
pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


def test_integrated_gradients_add_up_to_the_change_of_the_code():
    X = torch.as_tensor(load_iris().data, dtype=torch.float32)
    vae = VAETransformer(2, max_iter=3, early_stopping=False, random_state=0, device="cpu")
    encoder = vae.fit(X.numpy()).encoder_module()
    gradients = captum_attr.IntegratedGradients(encoder)
    parts = gradients.attribute(X[:5], baselines=X[100:105], target=1, n_steps=100)
    expected = encoder(X[:5])[:, 1] - encoder(X[100:105])[:, 1]
    torch.testing.assert_close(
        parts.sum(dim=1), expected, rtol=1e-2, atol=1e-2, check_dtype=False
    )
