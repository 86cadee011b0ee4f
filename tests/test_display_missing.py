"""Displays of rows with missing values: hatched, left out or filled in, never as a value."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skvae.display import (
    InterpolationDisplay,
    LatentGridDisplay,
    LatentSpaceDisplay,
    ReconstructionDisplay,
    SampleDisplay,
)
from skvae.display.images import mosaic

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]

draw_rows = ReconstructionDisplay.from_estimator


@pytest.fixture(scope="module")
def damaged(rows):
    """Half of each image, elsewhere in each; one image is missing and one is whole."""
    X = rows[:6].copy()
    X[np.random.RandomState(0).rand(*X.shape) < 0.5] = np.nan
    X[1], X[2] = np.nan, rows[2]
    return X


@pytest.fixture(scope="module")
def images(quick, digits):
    return quick(latent_dim=3, image_shape=(8, 8)).fit(digits[:300])


@pytest.fixture(scope="module")
def incomplete(iris):
    X = iris.copy()
    X[np.random.RandomState(0).rand(*X.shape) < 0.3] = np.nan
    return X


@pytest.fixture(scope="module")
def flower(quick, incomplete):
    return quick(max_iter=0).fit(incomplete)


def hatched(drawn):
    """Return which pixels of a picture are hatched, as an array of the picture's shape."""
    shape = drawn.image_.get_array().shape[:2]
    centres = np.argwhere(np.ones(shape))[:, ::-1]
    inside = np.zeros(len(centres), dtype=bool)
    for patch in drawn.ax_.patches:
        assert patch.get_hatch()
        inside |= patch.get_path().contains_points(centres)
    return inside.reshape(shape)


def texts(labels):
    return [label.get_text() for label in labels]


# -- images ------------------------------------------------------------------------------


def test_missing_pixels_are_hatched_and_filled_below(images, damaged):
    drawn = draw_rows(images, damaged)
    assert texts(drawn.ax_.get_yticklabels()) == ["Data", "Filled in", "Reconstruction"]
    np.testing.assert_array_equal(drawn.X_filled, images.impute(damaged))
    decoded = images.inverse_transform(images.transform(damaged))
    lines = np.stack([damaged, images.impute(damaged), decoded])
    np.testing.assert_array_equal(
        drawn.image_.get_array().filled(np.nan), mosaic(lines, (8, 8), 1)
    )
    expected = mosaic(np.isnan(lines), (8, 8), 1) == 1
    assert expected.sum() == np.isnan(damaged).sum()
    np.testing.assert_array_equal(hatched(drawn), expected)


def test_a_hatched_pixel_has_two_colours_and_its_neighbour_one(images, damaged):
    X = damaged[[1, 2]]
    drawn = draw_rows(images, X, vmin=100, vmax=101)
    drawn.figure_.canvas.draw()
    pixels = np.asarray(drawn.figure_.canvas.buffer_rgba())[::-1]

    def colours(column):
        (x0, y1), (x1, y0) = drawn.ax_.transData.transform([(column, 0), (column + 7, 7)])
        return np.unique(pixels[int(y0) : int(y1), int(x0) : int(x1)].reshape(-1, 4), axis=0)

    missing, whole = colours(0), colours(9)
    assert len(whole) == 1
    # Neither lines nor ground are black, which is a value here.
    assert missing[:, :3].max() - missing[:, :3].min() > 30
    assert missing[:, :3].min() > 60


def test_missing_pixels_smaller_than_those_of_the_screen_do_not_cover_the_others():
    X = np.zeros((1, 200 * 200))
    X[0, ::3] = np.nan
    drawn = ReconstructionDisplay(X=X, reconstruction=np.zeros_like(X), image_shape=(200, 200))
    drawn.plot(vmin=0, vmax=1).figure_.canvas.draw()
    ends = drawn.ax_.transData.transform([(5, 195), (195, 5)]).astype(int)
    pixels = np.asarray(drawn.figure_.canvas.buffer_rgba())[::-1] / 255
    (x0, y0), (x1, y1) = ends
    # A third is light, the rest black.
    assert 0.15 < pixels[y0:y1, x0:x1, :3].mean() < 0.35


def test_what_is_damaged_on_purpose_stands_between_the_truth_and_what_is_filled(
    images, rows, damaged
):
    drawn = draw_rows(images, rows[:6], X_noisy=damaged, n_images=4)
    labels = ["Data", "Corrupted", "Filled in", "Reconstruction"]
    assert texts(drawn.ax_.get_yticklabels()) == labels
    np.testing.assert_array_equal(drawn.X_filled, images.impute(damaged[:4]))
    assert not hatched(drawn)[:8].any()
    assert hatched(drawn)[9:17].sum() == np.isnan(damaged[:4]).sum()


def test_a_colour_is_missing_if_one_of_its_channels_is():
    X = np.random.RandomState(0).rand(3, 2 * 2 * 3)
    damaged = X.copy()
    damaged[0, 4] = damaged[2, 9:] = np.nan
    drawn = ReconstructionDisplay(X=damaged, reconstruction=X, image_shape=(2, 2, 3)).plot()
    expected = np.zeros((5, 8), dtype=bool)
    expected[[0, 1], [1, 7]] = True
    np.testing.assert_array_equal(hatched(drawn), expected)


def test_the_ends_of_a_path_are_hatched(images, damaged):
    drawn = InterpolationDisplay.from_estimator(images, damaged[[0, 3]], n_steps=3)
    np.testing.assert_array_equal(drawn.codes[[0, -1]], images.transform(damaged[[0, 3]]))
    tiles = np.vstack([damaged[:1], drawn.decoded, damaged[3:4]])[None]
    np.testing.assert_array_equal(hatched(drawn), mosaic(np.isnan(tiles), (8, 8), 1) == 1)


def test_missing_pixels_do_not_change_the_range(images, damaged):
    space = {"n_grid": 2, "spacing": "value", "limits": (-1, 1)}
    drawn = LatentGridDisplay.from_estimator(images, damaged, **space)
    assert drawn.image_.get_clim() == (0, 16)
    assert SampleDisplay.from_estimator(images, damaged).image_.get_clim() == (0, 16)
    # Cells of the grid without a sample are not missing values.
    assert not SampleDisplay.from_estimator(images, n_samples=3).ax_.patches


def test_complete_rows_are_drawn_as_ever(images, flower, rows, iris):
    drawn = draw_rows(images, rows)
    assert drawn.X_filled is None
    assert not drawn.ax_.patches
    assert draw_rows(flower, iris).X_filled is None


# -- tables ------------------------------------------------------------------------------


def test_values_filled_in_are_drawn_against_the_truth(flower, iris, incomplete):
    drawn = draw_rows(flower, iris, X_noisy=incomplete)
    filled, missing = flower.impute(incomplete), np.isnan(incomplete)
    for i, panel in enumerate(drawn.axes_):
        points = panel.collections[2].get_offsets()
        shown = ~np.ma.getmaskarray(points).any(axis=1)
        np.testing.assert_array_equal(shown, missing[:, i])
        np.testing.assert_array_equal(points[shown], np.c_[iris[:, i], filled[:, i]][shown])
        assert not panel.collections[3].get_segments()
    (legend,) = [ax.get_legend() for ax in drawn.figure_.axes if ax.get_legend()]
    assert texts(legend.get_texts()) == ["corrupted", "reconstruction", "filled in"]


def test_where_the_truth_is_unknown_they_are_ticks(flower, incomplete):
    drawn = draw_rows(flower, incomplete)
    filled, missing = flower.impute(incomplete), np.isnan(incomplete)
    for i, panel in enumerate(drawn.axes_):
        reconstructed, points, ticks = panel.collections
        assert np.ma.getmaskarray(points.get_offsets()).any(axis=1).all()
        shown = ~np.ma.getmaskarray(reconstructed.get_offsets()).any(axis=1)
        np.testing.assert_array_equal(shown, ~missing[:, i])
        heights = [segment[0, 1] for segment in ticks.get_segments()]
        np.testing.assert_array_equal(heights, filled[missing[:, i], i])
        low, high = panel.get_ylim()
        assert low < min(heights) <= max(heights) < high
    drawn.plot(color="C3", s=30).figure_.canvas.draw()


def test_a_path_and_samples_leave_out_what_is_missing(flower, incomplete):
    ends = incomplete[:2].copy()
    ends[0, 2] = np.nan
    path = InterpolationDisplay.from_estimator(flower, ends)
    np.testing.assert_array_equal(path.axes_[2].lines[1].get_ydata(), ends[:, 2])

    X = incomplete.copy()
    X[:, 1] = np.nan
    drawn = SampleDisplay.from_estimator(flower, X, random_state=0)
    bars, outline = drawn.axes_[0].patches[:-1], drawn.axes_[0].patches[-1]
    edges = [*(bar.get_x() for bar in bars), bars[-1].get_x() + bars[-1].get_width()]
    expected, _ = np.histogram(X[~np.isnan(X[:, 0]), 0], bins=edges, density=True)
    np.testing.assert_allclose(outline.get_xy()[1:-1:2, 1][:30], expected)
    assert (drawn.axes_[1].patches[-1].get_xy()[:, 1] == 0).all()


# -- codes, Pipelines and other kinds of rows ---------------------------------------------


def test_codes_and_ellipses_are_those_of_the_values_that_are_there(flower, incomplete):
    drawn = LatentSpaceDisplay.from_estimator(flower, incomplete, ellipses=5)
    np.testing.assert_array_equal(drawn.codes, flower.transform(incomplete))
    scale = flower.latent_posterior(incomplete[drawn.ellipse_rows])[1]
    np.testing.assert_array_equal(drawn.ellipse_scale, scale)


def test_a_pipeline_fills_in_the_units_before_it(quick, incomplete):
    X = pd.DataFrame(incomplete, columns=list("abcd"))
    scaler = StandardScaler().set_output(transform="pandas")
    model = make_pipeline(scaler, quick(max_iter=0)).fit(X)
    drawn = draw_rows(model, X)
    filled = scaler.inverse_transform(model[-1].impute(scaler.transform(X)))
    np.testing.assert_allclose(drawn.X_filled, filled, rtol=1e-12)
    there = ~np.isnan(incomplete)
    np.testing.assert_array_equal(drawn.X_filled[there], incomplete[there])


@pytest.mark.parametrize("kind", ["nullable", "masked"])
def test_missing_values_of_other_libraries(kind, flower, incomplete):
    if kind == "nullable":
        X = pd.DataFrame(incomplete).convert_dtypes()
    else:
        X = np.ma.masked_invalid(incomplete)
        X.data[X.mask] = 1e6
    drawn = draw_rows(flower, X)
    np.testing.assert_array_equal(drawn.X, incomplete)
    np.testing.assert_allclose(drawn.X_filled, flower.impute(incomplete), rtol=1e-6)


def test_an_estimator_that_cannot_fill_is_drawn_without(damaged):
    same = FunctionTransformer().fit(damaged)
    drawn = draw_rows(same, damaged, image_shape=(8, 8))
    assert drawn.X_filled is None
    assert texts(drawn.ax_.get_yticklabels()) == ["Data", "Reconstruction"]
    assert hatched(drawn).sum() == 2 * np.isnan(damaged).sum()
