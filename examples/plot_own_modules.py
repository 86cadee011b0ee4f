"""
Your own torch modules
======================

`ModuleNetwork` takes torch modules of your own. Here the encoder convolves and pools, and the
decoder is one linear layer whose weights are never negative: a digit is a background with
more or less of each part. The parts can be looked at, as those of non-negative matrix
factorization. The default decoder, which cannot be read, describes new digits better; the
price is printed.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import linear, softplus

from skvae import VAETransformer
from skvae.display import ReconstructionDisplay
from skvae.networks import ModuleNetwork

N_PARTS = 12


def pooling_encoder(n_in, n_out):
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, n_out),
    )


class SumOfParts(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) - 2)
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, codes):
        return linear(codes, softplus(self.weight), self.bias)


X_train, X_test = train_test_split(load_digits().data, random_state=0)
default = VAETransformer(
    N_PARTS, image_shape=(8, 8), early_stopping=True, max_iter=100, random_state=0
).fit(X_train)
own = clone(default).set_params(network=ModuleNetwork(pooling_encoder, SumOfParts))
own.fit(X_train)
print(f"Held-out score: parts {own.score(X_test):.1f}, default {default.score(X_test):.1f}")

# What one unit of each latent dimension adds, the most used dimension first.
decoded = own.inverse_transform(np.vstack([np.zeros(N_PARTS), np.eye(N_PARTS)]))
order = np.argsort(own.latent_kl_)[::-1]
parts = (decoded[1:] - decoded[0])[order].reshape(-1, 8, 8)

figure = plt.figure(figsize=(11, 5.5), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=(1.2, 1))
axes = above.subplots(2, N_PARTS // 2)
for ax, dimension, part in zip(axes.flat, order, parts, strict=True):
    image = ax.imshow(part, cmap="cividis", vmin=0, vmax=parts.max())
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"$z_{{{dimension}}}$", fontsize=10)
above.colorbar(image, ax=axes, label="grey value (0 to 16)\nper unit of $z$")
above.suptitle("parts of the decoder, the most used first")
ax = below.subplots()
below.suptitle("digits that the model has not seen")
ReconstructionDisplay.from_estimator(own, X_test[:10], cmap="gray_r", ax=ax)
plt.show()
