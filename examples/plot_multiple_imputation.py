"""
Multiple imputation
===================

A third of the measurements in a table of patients is missing. A table filled once looks as
certain as a complete one; the spread of twenty draws shows what is not known. Their ranges
hold nine of ten true values, as they should. A regression is fitted to each draw, and Rubin's
rules add the spread of its coefficients to their variances.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from skvae import VAEImputer

N_DRAWS = 20
COLUMNS = ["bmi", "bp", "s3", "s5"]
complete = load_diabetes(as_frame=True).frame
complete = (complete - complete.mean()) / complete.std()
missing = np.random.RandomState(0).uniform(size=complete.shape) < 1 / 3
missing[:, -1] = False  # the target is known, and helps to fill in the others
table = complete.mask(missing)

# With a RandomState each call gives new draws, with an integer always the same.
imputer = VAEImputer(sample_posterior=True, random_state=np.random.RandomState(0))
imputer.set_output(transform="pandas").fit(table)
draws = [imputer.transform(table) for _ in range(N_DRAWS)]

low, middle, high = np.quantile(draws, [0, 0.5, 1], axis=0)
inside = ((low < complete) & (complete < high)).to_numpy()
coverage = inside[missing].mean()
# A further draw is inside the range of twenty with this probability.
expected = (N_DRAWS - 1) / (N_DRAWS + 1)


def regress(rows):
    """Return least-squares coefficients for the target, and their variances."""
    X, y = rows[COLUMNS], rows["target"]
    coef, (squares,), *_ = np.linalg.lstsq(X, y)
    return coef, squares / (len(y) - len(coef)) * np.diag(np.linalg.inv(X.T @ X))


coefs, variances = np.swapaxes([regress(filled) for filled in draws], 0, 1)
between = coefs.var(axis=0, ddof=1)
results = {
    "nothing missing": regress(complete),
    "rows without gaps": regress(table.dropna(subset=COLUMNS)),
    "filled with column means": regress(table.fillna(table.mean())),
    "twenty draws": (coefs.mean(axis=0), variances.mean(axis=0) + (1 + 1 / N_DRAWS) * between),
}

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.15), "ncols": 2, "frameon": False}
column = complete.columns.get_loc("s5")
for found, colour, name in ((True, "C0", "inside"), (False, "C3", "outside")):
    rows = missing[:, column] & (inside[:, column] == found)
    x, y = complete.loc[rows, "s5"], middle[rows, column]
    reach = y - low[rows, column], high[rows, column] - y
    style = {"fmt": ".", "color": colour, "alpha": 0.6, "elinewidth": 0.8}
    left.errorbar(x, y, reach, label=f"true value {name}", **style)
left.axline((0, 0), slope=1, color="0.3", linewidth=0.8)
left.set(
    xlabel="true value of s5",
    ylabel="median and range of the draws",
    title=f"{coverage:.0%} of all true values inside, {expected:.0%} expected",
)
left.legend(**below)

for i, (name, (coef, variance)) in enumerate(results.items()):
    error = np.sqrt(variance)
    print(f"{name:25}", *(f"{c:6.2f} ± {e:.2f}" for c, e in zip(coef, error, strict=True)))
    places = np.arange(len(COLUMNS)) + 0.16 * (i - 1.5)
    colour = ("0.2", "C1", "C2", "C0")[i]
    right.errorbar(coef, places, xerr=1.96 * error, fmt="o", color=colour, label=name)
right.axvline(0, color="0.7", linewidth=0.8, zorder=0)
right.set_yticks(range(len(COLUMNS)), COLUMNS)
right.invert_yaxis()
right.set(xlabel="coefficient", title="Regression of the disease's progression, 95% intervals")
right.legend(**below)
plt.show()
