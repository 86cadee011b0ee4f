"""Pictures of fitted models and of their training."""

from skvae.display._film import LatentGridFilm

__all__ = ["LatentGridFilm"]
