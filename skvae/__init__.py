"""Variational autoencoders for scikit-learn."""

from skvae.autoencoder import AutoencoderTransformer
from skvae.persistence import load, save
from skvae.vae import VAETransformer

__version__ = "0.1.0"

__all__ = ["AutoencoderTransformer", "VAETransformer", "__version__", "load", "save"]
