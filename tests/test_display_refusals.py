"""What displays cannot draw on, or of, is refused in their own words."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from test_display import IMAGES

from skvae import display

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _close():
    mpl.use("Agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def images(quick, digits):
    return quick(max_iter=2, image_shape=(8, 8)).fit(digits[:100])


@pytest.mark.parametrize("name", IMAGES)
def test_several_axes_are_refused(name, images, digits):
    _, axes = plt.subplots(2, 2)
    with pytest.raises(TypeError, match="ax must be one matplotlib Axes, got ndarray"):
        IMAGES[name](getattr(display, name), images, digits[:20], ax=axes)
    with pytest.raises(TypeError, match="got str"):
        IMAGES[name](getattr(display, name), images, digits[:20], ax="left")


def test_the_training_is_not_drawn_on_several_axes(images):
    with pytest.raises(TypeError, match="ax must be one matplotlib Axes, got ndarray"):
        display.TrainingDisplay.from_estimator(images).plot(ax=plt.subplots(1, 3)[1])


@pytest.mark.parametrize("dimensions", [1, (0,), (0, 5), "ab"])
def test_dimensions_of_codes_are_checked_when_they_are_drawn(dimensions):
    drawn = display.LatentSpaceDisplay(codes=np.zeros((3, 2)), dimensions=dimensions)
    with pytest.raises(ValueError, match="must be two different integers from 0 to 1"):
        drawn.plot()


@pytest.mark.parametrize("dimensions", [1, (0,)])
def test_a_grid_has_a_dimension_for_each_axis(dimensions):
    line = np.linspace(-1, 1, 3)
    drawn = display.LatentGridDisplay(
        grid=(line, line),
        images=np.zeros((3, 3, 4)),
        image_shape=(2, 2),
        dimensions=dimensions,
    )
    with pytest.raises(ValueError, match="one latent dimension for each of the 2 axes"):
        drawn.plot()


@pytest.mark.parametrize("gap", [-1, 1.5])
def test_a_gap_is_a_number_of_pixels(gap, images):
    with pytest.raises(ValueError, match=f"gap={gap} must be a number of pixels"):
        display.LatentGridDisplay.from_estimator(images, n_grid=2, gap=gap)


@pytest.mark.parametrize("features", [1, "x1", []])
def test_features_are_a_list(features, quick, iris):
    model = quick(max_iter=0).fit(iris)
    with pytest.raises(ValueError, match="must list names of features or indices from 0 to 3"):
        display.ReconstructionDisplay.from_estimator(model, iris[:5], features=features)
