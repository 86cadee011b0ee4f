"""A likelihood of the user's own is one class."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.distributions import StudentT as TorchStudentT
from torch.nn.functional import softplus

from skvae import VAETransformer
from skvae.data.units import Units
from skvae.likelihoods import Likelihood

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


class StudentT(Likelihood):
    """Independent Student-t features around the decoded mean, of a learned scale."""

    def __init__(self, df=4.0):
        self.df = df

    def units(self, X):
        return Units.standardizing(X)

    def parameters(self, units):
        return {"log_scale": torch.zeros(len(units.scale))}

    def distribution(self, raw, log_scale):
        return TorchStudentT(self.df, raw, log_scale.exp(), validate_args=False)


class Laplace(Likelihood):
    """Two raw outputs a feature: a mean and a scale."""

    raw_per_feature = 2
    start_gain = 0.1

    def units(self, X):
        return Units.standardizing(X)

    def distribution(self, raw):
        mean, spread = raw.chunk(2, dim=-1)
        return torch.distributions.Laplace(mean, 0.01 + softplus(spread))


@pytest.fixture(scope="module")
def outliers():
    """Rows of two factors, one in twenty of their values far off."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 2)) @ rng.standard_normal((2, 5))
    X += 0.3 * rng.standard_normal(X.shape)
    return 100 + X + 10 * rng.standard_normal(X.shape) * (rng.random_sample(X.shape) < 0.05)


@pytest.mark.parametrize("likelihood", [StudentT(), Laplace()])
def test_it_is_fitted_scored_and_drawn_from(likelihood, outliers, quick):
    start = quick(likelihood=likelihood, max_iter=0).fit(outliers)
    vae = clone(start).set_params(max_iter=100).fit(outliers)
    assert vae.score(outliers) > start.score(outliers) + 0.1
    draws = vae.sample(4000, random_state=0)
    np.testing.assert_allclose(np.median(draws, axis=0), np.median(outliers, axis=0), atol=0.5)
    np.testing.assert_array_equal(draws, vae.sample(4000, random_state=0))
    assert not np.array_equal(draws, vae.sample(4000, random_state=1))


def test_heavy_tails_suit_rows_with_outliers(outliers, quick):
    normal, heavy = (
        quick(likelihood=likelihood, max_iter=100).fit(outliers[::2]).score(outliers[1::2])
        for likelihood in ("gaussian", StudentT())
    )
    assert heavy > normal


def test_its_hyper_parameters_are_an_estimators():
    vae = VAETransformer(likelihood=StudentT()).set_params(likelihood__df=9.0)
    assert clone(vae).likelihood.df == 9.0


def test_it_leaves_the_global_generator(outliers, quick):
    before = torch.get_rng_state()
    quick(likelihood=StudentT()).fit(outliers).sample(3)
    assert torch.equal(torch.get_rng_state(), before)
