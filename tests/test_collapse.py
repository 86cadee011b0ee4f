"""Codes that carry no information are told of, once the training is over."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP

COLLAPSED = "posterior has collapsed.*independent columns.*kl_warmup.*smaller beta"


def noise_table():
    """Columns that have nothing to do with each other."""
    return np.random.RandomState(0).standard_normal((200, 4))


def told_of_collapse(model, X):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(X)
    return any("collapsed" in str(warning.message) for warning in told)


def collapsing(estimator=VAETransformer, **parameters):
    """An estimator whose fixed noise drowns the rows."""
    defaults = {"max_iter": 3, "early_stopping": False, "random_state": 0}
    return estimator(**defaults | {"likelihood": Gaussian(100.0)} | parameters)


@pytest.mark.filterwarnings("ignore:.*settled:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("mode", [False, True, "cv"])
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_a_collapse_warns_with_its_causes(mode, posterior):
    model = collapsing(early_stopping=mode, posterior=posterior)
    with pytest.warns(ConvergenceWarning, match=COLLAPSED):
        model.fit(noise_table())
    assert (model.latent_kl_ < 0.01).all()


@pytest.mark.parametrize(
    "change",
    [
        {"likelihood": Gaussian(0.1)},  # there is something to tell
        {"max_iter": 0},  # nothing was trained
        {"beta": 0.0},  # nothing draws the codes together
        {"estimator": AutoencoderTransformer},  # no prior
    ],
    ids=str,
)
def test_it_is_silent_elsewhere(change):
    assert not told_of_collapse(collapsing(**change), noise_table())


def test_one_dimension_that_tells_something_is_enough(iris):
    model = VAETransformer(3, network=MLP(()), max_iter=5, random_state=0)
    assert not told_of_collapse(model, iris)
    assert model.latent_kl_.max() > 0.01


def test_a_stream_is_not_told_of_a_collapse_that_may_pass():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = collapsing().partial_fit(noise_table())
    assert (model.latent_kl_ < 0.01).all()
