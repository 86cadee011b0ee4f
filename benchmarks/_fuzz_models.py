"""Estimators with parameters of every kind, drawn by a generator of NumPy's."""

import numpy as np
import torch

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import LIKELIHOODS, Categorical, Gaussian
from skvae.networks import MLP, ConvNet
from skvae.posteriors import Full

# Small networks: what is tried is not how well they learn.
NETWORKS = [
    MLP(()),
    MLP((4,)),
    MLP(4, "tanh"),
    MLP([np.int64(3), 3], "gelu", batch_norm=True),
    MLP((4,), "leaky_relu", linear_map=False),
    MLP((4,), dropout=0.5),
    ConvNet(np.array([2]), hidden_layer_sizes=()),
    ConvNet((2,), kernel_size=np.int64(1), stride=1, hidden_layer_sizes=[np.int64(2)]),
    ConvNet((2, 3), kernel_size=2, hidden_layer_sizes=(3,), batch_norm=True),
]
LIKELIHOOD_OBJECTS = [
    *LIKELIHOODS,
    Gaussian("isotropic"),
    Gaussian("heteroscedastic"),
    Gaussian(0.5),
    Gaussian(np.float32(1e-3)),
    Gaussian(mean="sigmoid"),
    Gaussian("heteroscedastic", mean="sigmoid"),
    Categorical((1, 2)),
]
ANY = ["gaussian", *(lk for lk in LIKELIHOOD_OBJECTS if type(lk) is Gaussian)]
ANY = [lk for lk in ANY if getattr(lk, "mean", None) != "sigmoid"]
IN_UNIT = [*ANY, "bernoulli", "continuous_bernoulli", Gaussian(mean="sigmoid")]
IN_UNIT += [Gaussian("heteroscedastic", mean="sigmoid")]
COUNTS = ["poisson", "negative_binomial"]
# Values -> likelihoods with these in their support; for others ANY.
SUITED = {
    "unit": IN_UNIT,
    "slightly above one": IN_UNIT,
    "binary": IN_UNIT + COUNTS,
    "one-hot": [*IN_UNIT, *COUNTS, "categorical", "categorical"],
    "counts": COUNTS,
    "zeros": IN_UNIT + COUNTS,
}
SHARED = {
    "latent_dim": [1, 2, 3, 7, np.int64(2)],
    "init": ["factor_analysis", "random"],
    "batch_size": ["auto", 1, 2, 7, 1000],
    "max_iter": [0, 1, 2, np.int64(3)],
    "learning_rate_init": ["auto", 5e-3, 1e-8, 10.0, np.float32(0.1)],
    "weight_decay": [0, 0.01, 5.0],
    "early_stopping": ["auto", "cv", True, False, np.True_],
    "validation_fraction": [0.1, 0.5, 0.9],
    "n_iter_no_change": [1, 25],
    "tol": [0, 1e-4, 100.0],
    "device": ["auto", "cpu", torch.device("cpu")],
    "random_state": [0, None, np.int64(3)],
}
OWN = {
    VAETransformer: {
        "posterior": ["diagonal", "full", Full()],
        "objective": ["elbo", "monte_carlo", "iwae"],
        "n_samples": [1, 2, 5],
        "beta": [0, 1, 4.0],
        "kl_warmup": [0, 1, 9],
    },
    AutoencoderTransformer: {
        "noise": [0.0, 0.3, 1.0, 1e6],
        "corruption": ["gaussian", "masking"],
    },
}
BAD = {
    "latent_dim": [0, 2.5, "2", None],
    "network": ["dense", None, MLP, MLP((0,)), MLP(dropout=1.0), ConvNet(()), MLP("ab")],
    "likelihood": ["gauss", 3, Gaussian, Gaussian(-1), Gaussian("x"), Categorical("ab")],
    "image_shape": [(4,), "ab", (0, 3), (2.5, 2), 4, np.zeros((2, 2))],
    "batch_size": [0, -1, "large", 1.5, np.nan],
    "max_iter": [-1, "many", None, np.inf],
    "learning_rate_init": [0, -1, np.nan, np.inf, "fast", None],
    "weight_decay": [-1, None, np.nan, np.inf],
    "early_stopping": ["always", None, 0.5],
    "validation_fraction": [0, 1, np.nan, None],
    "n_iter_no_change": [0, None],
    "tol": [-1, None, np.nan, np.inf],
    "warm_start": ["yes", 2],
    "device": ["tpu", "cuda:99", None, 7, "cuda:-1"],
    "random_state": [-1, "seed", 2**40, 0.5],
    "verbose": ["loud", -1],
    "posterior": ["diag", None, Full],
    "objective": ["elbo2", None],
    "n_samples": [0, 1.5],
    "beta": [-1, np.nan, np.inf, None],
    "kl_warmup": [-1, None],
    "init": ["pca", None],
    "noise": [-1, np.nan, np.inf, "some"],
    "corruption": ["salt", None],
}


# The shape of an image of so many pixels, as a user may write it.
SHAPES = {1: (1, 1), 2: np.array([2, 1]), 3: (1, 1, 3), 4: (2, 2), 6: [3, np.int64(2)]}


def draw_estimator(rng, n_features, suited):
    """Return an estimator, and the name of a parameter that is bad on purpose or None.

    Mostly one that suits the data: `suited` are likelihoods with these in their support.
    """
    kind = VAETransformer if rng.random() < 0.7 else AutoencoderTransformer
    space = {"network": NETWORKS, **SHARED, **OWN[kind]}
    parameters = {"max_iter": 2, "network": NETWORKS[1]}
    # Half of them at their defaults, so that each is also seen in company that works.
    for name, values in space.items():
        if rng.random() < 0.5:
            parameters[name] = values[rng.integers(len(values))]
    if rng.random() < 0.8:
        parameters["image_shape"] = SHAPES[n_features]
    likelihoods = suited if rng.random() < 0.8 else LIKELIHOOD_OBJECTS
    parameters["likelihood"] = likelihoods[rng.integers(len(likelihoods))]
    bad = None
    if rng.random() < 0.1:
        bad = str(rng.choice([name for name in BAD if name in kind().get_params(deep=False)]))
        parameters[bad] = BAD[bad][rng.integers(len(BAD[bad]))]
    return kind(**parameters), bad
