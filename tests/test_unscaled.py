"""Tables in their own units: no scaler is needed, and none changes the model."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

TABLES = {
    "wine": load_wine().data,
    "diabetes": load_diabetes(scaled=False).data,
    "diabetes as shipped": load_diabetes().data,
}


pytestmark = pytest.mark.filterwarnings(
    "ignore:.*settled:sklearn.exceptions.ConvergenceWarning"
)
each_table = pytest.mark.parametrize("X", TABLES.values(), ids=TABLES)


@each_table
@pytest.mark.parametrize("mode", [True, "cv"])
def test_raw_columns_are_modelled_as_well_as_by_factor_analysis(X, mode):
    train, test = train_test_split(X, test_size=0.25, random_state=0)
    model = VAETransformer(max_iter=20, early_stopping=mode, random_state=0).fit(train)
    linear = FactorAnalysis(2, svd_method="lapack").fit(train)
    gains = model.score_samples(test) - linear.score_samples(test)
    assert gains.mean() > -gains.std(ddof=1) / np.sqrt(len(gains))


@each_table
def test_a_scaler_changes_the_units_of_the_density_and_nothing_else(X):
    scaler = StandardScaler().fit(X)
    raw, scaled = (
        VAETransformer(max_iter=5, early_stopping=True, random_state=0).fit(rows)
        for rows in (X, scaler.transform(X))
    )
    expected = scaled.score_samples(scaler.transform(X)) - np.log(scaler.scale_).sum()
    np.testing.assert_allclose(raw.score_samples(X), expected, rtol=1e-4, atol=1e-4)
