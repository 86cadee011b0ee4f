"""
Numbers and categories together
===============================

Iris with its species: numbers are standardised, the category one-hot encoded, and one model
learns both. Samples come back as numbers and, by the largest of its columns, as a species.
The model is checked by what it does not see: whether the sampled flowers have the measures of
their species.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAETransformer

iris = load_iris()
table = np.column_stack([iris.data, iris.target])

encode = make_column_transformer(
    (StandardScaler(), [0, 1, 2, 3]), (OneHotEncoder(sparse_output=False), [4])
)
vae = VAETransformer(latent_dim=3, early_stopping=True, max_iter=300, random_state=0)
model = make_pipeline(encode, vae).fit(table)

samples = model[-1].sample(150, random_state=0)
scaler = model[0].named_transformers_["standardscaler"]
flowers, species = scaler.inverse_transform(samples[:, :4]), samples[:, 4:].argmax(axis=1)

figure, axes = plt.subplots(
    1, 2, figsize=(10, 4.5), sharex=True, sharey=True, layout="constrained"
)
for ax, title, rows, labels in (
    (axes[0], "flowers", iris.data, iris.target),
    (axes[1], "samples", flowers, species),
):
    for label, name in enumerate(iris.target_names):
        ax.scatter(*rows[labels == label][:, 2:].T, s=15, label=str(name))
    ax.set(title=title, xlabel=iris.feature_names[2])
axes[0].set_ylabel(iris.feature_names[3])
axes[0].legend()
plt.show()
