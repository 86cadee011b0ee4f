"""The encoder is given conditional means, and its posterior is wider by the right factor."""

import numpy as np
import pytest
import torch
from missing_cases import conditional_normal, linear_table, with_gaps

from skvae import VAETransformer
from skvae.likelihoods.factor_analysis import LinearGaussian
from skvae.model.completion import Completion, factor_of_inverse
from skvae.model.modules import batch_modules
from skvae.networks import MLP

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def model():
    rng = np.random.RandomState(0)
    loadings, noise = rng.standard_normal((5, 2)), rng.uniform(0.2, 1, 5)
    return LinearGaussian.from_loadings(loadings, noise, rng.standard_normal(5))


@pytest.fixture
def completion(model):
    completion = Completion(5, 2)
    completion.set_model(model, is_aligned=True)
    return completion.double()


def incomplete_rows(n=20):
    rows = with_gaps(np.random.RandomState(1).standard_normal((n, 5)), 0.4)
    rows[0], rows[1] = np.nan, 1.0
    return torch.from_numpy(rows)


def covariance_of(model):
    return model.loadings @ model.loadings.T + np.diag(model.noise_variance)


def test_missing_values_are_filled_with_their_conditional_mean(completion, model):
    rows = incomplete_rows()
    x = completion(rows, rows)
    for row, filled in zip(rows.numpy()[1:], x.inputs.numpy()[1:], strict=True):
        mean, _ = conditional_normal(row, model.mean, covariance_of(model))
        np.testing.assert_allclose(filled[np.isnan(row)], mean, rtol=1e-5)
        np.testing.assert_array_equal(filled[~np.isnan(row)], row[~np.isnan(row)])
    np.testing.assert_allclose(x.inputs[0], model.mean, rtol=1e-6)
    assert (x.values[x.missing] == 0).all()
    assert x.is_empty[0]
    torch.testing.assert_close(x.is_empty, rows.isnan().all(1))


def test_the_factor_widens_the_posterior_to_that_of_the_values_that_are_there(
    completion, model
):
    rows = incomplete_rows()
    factor = completion(rows, rows).factor.numpy()
    scaled = model.posterior_scale[:, None] * factor
    for row, scale in zip(rows.numpy(), scaled, strict=True):
        o = ~np.isnan(row)
        if not o.any():
            # The posterior is the prior, and not that of the encoder.
            scale = factor[0]
        loadings = model.loadings[o]
        precision = np.eye(2) + loadings.T @ (loadings / model.noise_variance[o, None])
        np.testing.assert_allclose(scale @ scale.T, np.linalg.inv(precision), atol=1e-5)
    np.testing.assert_allclose(factor[1], np.eye(2), atol=1e-5)


def test_without_aligned_codes_the_factor_is_a_multiple_of_the_identity(completion, model):
    completion.set_model(model, is_aligned=False)
    rows = incomplete_rows()
    factor = completion(rows, rows).factor
    np.testing.assert_allclose(factor, factor[:, :1, :1] * torch.eye(2), atol=1e-12)
    np.testing.assert_allclose(factor[:2, 0, 0], 1)
    n_missing = rows.isnan().sum(1)
    assert (factor[(n_missing > 0) & (n_missing < 5), 0, 0] > 1).all()


def test_several_models_complete_their_own_rows(completion, model):
    other = Completion(5, 2)
    other.set_model(LinearGaussian.from_loadings(model.loadings * 0.5, np.ones(5)), True)
    other.double()
    modules = []
    for each in (completion, other):
        both = torch.nn.Module()
        both.completion = each
        modules.append(both)
    batched = batch_modules(modules).completion
    rows = torch.stack([incomplete_rows(), incomplete_rows().flip(0)])
    together = batched(rows, rows)
    for k, each in enumerate((completion, other)):
        alone = each(rows[k], rows[k])
        torch.testing.assert_close(together.inputs[k], alone.inputs)
        torch.testing.assert_close(together.factor[k], alone.factor)


def test_that_of_a_linear_decoder_is_exact():
    X = linear_table()
    model = VAETransformer(
        2, network=MLP(()), max_iter=30, early_stopping=False, random_state=0, device="cpu"
    )
    module = model.fit(X)._fitted(torch.float64)
    found = Completion.of_decoder(module)
    output = module.decoder.body.output
    torch.testing.assert_close(found.loadings.double(), output.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.mean.double(), output.bias, rtol=1e-5, atol=1e-6)
    noise = module.decoder.head.noise_variance()
    np.testing.assert_allclose(found.noise_variance, noise, rtol=1e-4)


def test_the_model_is_not_trained():
    X = with_gaps(linear_table())
    start = VAETransformer(2, max_iter=0, random_state=0).fit(X)
    trained = VAETransformer(2, max_iter=5, early_stopping=False, random_state=0).fit(X)
    for name, value in start._fitted.module.completion.state_dict().items():
        torch.testing.assert_close(
            trained._fitted.module.completion.state_dict()[name], value, rtol=0, atol=0
        )


def test_a_factor_of_the_inverse_is_triangular():
    draws = torch.randn(5, 3, 3, dtype=torch.float64, generator=torch.Generator())
    precision = draws @ draws.mT + torch.eye(3)
    factor = factor_of_inverse(precision)
    torch.testing.assert_close(factor @ factor.mT, torch.linalg.inv(precision))
    torch.testing.assert_close(factor, factor.tril())
