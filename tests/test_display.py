"""What all displays share: scikit-learn's shape, one figure, Pipelines, clear refusals."""

import subprocess
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skvae import display

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]

# How each display is asked to draw rows of images, and rows of a table.
IMAGES = {
    "LatentSpaceDisplay": lambda cls, model, X, **kw: cls.from_estimator(model, X, **kw),
    "LatentGridDisplay": lambda cls, model, X, **kw: cls.from_estimator(
        model, X, n_grid=4, image_shape=(8, 8), **kw
    ),
    "ReconstructionDisplay": lambda cls, model, X, **kw: cls.from_estimator(
        model, X, image_shape=(8, 8), **kw
    ),
    "SampleDisplay": lambda cls, model, X, **kw: cls.from_estimator(
        model, X, image_shape=(8, 8), **kw
    ),
    "InterpolationDisplay": lambda cls, model, X, **kw: cls.from_estimator(
        model, X[:2], image_shape=(8, 8), **kw
    ),
    "TrainingDisplay": lambda cls, model, X, **kw: cls.from_estimator(model, **kw),
}
TABLES = {
    "ReconstructionDisplay": lambda cls, model, X, **kw: cls.from_estimator(model, X, **kw),
    "SampleDisplay": lambda cls, model, X, **kw: cls.from_estimator(
        model, X, n_samples=20, **kw
    ),
    "InterpolationDisplay": lambda cls, model, X, **kw: cls.from_estimator(model, X[:2], **kw),
}
# The film is a callback, and has tests of its own.
DISPLAYS = [name for name in display.__all__ if name.endswith("Display")]
each_display = pytest.mark.parametrize("name", DISPLAYS)
each_table = pytest.mark.parametrize("name", TABLES)


@pytest.fixture(scope="module")
def wine_like(iris, quick):
    return quick().fit(iris)


@each_display
def test_shape_of_a_display(name, model, rows):
    cls = getattr(display, name)

    class Mine(cls):
        pass

    drawn = IMAGES[name](Mine, model, rows)
    assert type(drawn) is Mine
    assert len(plt.get_fignums()) == 1
    assert drawn.figure_ is drawn.ax_.figure
    # Drawn again it is the same object, in a figure of its own.
    first = drawn.figure_
    assert drawn.plot() is drawn
    assert drawn.figure_ is not first
    drawn.figure_.canvas.draw()


@each_display
def test_constructor_only_stores_and_the_arrays_make_the_same_picture(name, model, rows):
    drawn = IMAGES[name](getattr(display, name), model, rows)
    stored = {key: value for key, value in vars(drawn).items() if not key.endswith("_")}
    again = type(drawn)(**stored)
    assert {key: id(value) for key, value in vars(again).items()} == {
        key: id(value) for key, value in stored.items()
    }
    figures = [shown.plot().figure_ for shown in (drawn, again)]
    pixels = [figure.canvas.draw() or figure.canvas.buffer_rgba() for figure in figures]
    np.testing.assert_array_equal(*map(np.asarray, pixels))


@each_display
@pytest.mark.parametrize("layout", [None, "constrained"])
def test_axes_given_are_drawn_in_and_no_figure_is_opened(name, layout, model, rows):
    figure, axes = plt.subplots(1, 2, layout=layout)
    drawn = IMAGES[name](getattr(display, name), model, rows, ax=axes[1])
    assert drawn.ax_ is axes[1]
    assert drawn.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()
    # Axes whose place small multiples take are hidden.
    assert axes[1].axison == axes[1].has_data()
    # What was drawn stays in its half.
    drawn_axes = [ax for ax in figure.axes if ax is not axes[0]]
    assert all(ax.get_position().x0 > 0.4 for ax in drawn_axes)
    assert not axes[0].has_data()


@each_table
def test_small_multiples_stay_inside_axes_set_by_hand(name, wine_like, iris):
    figure = plt.figure()
    ax = figure.add_axes((0.5, 0.1, 0.4, 0.8))
    drawn = TABLES[name](getattr(display, name), wine_like, iris, ax=ax)
    assert len(drawn.axes_) == 4
    corners = np.array([panel.get_position().get_points() for panel in drawn.axes_])
    assert (corners >= (0.499, 0.099)).all()
    assert (corners <= (0.901, 0.901)).all()


@each_table
def test_panels_bear_the_names_of_the_features(name, wine_like, quick):
    X = load_iris(as_frame=True).data
    named = quick().fit(X)
    drawn = TABLES[name](getattr(display, name), named, X)
    assert [panel.get_title() for panel in drawn.axes_] == list(X.columns)
    chosen = drawn.plot(features=["petal width (cm)", 0])
    titles = ["petal width (cm)", "sepal length (cm)"]
    assert [panel.get_title() for panel in chosen.axes_] == titles
    unnamed = TABLES[name](getattr(display, name), wine_like, X.to_numpy())
    assert [panel.get_title() for panel in unnamed.axes_] == ["x0", "x1", "x2", "x3"]


@each_table
def test_many_features_are_drawn_in_part(name, model, rows):
    drawn = TABLES[name](getattr(display, name), model, rows)
    assert len(drawn.axes_) == 16
    labelled = [bool(panel.get_xlabel()) for panel in drawn.axes_]
    assert labelled == [False] * 12 + [True] * 4
    drawn.plot(features=range(6))
    assert [bool(panel.get_xlabel()) for panel in drawn.axes_] == [False] * 3 + [True] * 3
    assert [bool(panel.get_ylabel()) for panel in drawn.axes_] == [True, False, False] * 2
    with pytest.raises(ValueError, match=r"features=\[64\] must list.*0 to 63.*x0"):
        drawn.plot(features=[64])


@each_display
def test_nothing_is_opened_where_matplotlib_is_missing(name, model, rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=rf"{name}\.from_estimator requires matplotlib"):
        IMAGES[name](getattr(display, name), model, rows)


def test_importing_does_not_import_what_is_heavy_and_seldom_needed():
    code = (
        "import sys, skvae; assert 'sklearn.model_selection' not in sys.modules;"
        "import skvae.display; assert 'matplotlib' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- Pipelines and searches --------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(digits, quick):
    """A model of rows that other steps have changed, named columns first."""
    X = pd.DataFrame(digits[:300]).rename(columns="pixel {}".format)
    steps = MinMaxScaler().set_output(transform="pandas"), StandardScaler(with_std=False)
    return make_pipeline(*steps, quick(latent_dim=3, image_shape=(8, 8))).fit(X), X


def test_pictures_of_a_pipeline_are_in_the_units_before_it(pipeline):
    model, X = pipeline
    codes = model.transform(X)
    space = display.LatentSpaceDisplay.from_estimator(model, X, ellipses=5)
    np.testing.assert_array_equal(space.codes, codes)
    changed = model[:-1].transform(X.iloc[space.ellipse_rows])
    expected = model[-1].latent_posterior(changed)[1]
    np.testing.assert_array_equal(space.ellipse_scale, expected)

    shown = display.ReconstructionDisplay.from_estimator(model, X)
    assert shown.image_shape == (8, 8)
    np.testing.assert_array_equal(shown.X, X[:10])
    np.testing.assert_allclose(
        shown.reconstruction, model.inverse_transform(codes[:10]), rtol=1e-12
    )

    samples = display.SampleDisplay.from_estimator(model, mean=True, random_state=3)
    drawn = model[-1].sample(25, mean=True, random_state=3)
    np.testing.assert_allclose(samples.samples, model[:-1].inverse_transform(drawn), rtol=1e-12)
    assert samples.samples.max() > 8, "pixels go to 16, scaled ones to 1"

    training = display.TrainingDisplay.from_estimator(model)
    np.testing.assert_array_equal(training.history["loss"], model[-1].history_["loss"])


def test_the_image_shape_of_a_model_on_fewer_features_is_not_that_of_the_rows(digits, quick):
    model = make_pipeline(PCA(16), quick(image_shape=(4, 4))).fit(digits[:200])
    assert display.ReconstructionDisplay.from_estimator(model, digits).image_shape is None
    shown = display.ReconstructionDisplay.from_estimator(model, digits, image_shape=(8, 8))
    assert shown.image_.get_array().shape == (17, 89)


@pytest.fixture(scope="module")
def search(digits, quick):
    inner = make_pipeline(StandardScaler(with_std=False), quick(max_iter=2))
    nested = make_pipeline("passthrough", MinMaxScaler(), inner)
    search = GridSearchCV(nested, {"pipeline__vaetransformer__beta": [1.0]}, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return search.fit(digits[:200])


@each_display
def test_a_search_and_a_nested_pipeline_are_seen_through(name, search, digits):
    best = search.best_estimator_
    changed = best[:-1].transform(digits[:50])
    models = {search: digits[:50], best: digits[:50], best[-1]: changed}
    shown = [IMAGES[name](getattr(display, name), *pair) for pair in models.items()]
    if name == "SampleDisplay":
        assert all(drawn.samples.shape == (25, 64) for drawn in shown)
        assert shown[1].samples.max() > 8 > shown[2].samples.max()
    if name == "LatentSpaceDisplay":
        np.testing.assert_array_equal(shown[0].codes, shown[1].codes)
        np.testing.assert_allclose(shown[0].codes, shown[2].codes)
    if name == "ReconstructionDisplay":
        back = best[:-1].inverse_transform(shown[2].reconstruction)
        np.testing.assert_allclose(shown[0].reconstruction, back)


def test_other_densities_are_drawn_from(digits):
    model = make_pipeline(PCA(8, random_state=0), KernelDensity()).fit(digits)
    drawn = display.SampleDisplay.from_estimator(
        model, n_samples=4, random_state=0, image_shape=(8, 8)
    )
    expected = model[:-1].inverse_transform(model[-1].sample(4, random_state=0))
    np.testing.assert_allclose(drawn.samples, expected)


# -- refusals ----------------------------------------------------------------------------

LACKING = dict.fromkeys(DISPLAYS, (LinearRegression(), "method transform")) | {
    "SampleDisplay": (PCA(2), "method sample"),
    "TrainingDisplay": (PCA(2), "attribute history_"),
}


@each_display
@pytest.mark.parametrize("wrap", [False, True])
def test_an_estimator_without_the_method_is_told_so(name, wrap, rows):
    model, lacking = LACKING[name]
    who = type(model).__name__
    model = make_pipeline(StandardScaler(), model) if wrap else model
    model.fit(rows, rows[:, 0])
    with pytest.raises(AttributeError, match=rf"{who}( in the Pipeline)? has no {lacking}"):
        IMAGES[name](getattr(display, name), model, rows)
    assert not plt.get_fignums()


def test_the_step_that_cannot_go_back_is_named(rows, quick):
    model = make_pipeline(RBFSampler(n_components=64, random_state=0), quick()).fit(rows)
    message = "RBFSampler in the Pipeline has no method inverse_transform"
    with pytest.raises(AttributeError, match=message):
        display.ReconstructionDisplay.from_estimator(model, rows)


@each_display
def test_an_estimator_that_is_not_fitted_is_refused(name, rows, quick):
    for model in (quick(), make_pipeline(StandardScaler(), quick())):
        with pytest.raises(ValueError, match="not fitted"):
            IMAGES[name](getattr(display, name), model, rows)


@pytest.mark.parametrize(
    "name", [name for name in DISPLAYS if "Grid" in name or name in TABLES]
)
@pytest.mark.parametrize(
    ("image_shape", "message"),
    [
        ((8, 9), r"image_shape=\(8, 9\) must be .* the 64 features"),
        (64, r"image_shape=64 must be"),
        ((4, 8, 2), r"image_shape=\(4, 8, 2\) has 2 channels.*grey"),
        ((-8, -8), r"image_shape=\(-8, -8\) must be"),
    ],
)
def test_an_image_shape_that_does_not_fit_is_refused(name, image_shape, message, model, rows):
    with pytest.raises(ValueError, match=message):
        getattr(display, name).from_estimator(model, rows[:2], image_shape=image_shape)
    assert not plt.get_fignums()


@each_display
def test_several_axes_are_refused(name, model, rows):
    _, axes = plt.subplots(2, 2)
    with pytest.raises(TypeError, match="ax must be one matplotlib Axes, got ndarray"):
        IMAGES[name](getattr(display, name), model, rows, ax=axes)
    with pytest.raises(TypeError, match="got str"):
        IMAGES[name](getattr(display, name), model, rows, ax="left")
