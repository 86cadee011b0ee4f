"""
The decoded grid, and a path between two digits
===============================================

Every place in the latent plane stands for an image. A grid of places, decoded, is a map of
what the model has learned. The straight line between the codes of a seven and a six passes the
fours, and so do the images on it: they are no fading of the one into the other.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from sklearn.datasets import load_digits

from skvae import VAETransformer
from skvae.display import InterpolationDisplay, LatentGridDisplay, LatentSpaceDisplay

X, y = load_digits(return_X_y=True)
X = X / 16
vae = VAETransformer(2, likelihood="bernoulli", image_shape=(8, 8), random_state=0).fit(X)

# Of each digit the row whose code is nearest to the middle of its codes.
codes = vae.transform(X)
ends = []
for digit in (7, 6):
    distance = np.linalg.norm(codes - np.median(codes[y == digit], axis=0), axis=1)
    ends.append(np.where(y == digit, distance, np.inf).argmin())

# Petroff (2021): ten colours that the colour-blind tell apart.
colours = "#3f90da #ffa90e #bd1f01 #94a4a2 #832db6 #a96b59 #e76300 #b9ac70 #717581 #92dadd"
figure = plt.figure(figsize=(11, 7), layout="constrained")
axes = figure.subplot_mosaic([["codes", "grid"], ["path", "path"]], height_ratios=(4, 1))
cmap = ListedColormap(colours.split())
display = LatentSpaceDisplay.from_estimator(vae, X, y, cmap=cmap, ax=axes["codes"])
display.legend_.set_title("digit")
axes["codes"].plot(*codes[ends].T, "o-", color="black", markerfacecolor="white", linewidth=2)
axes["codes"].set_title("codes of the digits")
LatentGridDisplay.from_estimator(vae, n_grid=14, cmap="gray_r", ax=axes["grid"])
axes["grid"].set_title("the plane decoded, in quantiles of the prior")
InterpolationDisplay.from_estimator(vae, X[ends], n_steps=11, cmap="gray_r", ax=axes["path"])
axes["path"].set_title("from the seven to the six, along the black line")
plt.show()
