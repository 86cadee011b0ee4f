"""Warnings point to the line of the user's code, through whatever lies between."""

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skvae import VAEImputer, VAEOutlierDetector, VAETransformer
from skvae.networks import ModuleNetwork

UNSETTLED = {"max_iter": 2, "early_stopping": False, "random_state": 0}


def decoder(n_in, n_out):
    return nn.Sequential(nn.Linear(n_in, n_out), nn.Sigmoid())


def encoder(n_in, n_out):
    return nn.Linear(n_in, n_out)


BOUNDED = ModuleNetwork(encoder, decoder)
ESTIMATORS = {
    "transformer": VAETransformer(kl_warmup=2, **UNSETTLED),
    "pipeline": make_pipeline(StandardScaler(), VAETransformer(**UNSETTLED)),
    "imputer": VAEImputer(latent_dim=1, **UNSETTLED),
    "detector": VAEOutlierDetector(kl_warmup=2, **UNSETTLED),
    "network": VAETransformer(network=BOUNDED, **UNSETTLED),
    "cross-validated": VAETransformer(network=BOUNDED, max_iter=2, early_stopping="cv"),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_warnings_of_a_fit(name, iris):
    estimator = ESTIMATORS[name]
    with pytest.warns() as caught:
        (estimator.fit_predict if name == "detector" else estimator.fit)(iris)
    assert {each.filename for each in caught} == {__file__}


def test_warnings_of_rows_to_transform(iris, quick):
    model = quick(likelihood="bernoulli", max_iter=0).fit(iris / 8)
    with pytest.warns(UserWarning, match="were clipped") as caught:
        make_pipeline(model).transform(iris)
    assert {each.filename for each in caught} == {__file__}
