"""skrub's vectorizers before the model."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline

from skvae import VAETransformer

skrub = pytest.importorskip("skrub")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def test_a_table_vectorizer_before_it():
    frame = load_iris(as_frame=True).frame
    frame["kind"] = pd.Series(["a", "b", "c"], dtype="str").loc[frame.pop("target")].to_numpy()
    frame["day"] = pd.date_range("2020-01-01", periods=len(frame))
    model = make_pipeline(skrub.TableVectorizer(), VAETransformer(2, max_iter=0))
    codes = model.fit_transform(frame)
    assert np.shape(codes) == (150, 2)
    assert np.isfinite(np.asarray(codes)).all()
