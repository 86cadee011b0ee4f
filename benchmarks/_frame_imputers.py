"""What fills the gaps of frames: the benchmark's own model and its peers."""

import time

import numpy as np
import pandas as pd
from _frames import categories
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import KNNImputer

from skvae import VAETransformer

N_ROUNDS = 3  # of the forest


def hide(table, share):
    """Return a copy with gaps, and which cells were hidden that had a value."""
    rng = np.random.RandomState(0)
    hidden = pd.DataFrame(rng.random_sample(table.shape) < share, columns=table.columns)
    return table.mask(hidden), hidden & table.notna()


def imputers(forest):
    """Iterate over labels, and functions that return a filled table and CPU seconds."""
    chosen = {"skvae": with_model, "mode and mean": with_constants, "5-NN": with_neighbors}
    if forest:
        chosen["forest"] = with_forests
    for label, fill in chosen.items():
        yield label, lambda holes, fill=fill: _timed(fill, holes)


def _timed(fill, holes):
    start = time.process_time()
    filled = fill(holes)
    return filled, time.process_time() - start


def with_model(holes):
    return VAETransformer(latent_dim=10, random_state=0).fit(holes).impute(holes)


def with_constants(holes):
    """Fill the most frequent category, or the mean."""
    names = categories(holes)
    filled = holes.fillna(holes.drop(columns=names).mean())
    return filled.fillna({name: holes[name].mode()[0] for name in names})


def with_neighbors(holes):
    """Fill from standardised numbers and indicators of the five most similar rows."""
    names = categories(holes)
    numbers = holes.drop(columns=names)
    wide = [(numbers - numbers.mean()) / numbers.std()]
    for name in names:
        indicators = pd.get_dummies(holes[name], prefix=name, dtype=float)
        # Two different categories are as far apart as numbers by one standard deviation.
        wide.append(indicators.where(holes[name].notna()) / np.sqrt(2))
    columns = np.cumsum([part.shape[1] for part in wide])
    X = KNNImputer().fit_transform(pd.concat(wide, axis=1).to_numpy(np.float32))
    parts = np.split(X, columns[:-1], axis=1)
    filled = holes.copy()
    filled[list(numbers)] = parts[0] * numbers.std().to_numpy() + numbers.mean().to_numpy()
    for name, part in zip(names, parts[1:], strict=True):
        filled[name] = pd.Categorical.from_codes(part.argmax(axis=1), dtype=holes[name].dtype)
    return holes.fillna(filled)


def with_forests(holes):
    """Fill column by column from a forest of the others, as missForest does.

    D. J. Stekhoven and P. Buehlmann (2012), MissForest, Bioinformatics 28(1).
    """
    gaps, names = holes.isna(), categories(holes)
    filled = with_constants(holes)
    codes = filled.copy()
    for name in names:
        codes[name] = filled[name].cat.codes
    for _ in range(N_ROUNDS):
        for name in gaps.sum().sort_values().index[gaps.sum().sort_values() > 0]:
            kind = RandomForestClassifier if name in names else RandomForestRegressor
            others, gap = codes.drop(columns=name), gaps[name]
            forest = kind(100, min_samples_leaf=5, max_features="sqrt", random_state=0)
            forest.fit(others[~gap], codes.loc[~gap, name])
            codes.loc[gap, name] = forest.predict(others[gap]).astype(codes[name].dtype)
    for name in names:
        codes[name] = pd.Categorical.from_codes(codes[name], dtype=holes[name].dtype)
    return codes
