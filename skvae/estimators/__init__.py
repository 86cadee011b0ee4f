"""The estimators: scikit-learn's side of the package."""

from skvae.estimators.autoencoder import AutoencoderTransformer
from skvae.estimators.vae import VAETransformer
from skvae.likelihoods import LIKELIHOODS
from skvae.networks import NETWORKS, ModuleNetwork
from skvae.posteriors import POSTERIORS

_CLASSES = (
    VAETransformer,
    AutoencoderTransformer,
    ModuleNetwork,
    *NETWORKS.values(),
    *LIKELIHOODS.values(),
    *POSTERIORS.values(),
)

# What scikit-learn's searches hold of scikit-learn, and skops does not trust by itself.
_OF_SEARCHES = (
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
)

#: Names of the types that a stored estimator, or a search over it, holds: for
#: ``skops.io.load(path, trusted=skvae.TRUSTED_TYPES)``.
TRUSTED_TYPES = sorted(
    [*(f"{cls.__module__}.{cls.__qualname__}" for cls in _CLASSES), *_OF_SEARCHES]
)

__all__ = ["TRUSTED_TYPES", "AutoencoderTransformer", "VAETransformer"]
