"""
A latent space beside that of PCA
=================================

Two dimensions of the handwritten digits. PCA sees the directions of the largest variance; the
variational autoencoder starts there and bends them until the digits are most likely.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from skvae.display import LatentSpaceDisplay

from skvae import VAETransformer

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for model, ax in zip((PCA(2), VAETransformer(2, random_state=0)), axes, strict=True):
    model.fit(X_train)
    accuracy = cross_val_score(KNeighborsClassifier(5), model.transform(X_test), y_test).mean()
    LatentSpaceDisplay.from_estimator(model, X_test, y_test, ax=ax)
    ax.set_title(f"{type(model).__name__}: 5-NN accuracy {accuracy:.2f}")
plt.show()
