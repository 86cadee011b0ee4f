"""skops stores a search with the package's scorers, and loads it without running code."""

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae import TRUSTED_TYPES, VAEOutlierDetector, VAETransformer
from skvae.metrics import log_likelihood_scorer, reconstruction_scorer

skops_io = pytest.importorskip("skops.io")


def reloaded(estimator):
    data = skops_io.dumps(estimator)
    assert set(skops_io.get_untrusted_types(data=data)) <= set(TRUSTED_TYPES)
    return skops_io.loads(data, trusted=TRUSTED_TYPES)


@pytest.mark.parametrize("scorer", [log_likelihood_scorer, reconstruction_scorer])
def test_a_search_over_scalers(scorer):
    X = load_wine().data
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("vae", VAETransformer(max_iter=0))]),
        {"scale": [StandardScaler(), MinMaxScaler()]},
        scoring=scorer,
        cv=2,
    ).fit(X)
    loaded = reloaded(search)
    np.testing.assert_array_equal(loaded.transform(X), search.transform(X))
    assert loaded.score(X) == search.score(X)


def test_an_outlier_detector():
    X = load_wine().data
    detector = VAEOutlierDetector(max_iter=0).fit(X)
    np.testing.assert_array_equal(reloaded(detector).predict(X), detector.predict(X))
