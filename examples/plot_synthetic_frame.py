"""
A synthetic table
=================

344 penguins: measurements, a year, three columns of categories, and some gaps. The frame goes
in as it is, and new rows come out as a frame with the same columns and dtypes. Each column has
its own distribution again, and the columns depend on each other as in the data: body and beak
on species and sex, and the species on the island.
"""

import matplotlib.pyplot as plt
import pandas as pd
from palmerpenguins import load_penguins

from skvae import VAETransformer
from skvae.display import SampleDisplay

CATEGORIES = ["species", "island", "sex"]
COLOURS = {"Adelie": "C1", "Chinstrap": "C4", "Gentoo": "C2"}
penguins = load_penguins().astype(dict.fromkeys(CATEGORIES, "category"))

# Of so few rows all are used; the importance-weighted bound keeps the species apart.
vae = VAETransformer(
    latent_dim=5,
    objective="iwae",
    n_samples=5,
    early_stopping=False,
    max_iter=200,
    random_state=0,
).fit(penguins)
synthetic = vae.sample(len(penguins), random_state=0)
print(synthetic.head(), synthetic.dtypes, sep="\n\n")

SampleDisplay.from_estimator(vae, penguins, random_state=0)

_, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained", sharex="col")
for (left, right), (name, table) in zip(
    axes, {"Real": penguins, "Synthetic": synthetic}.items(), strict=True
):
    for species, rows in table.groupby("species", observed=True):
        style = {"s": 12, "alpha": 0.7, "color": COLOURS[species], "label": species}
        left.scatter(rows["bill_length_mm"], rows["bill_depth_mm"], **style)
    left.set(ylabel="bill depth (mm)", ylim=(12, 23), title=f"{name} penguins")
    counts = pd.crosstab(table["island"], table["species"])
    counts.plot.barh(stacked=True, ax=right, color=COLOURS, alpha=0.8, legend=False)
    right.set(ylabel="", title=f"{name} penguins by island")
axes[0, 0].legend(frameon=False)
axes[1, 0].set_xlabel("bill length (mm)")
axes[1, 1].set_xlabel("penguins")
plt.show()
