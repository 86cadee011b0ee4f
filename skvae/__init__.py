"""Variational autoencoders for scikit-learn."""

from skvae.estimators import (
    TRUSTED_TYPES,
    AutoencoderTransformer,
    VAEImputer,
    VAEOutlierDetector,
    VAETransformer,
)

__version__ = "0.2.0"

__all__ = [
    "TRUSTED_TYPES",
    "AutoencoderTransformer",
    "VAEImputer",
    "VAEOutlierDetector",
    "VAETransformer",
    "__version__",
]
