"""Variational autoencoders for scikit-learn."""

from skvae.estimators.autoencoder import AutoencoderTransformer
from skvae.estimators.persistence import load, save
from skvae.estimators.vae import VAETransformer

__version__ = "0.1.0"

__all__ = ["AutoencoderTransformer", "VAETransformer", "__version__", "load", "save"]
