"""
PCA, t-SNE and a variational autoencoder side by side
=====================================================

Three maps of the handwritten digits. t-SNE separates the digits best, and that is all it
does: it places the rows that it is given, has no `transform` for new rows and cannot draw a
digit from a place. PCA does both, by a flat plane. The variational autoencoder does both by a
curved one, and separates the digits better than PCA and less well than t-SNE.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer

X, y = load_digits(return_X_y=True)
X, y = X[:1000] / 16, y[:1000]
vae = VAETransformer(2, likelihood="bernoulli", image_shape=(8, 8), random_state=0)
models = {"PCA": PCA(2), "t-SNE": TSNE(random_state=0), "VAETransformer": vae}

# Petroff (2021): ten colours that the colour-blind tell apart.
colours = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd"
figure, axes = plt.subplots(1, 3, figsize=(13, 4.8), layout="constrained")
for (name, model), ax in zip(models.items(), axes, strict=True):
    codes = model.fit_transform(X)
    for digit, colour in enumerate(colours.split()):
        marker = {"marker": rf"$\mathbf{{{digit}}}$", "s": 30, "color": colour, "linewidths": 0}
        ax.scatter(*codes[y == digit].T, **marker)
    accuracy = cross_val_score(KNeighborsClassifier(5), codes, y).mean()
    takes_rows, draws_rows = (
        "yes" if hasattr(model, method) else "no"
        for method in ("transform", "inverse_transform")
    )
    ax.set_title(
        f"{name}\n5-NN accuracy {accuracy:.2f}; new rows: {takes_rows}; decoder: {draws_rows}",
        fontsize=11,
    )
    ax.set(xlabel="first dimension", ylabel="second dimension")
plt.show()
