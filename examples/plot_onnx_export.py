"""
A Pipeline served without scikit-learn or torch
===============================================

A scaler and a variational autoencoder are fitted as a Pipeline and stored as two ONNX files,
one from images to codes and one back. A server needs ONNX Runtime only, and gives the same
codes in a fraction of the time. Needs ``pip install onnx onnxscript onnxruntime``.
"""

import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skvae import VAETransformer


class Affine(torch.nn.Module):
    """The scaler, or its inverse, as a torch module."""

    def __init__(self, scale, offset):
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float32))

    def forward(self, x):
        return x * self.scale + self.offset


def export(path, *modules, width):
    """Store modules, one after the other, for any number of rows."""
    torch.onnx.export(
        torch.nn.Sequential(*modules).eval(),
        (torch.zeros(2, width),),
        dynamic_shapes=({0: torch.export.Dim("rows")},),
        dynamo=True,
        verbose=False,
    ).save(path)


def milliseconds(function, rows):
    """Return the median time of nine calls."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        function(rows)
        times.append(1e3 * (time.perf_counter() - start))
    return np.median(times)


# Where the model is trained
X, y = load_digits(return_X_y=True)
X_train, X_test, _, y_test = train_test_split(np.float32(X), y, random_state=0)
vae = VAETransformer(
    2, likelihood="bernoulli", early_stopping=False, max_iter=40, random_state=0
)
model = make_pipeline(MinMaxScaler(clip=True), vae).fit(X_train)
scale, offset = model[0].scale_, model[0].min_
scaler, inverse = Affine(scale, offset), Affine(1 / scale, -offset / scale)
folder = Path(tempfile.mkdtemp())
# The encoder clips, as the scaler does: to the values that the likelihood takes.
export(folder / "encoder.onnx", scaler, vae.encoder_module(), width=64)
export(folder / "decoder.onnx", vae.decoder_module(), inverse, width=2)

# Where it is served
encoder = onnxruntime.InferenceSession(folder / "encoder.onnx")
decoder = onnxruntime.InferenceSession(folder / "decoder.onnx")


def encode(rows):
    return encoder.run(None, {encoder.get_inputs()[0].name: rows})[0]


def decode(codes):
    return decoder.run(None, {decoder.get_inputs()[0].name: codes})[0]


codes = encode(X_test)
error = np.abs(codes - model.transform(X_test)).max()
print(f"Largest difference of the codes to those of the Pipeline: {error:.1e}")

figure, axes = plt.subplots(1, 3, figsize=(14, 4.5), layout="constrained")
points = axes[0].scatter(*codes.T, c=y_test, cmap="tab10", vmin=-0.5, vmax=9.5, s=12)
figure.colorbar(points, ax=axes[0], ticks=range(10), label="digit")
axes[0].set(title="codes of held-out digits, served", xlabel="$z_0$", ylabel="$z_1$")

low, high = np.percentile(codes, [2, 98], axis=0)
plane = np.stack(np.meshgrid(*np.linspace(low, high, 8).T), axis=-1)[::-1]
images = decode(plane.reshape(-1, 2).astype(np.float32)).reshape(8, 8, 8, 8)
extent = [low[0], high[0], low[1], high[1]]
axes[1].imshow(np.block([list(row) for row in images]), cmap="gray_r", vmin=0, extent=extent)
axes[1].set(title="the plane of codes, decoded by the server", xlabel="$z_0$", ylabel="$z_1$")
axes[1].set_aspect("auto")

n_rows = [1, 3, 10, 30, 100, 300, 1000]
for name, function in {"Pipeline.transform": model.transform, "ONNX Runtime": encode}.items():
    times = [milliseconds(function, np.resize(X_test, (n, 64))) for n in n_rows]
    axes[2].loglog(n_rows, times, "o-", label=name)
axes[2].set(title="time of a call", xlabel="rows", ylabel="milliseconds")
axes[2].legend()
plt.show()
