"""
Posterior collapse seen and cured
=================================

A network of three layers of logistic units learns slowly. At first its codes say little about
the rows, and the KL term drives them into the prior before the decoder has learned to use
them: `latent_kl_` is 0 in all dimensions, every digit is decoded to the same mean, and `fit`
warns. A KL term that rises slowly, a small weight of it, or fewer dimensions cure it.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from skvae import VAETransformer
from skvae.networks import MLP

X_train, X_test = train_test_split(load_digits().data / 16, random_state=0)
vae = VAETransformer(
    8,
    network=MLP((128, 128, 128), activation="logistic", linear_map=False),
    likelihood="bernoulli",
    early_stopping=False,
    max_iter=100,
    random_state=0,
)
cures = {
    "latent_dim=8, beta=1": {},
    "kl_warmup=80": {"kl_warmup": 80},
    "beta=0.2": {"beta": 0.2},
    "latent_dim=2": {"latent_dim": 2},
}
# Okabe and Ito's colours, which the colour-blind tell apart.
styles = {
    "color": ["black", "#0072b2", "#d55e00", "#009e73"],
    "linestyle": ["-", "--", "-.", ":"],
}

figure = plt.figure(figsize=(11, 6), layout="constrained")
axes = figure.subplot_mosaic([list("abcd"), ["curves"] * 4], height_ratios=(1, 1.2))
for i, (name, params) in enumerate(cures.items()):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model = clone(vae).set_params(**params).fit(X_train)
    warned = any("collapsed" in str(warning.message) for warning in caught)
    style = {key: values[i] for key, values in styles.items()}
    bars = axes["abcd"[i]]
    bars.bar(range(model.latent_dim), np.sort(model.latent_kl_)[::-1], color=style["color"])
    bars.set(
        xticks=range(8), xlim=(-0.6, 7.6), ylim=(0, 2.5), xlabel="latent dimension, sorted"
    )
    score = f"held-out score \N{MINUS SIGN}{-model.score(X_test):.1f} nats"
    bars.set_title(f"{name}\n{score}", fontsize=10)
    if warned:
        bars.text(3.5, 1.25, "fit warns:\ncollapsed", ha="center", va="center")
    axes["curves"].plot(model.history_["kl"], label=name, linewidth=2, **style)
axes["a"].set_ylabel("latent_kl_ (nats)")
axes["curves"].set(xlabel="epoch", ylabel="KL divergence (nats per row)", yscale="log")
axes["curves"].legend(loc="center right", bbox_to_anchor=(1, 0.55))
plt.show()
