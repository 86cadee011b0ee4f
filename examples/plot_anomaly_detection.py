"""
Anomaly detection
=================

VAEOutlierDetector is fitted to all tumours, without a label. Malignant ones are rarer and less
alike, so that they are improbable under the model. The dashed line is where `predict` begins to
call a tumour an outlier, by the share that is expected.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from skvae import VAEOutlierDetector

X, y = load_breast_cancer(return_X_y=True)  # 1 is benign
# As many malignant ones as there are in a screening: a tenth.
rows = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:40]]
X, y = X[rows], y[rows]

detector = VAEOutlierDetector(contamination=0.1, early_stopping=True, random_state=0).fit(X)
score = detector.decision_function(X)
auc = roc_auc_score(y, score)
found = np.mean(detector.predict(X)[y == 0] == -1)

figure, ax = plt.subplots(layout="constrained")
bins = np.linspace(np.percentile(score, 3), score.max(), 40)
for label, name in ((1, "benign"), (0, "malignant")):
    of_class = score[y == label].clip(bins[0])
    weights = np.full(len(of_class), 1 / len(of_class))
    ax.hist(of_class, bins, weights=weights, alpha=0.6, label=name)
ax.axvline(0, color="black", linestyle="--", label="predict")
ax.set(
    xlabel="decision_function (nats; the lowest 3% are put in the first bin)",
    ylabel="share of the class",
    title=f"Area under the ROC curve: {auc:.3f}; {found:.0%} of the malignant found",
)
ax.legend()
plt.show()
