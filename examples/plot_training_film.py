"""
The training as a film
======================

A callback records the decoded latent grid while the model learns, several times in the first
epoch and then after each, and writes a GIF at the end.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image
from sklearn.datasets import load_digits

from skvae import VAETransformer
from skvae.display import LatentGridFilm, TrainingDisplay

path = Path(tempfile.gettempdir()) / "skvae_training.gif"
vae = VAETransformer(
    likelihood="bernoulli",
    image_shape=(8, 8),
    early_stopping=True,
    max_iter=60,
    random_state=0,
)
vae.set_callbacks(LatentGridFilm(path, n_grid=8)).fit(load_digits().data / 16)
print(f"Film: {path}")

figure, axes = plt.subplots(1, 4, figsize=(12, 3.5), layout="constrained")
with Image.open(path) as film:
    for ax, frame in zip(axes, (0, 8, 16, film.n_frames - 1), strict=True):
        film.seek(frame)
        ax.imshow(film.convert("L"), cmap="gray")
        ax.set(title=f"frame {frame + 1} of {film.n_frames}", xticks=[], yticks=[])
TrainingDisplay.from_estimator(vae)
plt.show()
