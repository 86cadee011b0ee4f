"""A table as it comes: numbers, categories and missing values in one frame."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skvae import VAEOutlierDetector, VAETransformer

penguins = pytest.importorskip("palmerpenguins")
pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def frame():
    frame = penguins.load_penguins()
    columns = ["species", "island", "sex"]
    return frame.astype(dict.fromkeys(columns, "category")).drop(columns="year")


def test_codes_of_rows_with_gaps_tell_the_species(frame):
    X, y = frame.drop(columns="species"), frame["species"].astype(str)
    assert X.isna().any().any()
    vae = VAETransformer(2, max_iter=20, early_stopping=False, random_state=0)
    model = make_pipeline(vae, LogisticRegression()).fit(X, y)
    assert model.score(X, y) > 0.8 > y.value_counts(normalize=True).max() + 0.3


def test_gaps_are_filled_in_kind(frame):
    vae = VAETransformer(2, max_iter=0, random_state=0).fit(frame)
    filled = vae.impute(frame)
    assert not filled.isna().any().any()
    assert filled.dtypes.equals(frame.dtypes)
    assert vae.sample(5, random_state=0).dtypes.equals(frame.dtypes)


def test_a_penguin_that_cannot_be_is_an_outlier(frame):
    detector = VAEOutlierDetector(max_iter=0, random_state=0).fit(frame)
    row = frame[frame["species"] == "Adelie"].dropna()[:1]
    heavy = row.assign(body_mass_g=6300.0, flipper_length_mm=175.0)
    assert detector.score_samples(heavy) < detector.score_samples(row)
    assert np.isfinite(detector.score_samples(frame)).all()
