"""
A denoising autoencoder
=======================

Trained to restore digits from noisy ones, with noise drawn anew in each step. The plain
autoencoder of the same network passes more of the noise on.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import AutoencoderTransformer
from skvae.display import ReconstructionDisplay
from skvae.likelihoods import Gaussian

NOISE = 4.0
X_train, X_test = train_test_split(load_digits().data, random_state=0)
rng = np.random.RandomState(0)
X_noisy = X_test + NOISE * rng.standard_normal(X_test.shape)
print(f"mean squared error of the noisy digits: {np.mean((X_noisy - X_test) ** 2):.2f}")

for noise in (0.0, NOISE):
    model = AutoencoderTransformer(
        16,
        likelihood=Gaussian(noise="isotropic"),
        noise=noise,
        image_shape=(8, 8),
        early_stopping=True,
        random_state=0,
    ).fit(X_train)
    restored = model.inverse_transform(model.transform(X_noisy))
    print(f"restored, trained with noise={noise}: {np.mean((restored - X_test) ** 2):.2f}")

ReconstructionDisplay.from_estimator(model, X_test[:10], X_noisy=X_noisy[:10])
plt.show()
