"""Functions that the tests of groups run on each rank."""

from skvae import VAETransformer
from skvae.estimators.agreement import fingerprint


def shard(X, rank, share=0.5):
    """Return the rows of rank 0 or 1, of which the first has this share."""
    cut = round(share * X.shape[0])
    return X[:cut] if rank == 0 else X[cut:]


def fit(rank, X, share=0.5, build=VAETransformer, **parameters):
    """Return the model that two ranks fit together."""
    return build(**parameters).fit(shard(X, rank, share), group="world")


def fitted(rank, *arguments, **parameters):
    model = fit(rank, *arguments, **parameters)
    return fingerprint(vars(model)), model.history_
