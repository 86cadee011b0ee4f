"""
A latent space beside that of PCA
=================================

Two dimensions of the handwritten digits. PCA sees the directions of the largest variance; the
variational autoencoder lays the digits out so that they can be drawn again from their place.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer
from skvae.display import LatentGridDisplay, LatentSpaceDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
vae = VAETransformer(2, likelihood="bernoulli", image_shape=(8, 8), random_state=0)

figure, axes = plt.subplots(1, 3, figsize=(14, 4.5), layout="constrained")
for model, ax in zip((PCA(2), vae), axes, strict=False):
    model.fit(X_train)
    accuracy = cross_val_score(KNeighborsClassifier(5), model.transform(X_test), y_test).mean()
    legend = model is vae
    LatentSpaceDisplay.from_estimator(model, X_test, y_test, ax=ax, legend=legend)
    ax.set_title(f"{type(model).__name__}: 5-NN accuracy {accuracy:.2f}")
LatentGridDisplay.from_estimator(vae, n_grid=12, cmap="gray_r", ax=axes[2])
axes[2].set_title("what each place stands for")
plt.show()
