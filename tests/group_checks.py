"""Functions that the tests of groups run on each rank, and the models of their cases."""

import os
import signal
import warnings
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV

from skvae import VAETransformer
from skvae.callbacks import Checkpoint
from skvae.estimators.agreement import fingerprint
from skvae.likelihoods import Categorical, CodedCategorical, Gaussian, Mixed
from skvae.likelihoods import expectation_maximization as em
from skvae.networks import MLP

IRIS = load_iris().data
# Ranks 0 and 1 have different means.
DIGITS = load_digits().data
QUICK = {"max_iter": 3, "early_stopping": False, "random_state": 0}


def gaps(X, share=0.2):
    """Return rows with a share of the values missing."""
    missing = np.random.RandomState(0).rand(*X.shape) < share
    return np.where(missing, np.nan, X)


def frame(n=300):
    """Return a frame with numbers, a flag and categories; ranks have different ones."""
    rng = np.random.RandomState(0)
    size = np.sort(rng.standard_normal(n))
    missing = rng.rand(n) < 0.1
    kinds = np.array(["c", "a", "b", "d"])[np.digitize(size, [-1.0, 0.0, 0.5])]
    return pd.DataFrame(
        {
            "size": np.where(missing, np.nan, size),
            "weight": np.exp(size + 0.3 * rng.standard_normal(n)),
            "large": size + rng.standard_normal(n) > 0,
            "kind": pd.Categorical(kinds, categories=list("abcde")),
        }
    )


def indicators(n=200):
    codes = np.random.RandomState(0).randint(3, size=n)
    return np.eye(3)[codes]


CODES = np.digitize(IRIS, [1.0, 3.0, 5.0]).astype(float)
MIXED = Mixed(
    [("numbers", Gaussian(), [0, 1]), ("counts", "poisson", [2]), ("flags", "bernoulli", [3])]
)
MIXED_ROWS = np.c_[DIGITS[:, 20:22], DIGITS[:, 30], DIGITS[:, 40] > 8].astype(float)

#: Likelihoods that look at the rows for their start: name -> parameters and rows.
STARTS = {
    "per_feature": ({}, IRIS),
    "isotropic": ({}, DIGITS),
    "sparse": ({}, sparse.csr_matrix(DIGITS)),
    "heteroscedastic": ({"likelihood": Gaussian("heteroscedastic")}, IRIS),
    "fixed noise": ({"likelihood": Gaussian(0.3)}, IRIS),
    "sigmoid": ({"likelihood": Gaussian(mean="sigmoid")}, IRIS / 10),
    "normal scores": ({"likelihood": Gaussian(marginals="normal")}, IRIS),
    "bernoulli": ({"likelihood": "bernoulli"}, DIGITS / 16),
    "continuous_bernoulli": ({"likelihood": "continuous_bernoulli"}, DIGITS / 16),
    "poisson": ({"likelihood": "poisson"}, DIGITS),
    "negative_binomial": ({"likelihood": "negative_binomial"}, DIGITS),
    "indicators": ({"likelihood": Categorical()}, indicators()),
    "codes": ({"likelihood": CodedCategorical(4)}, CODES),
    "mixed": ({"likelihood": MIXED}, MIXED_ROWS),
    "frame": ({}, frame()),
    "gaps": ({}, gaps(IRIS)),
    "gaps in many rows": ({}, gaps(np.tile(IRIS, (20, 1)))),
    "gaps in flags": ({"likelihood": "bernoulli"}, gaps(DIGITS[:, 20:30] / 16)),
    "gaps in mixed": ({"likelihood": MIXED}, gaps(MIXED_ROWS)),
    "wide": (
        {},
        np.random.RandomState(0).rand(120, 40) @ np.random.RandomState(1).rand(40, 2100),
    ),
}


def shard(X, rank, share=0.5):
    """Return the rows of rank 0 or 1, of which the first has this share."""
    cut = round(share * X.shape[0])
    return X[:cut] if rank == 0 else X[cut:]


def fit(rank, X, share=0.5, build=VAETransformer, **parameters):
    """Return the model that two ranks fit together."""
    return build(**parameters).fit(shard(X, rank, share), group="world")


def same(rank, *arguments):
    """Return the fingerprint of a fitted model, and its losses."""
    model = fit_quick(rank, *arguments)
    return fingerprint(vars(model)), model.history_["loss"]


def fit_quick(rank, X, share=0.5, parameters=None, build=VAETransformer):
    return fit(rank, X, share, build, **QUICK | (parameters or {}))


def start(parameters, X, fit):
    """Return the arrays of a model at its start."""
    em._SAMPLE_ELEMENTS = 0
    model = VAETransformer(**{"max_iter": 0, "random_state": 0} | parameters)
    fit(model, X)
    units = model._units.to_arrays()
    return {**model.__getstate__()["_fitted"]["arrays"], **units}


def starts(rank):
    """Return the starts of all cases."""
    return {
        name: start(
            parameters, X, lambda model, X: model.fit(shard(X, rank, 0.31), group="world")
        )
        for name, (parameters, X) in STARTS.items()
    }


def validated_on_0(rank, case):
    """Return best validation score and ELBO of a fit whose validation rows rank 0 has."""
    parameters, X = STARTS[case]
    X_val = X[::5] if rank == 0 else X[:0]
    model = VAETransformer(**QUICK | parameters | {"early_stopping": True})
    model.fit(shard(X, rank), X_val=X_val, group="world")
    return model.best_validation_score_, model.elbo(X[::5]).value.mean()


# -- failures ------------------------------------------------------------------------------


class Failing(MLP):
    """A network whose decoder does something on one rank after a number of steps."""

    def __init__(self, action="raise", steps=5, rank=1):
        super().__init__((8,))
        self.action, self.steps, self.rank = action, steps, rank

    def build_decoder(self, *arguments):
        body = super().build_decoder(*arguments)
        count = [0]

        def act(*_):
            count[0] += body.training
            if count[0] == self.steps and torch.distributed.get_rank() == self.rank:
                count[0] += 1
                ACTIONS[self.action]()

        body.register_forward_hook(act)
        return body


def fail():
    raise ArithmeticError("the rows of this rank are odd")


def send(number, times=1):
    for _ in range(times):
        os.kill(os.getpid(), number)


ACTIONS = {
    "raise": fail,
    "interrupt": partial(send, signal.SIGINT),
    "interrupt twice": partial(send, signal.SIGINT, 2),
    "kill": partial(send, signal.SIGKILL),
    "stop": partial(send, signal.SIGSTOP),
}


def earlier_fit_stays(rank, parameters, X=None, rows=shard):
    """Return the error of a second fit; the first one must stay as it was."""
    model = fit_quick(rank, IRIS)
    before = fingerprint(vars(model))
    model.set_params(**parameters)
    try:
        model.fit(rows(IRIS if X is None else X, rank), group="world")
    except BaseException as error:
        assert fingerprint(vars(model)) == before
        return f"{type(error).__name__}: {error}"
    raise AssertionError("no error")


def without_validation_rows(rank):
    with pytest.raises(ValueError, match="X_val must have at least one row on one") as caught:
        fit(rank, IRIS).fit(shard(IRIS, rank), X_val=IRIS[:0], group="world")
    return str(caught.value)


# -- what one rank has that the other has not --------------------------------------------


def infinite_on_1(X, rank):
    return np.where(X.max() == X, np.inf, X) if rank == 1 else X


def outside_on_1(X, rank):
    return np.rint(X) + 0.5 * rank


def other_columns_on_1(X, rank):
    return X[:, : X.shape[1] - rank]


def other_names_on_1(X, rank):
    return pd.DataFrame(X, columns=["a", "b", "c", "d" if rank == 0 else "e"])


def one_row_on_1(X, rank):
    return X[: 1 if rank == 1 else None]


def other_parameter_on_1(rank, name, value):
    parameters = {name: value} if rank == 1 else {}
    return earlier_fit_stays(rank, parameters)


def continues_on_1(rank):
    model = VAETransformer(**QUICK | {"warm_start": True})
    if rank == 1:
        model.fit(IRIS)
    with pytest.raises(ValueError, match="continues a fitted model") as caught:
        model.fit(IRIS, group="world")
    return str(caught.value)


def in_search(rank):
    search = GridSearchCV(VAETransformer(**QUICK), {"latent_dim": [1, 2]}, error_score="raise")
    with pytest.raises(ValueError, match="A search cannot fit"):
        search.fit(IRIS, group="world")


# -- callbacks, and trainings that go on -------------------------------------------------------


class Stops:
    """A callback that stops the training after some epochs, and notes its calls."""

    def __init__(self, epochs):
        self.epochs, self.n_calls = epochs, 0

    def setup(self, estimator, context):
        self.n_calls += 1

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.n_calls += 1
        return context.task_name == "epoch" and context.task_id + 1 >= self.epochs

    def teardown(self, estimator, context):
        pass


def with_callback(rank):
    callback = Stops(2)
    model = VAETransformer(**QUICK | {"max_iter": 20}).set_callbacks(callback)
    model.fit(shard(IRIS, rank), group="world")
    return fingerprint(vars(model)), model.n_iter_, callback.n_calls, model._skl_callbacks


def checkpoint(rank, path):
    """Write a file on rank 0 and go on from it on both; return what has been written."""
    own = f"{path}/rank{rank}.joblib"
    model = VAETransformer(**QUICK).set_callbacks(Checkpoint(own))
    model.fit(shard(IRIS, rank), group="world")
    torch.distributed.barrier()
    again = joblib.load(f"{path}/rank0.joblib").set_params(warm_start=True)
    again.fit(shard(IRIS, rank), group="world")
    return os.path.exists(own), again.n_iter_, fingerprint(vars(again))


def partial_fits(rank):
    model = VAETransformer(**QUICK)
    for _ in range(2):
        model.partial_fit(shard(IRIS, rank, 0.4), group="world")
    return fingerprint(vars(model)), model.history_["loss"]


def in_subgroup(rank):
    """Fit in a ProcessGroup object, without a seed, and with lines of one rank."""
    group = torch.distributed.new_group([0, 1])
    model = VAETransformer(**QUICK | {"random_state": None, "verbose": rank == 0})
    model.fit(shard(IRIS, rank), group=group)
    return fingerprint(vars(model))


def interrupted(rank, network, early_stopping=True):
    """Return what is left of a fit that Ctrl-C ends on one rank, and what it warns of."""
    parameters = {"network": network, "max_iter": 50, "early_stopping": early_stopping}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit_quick(rank, IRIS, 0.5, parameters)
    texts = [str(each.message) for each in caught]
    return fingerprint(vars(model)), model.n_iter_, texts


def interrupted_twice(rank):
    """Return the errors of a fit that a second Ctrl-C ends, and those of one after it."""
    return earlier_fit_stays(rank, {"network": Failing("interrupt twice")})
