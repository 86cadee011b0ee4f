"""
When PCA is enough
==================

Held-out log-likelihoods of four models on three tables, and the seconds of a fit: means of
three splits. As a density of a small table a mixture of Gaussians with full covariances is
hard to beat. PCA and factor analysis are fitted at once; a variational autoencoder of as many
dimensions improves on them by the bend of its plane, and costs a training.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import ShuffleSplit
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

tables = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer}
models = {
    "PCA": PCA(2),
    "FactorAnalysis": FactorAnalysis(2),
    "VAETransformer": VAETransformer(2, early_stopping=True, random_state=0),
    "GaussianMixture": GaussianMixture(3, reg_covar=1e-2, random_state=0),
}
splits = ShuffleSplit(3, test_size=0.25, random_state=0)

figure, axes = plt.subplots(2, 3, figsize=(10, 5), layout="constrained", sharey=True)
for (name, load), (left, right) in zip(tables.items(), axes.T, strict=True):
    X = load().data
    for place, model in enumerate(models.values()):
        scores, seconds = [], []
        for train, test in splits.split(X):
            scaler = StandardScaler().fit(X[train])
            start = time.perf_counter()
            model.fit(scaler.transform(X[train]))
            seconds.append(time.perf_counter() - start)
            scores.append(model.score(scaler.transform(X[test])))
        colour = f"C{place}"
        left.errorbar(np.mean(scores), place, xerr=np.std(scores), fmt="o", color=colour)
        right.barh(place, np.mean(seconds), color=colour)
    left.set(title=f"{name}, {X.shape[0]} x {X.shape[1]}", xlabel="nats per held-out row")
    right.set(xscale="log", xlabel="seconds of a fit")
    left.set_yticks(range(len(models)), models)
    right.set_yticks(range(len(models)), models)
axes[0, 0].invert_yaxis()
plt.show()
