"""
Filling in damaged images
=========================

The model learns from digits of which a third of the pixels is missing, and then fills in the
lower half of others. The conditional mean is blurred where several digits are possible; each
draw is one of them. Hatched pixels are missing.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import VAETransformer

X_train, X_test = train_test_split(load_digits().data / 16, random_state=0)
rng = np.random.RandomState(0)
X_train[rng.uniform(size=X_train.shape) < 1 / 3] = np.nan
X_damaged = X_test.copy()
X_damaged[:, 32:] = np.nan

vae = VAETransformer(
    16,
    likelihood="continuous_bernoulli",
    image_shape=(8, 8),
    early_stopping=True,
    max_iter=60,
    random_state=0,
).fit(X_train)

X_mean = vae.impute(X_damaged)
missing = np.isnan(X_damaged)
for name, filled in (("column means", np.nanmean(X_train, axis=0)), ("impute", X_mean)):
    error = np.mean(np.square(X_test - filled)[missing])
    print(f"mean squared error of the missing pixels by {name}: {error:.3f}")

n_images = 12
lines = {"original": X_test, "damaged": X_damaged, "mean": X_mean}
for seed in (1, 2, 3):
    draw = vae.impute(X_damaged[:n_images], sample=True, random_state=seed)
    lines[f"draw {seed}"] = draw
figure, axes = plt.subplots(len(lines), n_images, figsize=(9, 4.7), layout="constrained")
for (name, images), line in zip(lines.items(), axes, strict=True):
    for image, ax in zip(images, line, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        ax.patch.set(facecolor="0.88", edgecolor="0.55", hatch="//////")
        ax.spines[:].set_color("0.6")
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()
