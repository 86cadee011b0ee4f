"""
Filling a small class by sampling
=================================

A class with few rows is filled with samples of a model of that class. The classifier that
does so is an estimator like any other: it goes into a Pipeline, and cross-validation draws
new rows from its training folds only.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skvae import VAETransformer


class Oversampled(ClassifierMixin, BaseEstimator):
    """Fits `classifier` after `sampler` has filled each class up to the largest."""

    def __init__(self, sampler, classifier):
        self.sampler = sampler
        self.classifier = classifier

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        rows, labels = [X], [y]
        for label, missing in zip(self.classes_, counts.max() - counts, strict=True):
            if missing:
                model = clone(self.sampler).fit(X[y == label])
                rows.append(model.sample(missing, random_state=0))
                labels.append(np.full(missing, label))
        self.classifier_ = clone(self.classifier)
        self.classifier_.fit(np.concatenate(rows), np.concatenate(labels))
        return self

    def predict(self, X):
        return self.classifier_.predict(X)


X, y = load_digits(return_X_y=True)
y = (y == 8).astype(int)
few = np.flatnonzero(y)[:40]
kept = np.concatenate([np.flatnonzero(y == 0), few])
X, y = X[kept], y[kept]

plain = LogisticRegression(max_iter=1000)
vae = VAETransformer(latent_dim=2, early_stopping=True, random_state=0)
names = ["as they are", "class weights", "sampled rows"]
classifiers = [
    plain,
    LogisticRegression(class_weight="balanced", max_iter=1000),
    Oversampled(vae, plain),
]
scores = [
    cross_val_score(make_pipeline(MinMaxScaler(), c), X, y, scoring="balanced_accuracy")
    for c in classifiers
]
figure, ax = plt.subplots(layout="constrained")
ax.boxplot(scores, tick_labels=names)
ax.set(
    ylabel="balanced accuracy, five folds",
    title=f"Is it an eight? {len(few)} eights among {len(X)} digits",
)
for name, score in zip(names, scores, strict=True):
    print(f"{name}: {score.mean():.3f}")
plt.show()
