"""imbalanced-learn's samplers and Pipelines before the model."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

pytest.importorskip("imblearn")


def test_a_pipeline_with_a_sampler():
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline

    X, y = load_breast_cancer(return_X_y=True)
    rows = np.r_[np.flatnonzero(y == 1)[:200], np.flatnonzero(y == 0)[:60]]
    model = make_pipeline(
        StandardScaler(),
        SMOTE(random_state=0),
        VAETransformer(4, max_iter=0, random_state=0),
        LogisticRegression(),
    )
    scores = cross_val_score(model, X[rows], y[rows], cv=3, scoring="balanced_accuracy")
    assert scores.mean() > 0.85
