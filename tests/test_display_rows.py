"""ReconstructionDisplay, SampleDisplay and InterpolationDisplay draw what was computed."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.decomposition import PCA

from skvae.display import InterpolationDisplay, ReconstructionDisplay, SampleDisplay

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]

draw_rows = ReconstructionDisplay.from_estimator
draw_samples = SampleDisplay.from_estimator
draw_path = InterpolationDisplay.from_estimator


@pytest.fixture(scope="module")
def images(quick, digits):
    return quick(latent_dim=3, image_shape=(8, 8)).fit(digits[:300])


@pytest.fixture(scope="module")
def flower(quick, iris):
    return quick().fit(iris)


def tile(drawn, row, column, side=8, gap=1):
    """Return the pixels of an image, counted from the top left."""
    pixels = drawn.image_.get_array()[row * (side + gap) :, column * (side + gap) :]
    return pixels[:side, :side]


def assert_tiles(drawn, lines):
    """Each tile is the row of a table; between them is nothing."""
    for i, rows in enumerate(lines):
        for j, row in enumerate(rows):
            np.testing.assert_array_equal(tile(drawn, i, j), row.reshape(8, 8))
    height, width = len(lines) * 9 - 1, len(lines[0]) * 9 - 1
    pixels = drawn.image_.get_array()
    assert pixels.shape == (height, width)
    assert np.ma.getmaskarray(pixels).sum() == height * width - 64 * sum(map(len, lines))


def texts(labels):
    return [label.get_text() for label in labels]


def decode(model, X):
    return model.inverse_transform(model.transform(X))


# -- images ------------------------------------------------------------------------------


def test_images_stand_over_their_reconstructions(images, rows):
    drawn = draw_rows(images, rows, n_images=4)
    assert_tiles(drawn, [rows[:4], decode(images, rows[:4])])
    assert texts(drawn.ax_.get_yticklabels()) == ["Data", "Reconstruction"]
    np.testing.assert_allclose(drawn.ax_.get_yticks(), [3.5, 12.5])
    assert drawn.image_.get_clim() == (rows[:4].min(), rows[:4].max())
    assert drawn.image_.get_cmap().name == "gray"
    drawn.plot(cmap="gray_r", vmin=-1, vmax=20)
    assert drawn.image_.get_clim() == (-1, 20)


@pytest.mark.parametrize("kind", ["autoencoder", "pca"])
def test_what_is_given_corrupted_is_restored(kind, autoencoder, digits, rows):
    noisy = rows + np.random.RandomState(0).randn(*rows.shape)
    model = autoencoder(noise=1.0, image_shape=(8, 8)) if kind == "autoencoder" else PCA(8)
    model.fit(digits[:300])
    drawn = draw_rows(model, rows, X_noisy=noisy, n_images=3, image_shape=(8, 8))
    assert_tiles(drawn, [rows[:3], noisy[:3], decode(model, noisy[:3])])
    assert texts(drawn.ax_.get_yticklabels()) == ["Data", "Corrupted", "Reconstruction"]
    with pytest.raises(ValueError, match=r"X_noisy has shape \(5, 64\), but X has \(200, 64\)"):
        draw_rows(model, rows, X_noisy=noisy[:5])


@pytest.mark.parametrize("mean", [False, True])
def test_samples_are_the_estimators_own(mean, images, rows):
    drawn = draw_samples(images, n_samples=7, mean=mean, random_state=1)
    expected = images.sample(7, mean=mean, random_state=1)
    assert_tiles(drawn, [expected[:3], expected[3:6], expected[6:]])
    assert drawn.image_.get_clim() == pytest.approx((expected.min(), expected.max()))
    assert draw_samples(images, rows).image_.get_clim() == (0, 16)
    assert draw_samples(images).samples.shape == (25, 64)


def test_a_path_of_images_lies_between_its_rows(images, rows):
    drawn = draw_path(images, rows[3:5], n_steps=5)
    first, last = images.transform(rows[3:5])
    np.testing.assert_allclose(
        drawn.codes, [first + t * (last - first) for t in (0, 0.25, 0.5, 0.75, 1)]
    )
    np.testing.assert_array_equal(drawn.decoded, images.inverse_transform(drawn.codes))
    assert_tiles(drawn, [[rows[3], *drawn.decoded, rows[4]]])
    labels = ["data", "0", "0.25", "0.5", "0.75", "1", "data"]
    assert texts(drawn.ax_.get_xticklabels()) == labels


def test_a_path_from_codes_has_no_rows_at_its_ends(images):
    drawn = InterpolationDisplay.from_codes(images, [[0, 1, 0], [0, 0, 2]], n_steps=3)
    assert_tiles(drawn, [images.inverse_transform([[0, 1, 0], [0, 0.5, 1], [0, 0, 2]])])
    assert texts(drawn.ax_.get_xticklabels()) == ["0", "0.5", "1"]


@pytest.mark.parametrize(("top", "scale"), [(1.0, 1.0), (255.0, 255.0), (None, None)])
def test_colours_are_kept_and_clipped(top, scale):
    rng = np.random.RandomState(0)
    X = rng.rand(30, 4 * 4 * 3) * (top or 4) - (0 if top else 2)
    drawn = draw_rows(PCA(2).fit(X), X, n_images=3, image_shape=(4, 4, 3))
    pixels = np.asarray(drawn.image_.get_array())
    assert pixels.shape == (9, 14, 4)
    # Numbers that are no colours are stretched.
    low, high = (0, top) if top else (X[:3].min(), X[:3].max())
    expected = np.clip((drawn.reconstruction[1].reshape(4, 4, 3) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(pixels[5:, 5:9, :3], expected)
    assert (pixels[5:, 5:9, 3] == 1).all()
    assert (pixels[4, :, 3] == 0).all(), "gaps are transparent"
    with_range = drawn.plot(vmin=0.2, vmax=0.4).image_.get_array()[:4, :4, :3]
    np.testing.assert_allclose(with_range, np.clip((X[0].reshape(4, 4, 3) - 0.2) / 0.2, 0, 1))


def test_large_and_long_images(digits):
    X = np.repeat(digits[:20], 30, axis=1)
    drawn = draw_rows(PCA(2).fit(X), X, n_images=2, image_shape=(64, 30))
    # A twentieth of the shorter side lies between images.
    assert drawn.image_.get_array().shape == (2 * 64 + 2, 2 * 30 + 2)
    width, height = drawn.figure_.get_size_inches()
    assert height > width - 1.3


def test_one_channel_is_grey(rows):
    drawn = draw_rows(PCA(2).fit(rows), rows, image_shape=(8, 8, 1))
    assert drawn.image_shape == (8, 8)


# -- tables ------------------------------------------------------------------------------


def test_reconstructions_of_a_table_stand_against_its_values(flower, iris):
    drawn = draw_rows(flower, iris)
    assert drawn.image_ is None
    decoded = decode(flower, iris)
    for i, panel in enumerate(drawn.axes_):
        (points,) = panel.collections
        np.testing.assert_array_equal(points.get_offsets(), np.c_[iris[:, i], decoded[:, i]])
        assert panel.get_xlim() == panel.get_ylim()
        (diagonal,) = panel.lines
        assert diagonal.get_slope() == 1
    assert [panel.get_ylabel() for panel in drawn.axes_] == ["reconstruction", "", "", ""]


def test_corrupted_values_of_a_table_lie_behind(flower, iris):
    noisy = iris + 0.5
    drawn = draw_rows(flower, iris, X_noisy=noisy)
    corrupted, restored = drawn.axes_[2].collections
    np.testing.assert_array_equal(corrupted.get_offsets(), np.c_[iris[:, 2], noisy[:, 2]])
    decoded = decode(flower, noisy)
    np.testing.assert_array_equal(restored.get_offsets(), np.c_[iris[:, 2], decoded[:, 2]])
    (legend,) = [ax.get_legend() for ax in drawn.figure_.axes if ax.get_legend()]
    assert texts(legend.get_texts()) == ["corrupted", "reconstruction"]


def test_samples_of_a_table_are_histograms_beside_the_data(flower, iris):
    drawn = draw_samples(flower, iris, random_state=0, bins=12)
    assert drawn.samples.shape == (1000, 4)
    for i, panel in enumerate(drawn.axes_):
        *bars, outline = panel.patches
        heights = [bar.get_height() for bar in bars]
        expected, _ = np.histogram(drawn.samples[:, i], bins=12, density=True)
        np.testing.assert_allclose(heights, expected)
        assert outline.get_xy()[:, 1].max() > 0
    alone = draw_samples(flower, random_state=0)
    assert len(alone.axes_[0].patches) == 30
    assert not [ax for ax in alone.figure_.axes if ax.get_legend()]


def test_both_histograms_have_the_same_bins(flower, iris):
    panel = draw_samples(flower, iris, random_state=0).axes_[1]
    *bars, outline = panel.patches
    edges = [bar.get_x() for bar in bars]
    np.testing.assert_allclose(np.unique(outline.get_xy()[:, 0])[:-1], edges)
    total = sum(bar.get_height() * bar.get_width() for bar in bars)
    assert total == pytest.approx(1), "no sample is cut off"


def test_a_path_of_a_table_is_a_line_of_each_feature(flower, iris):
    drawn = draw_path(flower, iris[[0, 149]], n_steps=6)
    for i, panel in enumerate(drawn.axes_):
        line, ends = panel.lines
        np.testing.assert_allclose(line.get_xdata(), np.linspace(0, 1, 6))
        np.testing.assert_array_equal(line.get_ydata(), drawn.decoded[:, i])
        np.testing.assert_array_equal(ends.get_ydata(), iris[[0, 149], i])


# -- paths -------------------------------------------------------------------------------


def test_an_arc_keeps_its_distance_and_its_pace(images):
    ends = np.array([[3.0, 0, 0], [0, 3.0, 0]])
    drawn = InterpolationDisplay.from_codes(images, ends, n_steps=7, path="spherical")
    np.testing.assert_allclose(np.linalg.norm(drawn.codes, axis=1), 3)
    angles = np.arctan2(drawn.codes[:, 1], drawn.codes[:, 0])
    np.testing.assert_allclose(angles, np.linspace(0, np.pi / 2, 7), atol=1e-12)
    np.testing.assert_allclose(drawn.codes[[0, -1]], ends, atol=1e-12)


def test_an_arc_between_codes_in_one_direction_is_straight(images):
    ends = [[1.0, 0, 0], [3.0, 0, 0]]
    drawn = InterpolationDisplay.from_codes(images, ends, n_steps=3, path="spherical")
    np.testing.assert_allclose(drawn.codes[:, 0], [1, 2, 3])


@pytest.mark.parametrize(
    ("codes", "keywords", "message"),
    [
        ([[0, 0, 0], [1, 0, 0]], {"path": "spherical"}, "at the origin.*path='linear'"),
        ([[1, 0, 0], [-2, 0, 0]], {"path": "spherical"}, "opposite.*path='linear'"),
        ([[0, 0, 0], [1, 0, 0]], {"path": "round"}, "path='round' must be"),
        ([[0, 0, 0], [1, 0, 0]], {"n_steps": 1}, "n_steps must be an integer of at least 2"),
        ([[0, 0, 0]], {}, "codes must hold two rows.*got 1"),
        ([[0, 0], [1, 1]], {}, "Z has 2 columns"),
    ],
)
def test_paths_that_cannot_be_gone_are_refused(codes, keywords, message, images):
    with pytest.raises(ValueError, match=message):
        InterpolationDisplay.from_codes(images, codes, **keywords)
    assert not plt.get_fignums()


def test_other_bad_input_is_refused(images, flower, iris, rows):
    with pytest.raises(ValueError, match=r"X must hold two rows.*got 3"):
        draw_path(images, rows[:3])
    with pytest.raises(ValueError, match="n_samples must be a positive integer, got 0"):
        draw_samples(images, n_samples=0)
    with pytest.raises(ValueError, match="X has 64 features, but the samples have 4"):
        draw_samples(flower, rows)
    with pytest.raises(ValueError, match="n_images must be a positive integer, got 0"):
        draw_rows(images, rows, n_images=0)
    with pytest.raises(ValueError, match="Expected 2D array"):
        draw_rows(flower, iris[0])
    assert not plt.get_fignums()


@pytest.mark.parametrize("features", [1, "x1", []])
def test_features_are_a_list(features, flower, iris):
    with pytest.raises(ValueError, match="must list names of features or indices from 0 to 3"):
        draw_rows(flower, iris[:5], features=features)
