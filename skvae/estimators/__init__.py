"""The scikit-learn estimators."""

from skvae.estimators.autoencoder import AutoencoderTransformer
from skvae.estimators.imputer import VAEImputer
from skvae.estimators.outlier_detector import VAEOutlierDetector
from skvae.estimators.vae import VAETransformer
from skvae.likelihoods import LIKELIHOODS, CodedCategorical, Mixed
from skvae.networks import NETWORKS, ModuleNetwork
from skvae.posteriors import POSTERIORS

_CLASSES = (
    VAETransformer,
    AutoencoderTransformer,
    VAEImputer,
    VAEOutlierDetector,
    ModuleNetwork,
    *NETWORKS.values(),
    *LIKELIHOODS.values(),
    CodedCategorical,
    Mixed,
    *POSTERIORS.values(),
)

# What a `device` parameter or a scikit-learn search may contain that skops does not trust by
# default; by name, because importing them takes time.
_OTHERS = (
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "skvae.metrics.log_likelihood_scorer",
    "skvae.metrics.reconstruction_scorer",
    "torch.device",
)

#: Names of the types that a stored estimator, or a search over it, contains: for
#: ``skops.io.load(path, trusted=skvae.TRUSTED_TYPES)``.
TRUSTED_TYPES = sorted(
    [*(f"{cls.__module__}.{cls.__qualname__}" for cls in _CLASSES), *_OTHERS]
)

__all__ = [
    "TRUSTED_TYPES",
    "AutoencoderTransformer",
    "VAEImputer",
    "VAEOutlierDetector",
    "VAETransformer",
]
