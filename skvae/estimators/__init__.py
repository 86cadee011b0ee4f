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

#: The package's own types that a stored estimator holds, for ``skops.io.load``.
TRUSTED_TYPES = sorted(f"{cls.__module__}.{cls.__qualname__}" for cls in _CLASSES)

__all__ = ["TRUSTED_TYPES", "AutoencoderTransformer", "VAETransformer"]
