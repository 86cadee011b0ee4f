"""
A tour of the likelihoods
=========================

The Bernoulli likelihood is for zeros and ones. On grey values its samples are black and
white, and its score is a cross-entropy, which cannot be compared with a density. The
continuous Bernoulli and the Gaussian are densities of grey values.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.display import SampleDisplay
from skvae.likelihoods import Gaussian

X_train, X_test = train_test_split(load_digits().data / 16, random_state=0)

likelihoods = [
    "bernoulli",
    "continuous_bernoulli",
    Gaussian(noise=0.1),
    Gaussian(noise="heteroscedastic", mean="sigmoid"),
]
figure, axes = plt.subplots(2, len(likelihoods), figsize=(13, 7), layout="constrained")
for likelihood, (above, below) in zip(likelihoods, axes.T, strict=True):
    vae = VAETransformer(
        8,
        likelihood=likelihood,
        image_shape=(8, 8),
        early_stopping=True,
        max_iter=100,
        random_state=0,
    ).fit(X_train)
    name = likelihood if isinstance(likelihood, str) else str(likelihood).replace(", ", ",\n")
    SampleDisplay.from_estimator(vae, mean=True, random_state=0, ax=above)
    SampleDisplay.from_estimator(vae, random_state=0, ax=below)
    unit = "cross-entropy" if likelihood == "bernoulli" else "log-density"
    above.set_title(f"{name}\ndecoded means", fontsize=10)
    below.set_title(f"samples; held-out {unit} {vae.score(X_test):.1f}", fontsize=10)
plt.show()
