"""
Choosing latent_dim by the likelihood
=====================================

`score` is a log-likelihood, so a grid search finds the number of latent dimensions on rows
that the model has not seen, as it does for PCA and FactorAnalysis. PCA does best here with the
largest number that is tried: with nearly as many dimensions as columns it is a Gaussian with
a full covariance matrix.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV

from skvae import VAETransformer
from skvae.likelihoods import Gaussian

X = load_digits().data
X = X[:, X.std(axis=0) > 0.5]  # pixels that vary: PCA's density needs them

dimensions = [1, 8, 32, 48]
vae = VAETransformer(
    likelihood=Gaussian(noise="isotropic"),
    early_stopping=True,
    max_iter=40,
    learning_rate_init=1e-2,
    random_state=0,
)
figure, ax = plt.subplots(layout="constrained")
for model, grid in ((PCA(), "n_components"), (vae, "latent_dim")):
    search = GridSearchCV(model, {grid: dimensions}, cv=3).fit(X)
    scores = search.cv_results_["mean_test_score"]
    ax.plot(dimensions, scores, "o-", label=type(model).__name__)
    print(f"{type(model).__name__}: best with {search.best_params_}, {scores.max():.2f} nats")
ax.set(
    xscale="log",
    xticks=dimensions,
    xticklabels=dimensions,
    xlabel="latent dimensions",
    ylabel="held-out log-likelihood (nats per row)",
)
ax.minorticks_off()
ax.legend()
plt.show()
