"""PCA, factor analysis and a variational autoencoder on the handwritten digits.

Prints a table and saves a picture:

    python examples/quickstart.py
"""

import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skvae import VAETransformer

PICTURE = Path("quickstart.png")


def measure(model, X_train, X_test, y_train, y_test):
    """Fit and return the table's figures."""
    start = time.perf_counter()
    model.fit(X_train)
    seconds = time.perf_counter() - start
    codes = model.transform(X_test)
    if hasattr(model, "inverse_transform"):
        decoded = model.inverse_transform(codes)
    else:  # FactorAnalysis has none
        decoded = codes @ model.components_ + model.mean_
    neighbours = KNeighborsClassifier(5).fit(model.transform(X_train), y_train)
    return (
        model.score(X_test),
        np.mean((decoded - X_test) ** 2),
        neighbours.score(codes, y_test),
        seconds,
    )


def draw(models, X_test, y_test):
    """Draw latent spaces by class, and digits, reconstructions and samples."""
    figure = plt.figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.5))
    for ax, (name, model) in zip(left.subplots(2, 1), models.items(), strict=True):
        codes = model.transform(X_test)
        points = ax.scatter(*codes.T, c=y_test, cmap="tab10", vmin=-0.5, vmax=9.5, s=8)
        # A few rows lie far out and would press the others together.
        (x_low, y_low), (x_high, y_high) = np.percentile(codes, (1, 99), axis=0)
        ax.set(xlim=(x_low, x_high), ylim=(y_low, y_high))
        ax.set(title=f"{name}: codes, central 98%", xlabel="$z_0$", ylabel="$z_1$")
    left.colorbar(points, ax=left.axes, ticks=range(10), label="digit")

    shown = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
    rows = {"Held-out digits": X_test[shown]}
    for name, model in models.items():
        decoded = model.inverse_transform(model.transform(X_test[shown]))
        rows[f"Their reconstructions by {name}"] = decoded
    vae = models["VAETransformer"]
    rows["Samples of VAETransformer (decoded means)"] = vae.sample(
        10, mean=True, random_state=0
    )
    for ax, (title, images) in zip(right.subplots(4, 1), rows.items(), strict=True):
        strip = np.hstack([np.pad(image.reshape(8, 8), 1) for image in images])
        ax.imshow(strip, cmap="gray_r", vmin=0, vmax=16)
        ax.set_title(title, loc="left")
        ax.set_axis_off()
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


def main():
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    X_train, X_test, _, y_test = parts
    models = {
        "PCA": PCA(n_components=2),
        "FactorAnalysis": FactorAnalysis(n_components=2),
        "VAETransformer": VAETransformer(latent_dim=2, random_state=0),
    }
    print(f"load_digits: {len(X_train)} rows to train on, {len(X_test)} held out; 2 dimensions")
    print(
        f"{'':15s} {'log-likelihood':>15s} {'MSE':>7s} {'5-NN accuracy':>14s} {'fit (s)':>8s}"
    )
    for name, model in models.items():
        score, error, accuracy, seconds = measure(model, *parts)
        print(f"{name:15s} {score:15.2f} {error:7.3f} {accuracy:14.3f} {seconds:8.2f}")
    draw({name: models[name] for name in ("PCA", "VAETransformer")}, X_test, y_test)
    print(f"Picture: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
