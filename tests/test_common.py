"""scikit-learn's own checks, at the defaults and around them, with no expected failure."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvae import (
    AutoencoderTransformer,
    VAEImputer,
    VAEOutlierDetector,
    VAETransformer,
)
from skvae.likelihoods import Gaussian
from skvae.networks import MLP

# The checks fit some 90 times: only the defaults are trained in full. The Bernoulli
# likelihoods are not here, since the checks' data leave [0, 1] on purpose.
CONFIGURATIONS = [
    VAETransformer(),
    VAETransformer(likelihood=Gaussian(noise="isotropic"), max_iter=5),
    VAETransformer(likelihood=Gaussian(noise=0.5), max_iter=5, early_stopping=False),
    VAETransformer(init="random", max_iter=5, early_stopping=False, batch_size=7),
    VAETransformer(latent_dim=5, network=MLP(()), max_iter=5, early_stopping="cv"),
    VAETransformer(early_stopping=True, validation_fraction=0.5, max_iter=5, n_samples=3),
    VAETransformer(posterior="full", max_iter=5),
    VAETransformer(objective="iwae", n_samples=3, max_iter=5),
    VAETransformer(network=MLP(batch_norm=True), max_iter=5),
    VAEImputer(),
    VAEImputer(latent_dim=1, max_iter=5, add_indicator=True, keep_empty_features=True),
    VAEOutlierDetector(),
    AutoencoderTransformer(max_iter=5),
    AutoencoderTransformer(noise=0.3, max_iter=5, early_stopping=False),
    AutoencoderTransformer(noise=0.3, corruption="masking", max_iter=5, early_stopping="cv"),
]


@pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(CONFIGURATIONS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
