"""Variational autoencoders for scikit-learn."""

from skvae.vae import VAETransformer

__version__ = "0.1.0"

__all__ = ["VAETransformer", "__version__"]
