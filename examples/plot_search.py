"""
A search over scaler and latent_dim in a Pipeline
=================================================

A Pipeline's own `score` is a density of the scaled rows, and a search by it prefers the scaler
that shrinks the rows most. `log_likelihood_scorer` counts in the units of the rows that the
Pipeline is given: scalers that only shift and stretch are then equal, as the model scales its
columns itself, and the one that makes skewed columns normal is better.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, PowerTransformer, StandardScaler

from skvae import VAETransformer
from skvae.metrics import log_likelihood_scorer


def own_score(pipeline, X, y=None):
    return pipeline.score(X)


X = load_wine().data
scalers = [MinMaxScaler(), StandardScaler(), PowerTransformer()]
dimensions = [1, 2, 4, 8]
vae = VAETransformer(early_stopping=True, random_state=0)
search = GridSearchCV(
    Pipeline([("scale", "passthrough"), ("vae", vae)]),
    {"scale": scalers, "vae__latent_dim": dimensions},
    scoring={"own": own_score, "rows": log_likelihood_scorer},
    refit="rows",
    cv=KFold(3, shuffle=True, random_state=0),
).fit(X)
print(f"Best: {search.best_params_}, {search.best_score_:.2f} nats per row")

titles = {"own": "misleading: the Pipeline's score", "rows": "log_likelihood_scorer"}
figure, axes = plt.subplots(1, 2, figsize=(11, 3.2), layout="constrained", sharey=True)
for (scorer, title), ax in zip(titles.items(), axes, strict=True):
    scores = search.cv_results_[f"mean_test_{scorer}"].reshape(len(scalers), len(dimensions))
    image = ax.imshow(scores, cmap="cividis", aspect="auto")
    for (row, column), score in np.ndenumerate(scores):
        dark = score < (scores.min() + scores.max()) / 2
        style = {"ha": "center", "va": "center", "color": "white" if dark else "black"}
        weight = "bold" if score == scores.max() else "normal"
        text = f"{score:.1f}".replace("-", "\N{MINUS SIGN}")
        ax.text(column, row, text, fontweight=weight, **style)
    ax.set_xticks(range(len(dimensions)), dimensions)
    ax.set_yticks(range(len(scalers)), [type(scaler).__name__ for scaler in scalers])
    ax.set(xlabel="latent_dim", title=title)
    figure.colorbar(image, label="held-out nats per row")
plt.show()
