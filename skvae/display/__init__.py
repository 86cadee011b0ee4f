"""Pictures of latent spaces, reconstructions, samples and training.

Each is a display as in scikit-learn: ``from_estimator`` computes and draws, the arrays drawn
are attributes, ``plot`` draws them again. They use only public methods of the estimator, so
they also draw PCA, and a fitted Pipeline or search whose last step is the model; the pictures
are then in the units of its input. matplotlib is imported when something is drawn.
"""

from skvae.display.film import LatentGridFilm
from skvae.display.interpolation import InterpolationDisplay
from skvae.display.latent_grid import LatentGridDisplay
from skvae.display.latent_space import LatentSpaceDisplay
from skvae.display.reconstruction import ReconstructionDisplay
from skvae.display.sample import SampleDisplay
from skvae.display.training import TrainingDisplay

__all__ = [
    "InterpolationDisplay",
    "LatentGridDisplay",
    "LatentGridFilm",
    "LatentSpaceDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "TrainingDisplay",
]
