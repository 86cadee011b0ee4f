"""Columns of every kind that has its own map to normal scores."""

import numpy as np

N = 2000
_rng = np.random.RandomState(0)
_normal, _uniform = _rng.standard_normal(N), _rng.random_sample(N)
_skewed = np.exp(1.5 * _rng.standard_normal(N))

COLUMNS = {
    "normal": 3 + 0.1 * _normal,
    "uniform": _uniform,
    "skewed": _skewed,
    "heavy_tails": _rng.standard_cauchy(N),
    "whole": np.rint(1e4 * _skewed),
    "few_values": _normal[:12],
    "zero_or_positive": np.where(_uniform < 0.6, 0.0, _skewed),
    "tied_inside": np.where(_uniform < 0.3, 0.5, _normal),
    "capped": np.clip(_normal, -0.5, 1.0),
    "counts": _rng.poisson(4.0, N).astype(float),
    "mostly_zero": np.where(_uniform < 0.9, 0.0, 100.0 * _rng.poisson(20, N)),
    "rounded": np.round(_normal, 1),
    "flag": (_uniform < 0.02).astype(float),
    "constant": np.full(N, 7.0),
}
# Whose values are all tied.
DISCRETE = ["counts", "mostly_zero", "rounded", "flag", "constant"]
TABLE = np.column_stack([x for name, x in COLUMNS.items() if name != "few_values"])
