"""
Anomaly detection by score_samples
==================================

The model learns benign tumours only. Malignant ones are improbable under it: their log-
density alone separates them, without a label in training.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAETransformer

X, y = load_breast_cancer(return_X_y=True)  # 1 is benign
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

vae = VAETransformer(latent_dim=4, early_stopping=True, random_state=0)
model = make_pipeline(StandardScaler(), vae).fit(X_train[y_train == 1])
density = model.score_samples(X_test)
auc = roc_auc_score(y_test, density)

figure, ax = plt.subplots(layout="constrained")
bins = np.linspace(np.percentile(density, 5), density.max(), 40)
for label, name in ((1, "benign"), (0, "malignant")):
    ax.hist(density[y_test == label].clip(bins[0]), bins, alpha=0.6, label=name)
ax.set(
    xlabel="log-density (nats; the lowest 5% are put in the first bin)",
    ylabel="tumours",
    title=f"Area under the ROC curve: {auc:.3f}",
)
ax.legend()
plt.show()
