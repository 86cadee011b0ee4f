"""LatentGridDisplay draws what was computed."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA

from skvae.display import LatentGridDisplay

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]

draw_grid = LatentGridDisplay.from_estimator


@pytest.fixture(scope="module")
def three(quick, digits):
    return quick(latent_dim=3, posterior="full", image_shape=(8, 8)).fit(digits[:300])


@pytest.fixture(scope="module")
def plain(autoencoder, digits):
    return autoencoder(latent_dim=3, image_shape=(8, 8)).fit(digits[:300])


@pytest.fixture(scope="module")
def flower(quick, iris):
    return quick(max_iter=0).fit(iris)


def cell(drawn, row, column, gap=1):
    """Return the pixels of a cell, counted from the bottom left."""
    pixels = drawn.image_.get_array()
    top = len(pixels) - row * (8 + gap) - 8
    return pixels[top : top + 8, column * (8 + gap) :][:, :8]


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_cells_are_decoded_at_their_codes(gap, three):
    drawn = draw_grid(three, n_grid=(5, 4), dimensions=(2, 0), origin=[0, 1, 0], gap=gap)
    assert [len(values) for values in drawn.grid] == [5, 4]
    codes = np.array([[[y, 1, x] for x in drawn.grid[0]] for y in drawn.grid[1]])
    expected = three.inverse_transform(codes.reshape(-1, 3)).reshape(4, 5, 64)
    np.testing.assert_allclose(drawn.images, expected)
    for row in range(4):
        for column in range(5):
            image = drawn.images[row, column].reshape(8, 8)
            np.testing.assert_array_equal(cell(drawn, row, column, gap), image)
    assert drawn.image_.get_clim() == pytest.approx((expected.min(), expected.max()))


def test_ticks_are_the_codes_at_the_centres_of_cells(three):
    drawn = draw_grid(three, n_grid=4, spacing="value", limits=[(-3, 3), (0, 6)])
    ax = drawn.ax_
    np.testing.assert_allclose(ax.get_xticks(), [3.5, 12.5, 21.5, 30.5])
    np.testing.assert_allclose(ax.get_yticks(), [30.5, 21.5, 12.5, 3.5])
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "\N{MINUS SIGN}3.00",
        "\N{MINUS SIGN}1.00",
        "1.00",
        "3.00",
    ]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.00", "2.00", "4.00", "6.00"]
    assert ax.yaxis_inverted(), "pixels count from the top, codes from the bottom"
    many = draw_grid(three, n_grid=29).ax_
    labels = [text.get_text() for text in many.get_xticklabels()]
    assert (len(labels), labels[-1]) == (8, "1.96")
    assert draw_grid(three, n_grid=3).ax_.get_xticklabels()[1].get_text() == "0.00"


def test_spacing_in_probability_and_in_value(three):
    p = np.linspace(0.025, 0.975, 9)
    np.testing.assert_allclose(draw_grid(three, n_grid=9).grid, [norm.ppf(p)] * 2, atol=1e-12)
    drawn = draw_grid(three, n_grid=9, limits=(-1, 2))
    steps = np.diff(norm.cdf(drawn.grid[0]))
    np.testing.assert_allclose(steps, steps[0])
    np.testing.assert_allclose(drawn.grid[1][[0, -1]], (-1, 2))
    drawn = draw_grid(three, n_grid=9, spacing="value")
    np.testing.assert_allclose(
        drawn.grid[0], np.linspace(*norm.ppf([0.025, 0.975]), 9), atol=1e-12
    )


@pytest.mark.parametrize("kind", ["plain", "pca"])
def test_without_a_prior_the_grid_spans_the_codes_of_rows(kind, plain, rows):
    model = plain if kind == "plain" else PCA(2).fit(rows)
    keywords = {"n_grid": 7, "image_shape": (8, 8)}
    drawn = draw_grid(model, rows, **keywords)
    codes = model.transform(rows)[:, drawn.dimensions]
    expected = np.quantile(codes, np.linspace(0.025, 0.975, 7), axis=0)
    np.testing.assert_allclose(drawn.grid, expected.T)
    assert drawn.image_.get_clim() == (0, 16), "the range of the rows"

    within = draw_grid(model, rows, limits=(-1, 1), **keywords).grid[0]
    assert -1 <= within[0] < within[-1] <= 1
    value = draw_grid(model, limits=(-1, 1), spacing="value", **keywords)
    np.testing.assert_allclose(value.grid[0], np.linspace(-1, 1, 7))
    with pytest.raises(ValueError, match=r"has no prior.*as X, whose codes"):
        draw_grid(model, **keywords)
    with pytest.raises(ValueError, match=r"no prior that spacing='quantile' could span"):
        draw_grid(model, limits=(-1, 1), **keywords)
    with pytest.raises(ValueError, match=r"limits=\(100.0, 101.0\) hold no code of X"):
        draw_grid(model, rows, limits=(100, 101), **keywords)


def test_a_line_of_one_dimension(quick, digits):
    model = quick(latent_dim=1, max_iter=0, image_shape=(8, 8)).fit(digits[:100])
    drawn = draw_grid(model, n_grid=5)
    assert drawn.images.shape == (1, 5, 64)
    assert drawn.image_.get_array().shape == (8, 44)
    assert drawn.ax_.get_ylabel() == ""
    np.testing.assert_allclose(drawn.images[0], model.inverse_transform(drawn.grid[0][:, None]))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"n_grid": 0}, "n_grid=0 must be a positive integer"),
        ({"n_grid": (3, 3, 3)}, r"n_grid=\(3, 3, 3\) must be"),
        ({"n_grid": 2.5}, r"n_grid=2.5 must be"),
        ({"spacing": "log"}, "spacing='log' must be 'quantile' or 'value'"),
        ({"limits": (1, -1)}, r"limits=\(1, -1\) must be \(low, high\) with low < high"),
        ({"limits": 3}, r"limits=3 must be"),
        ({"limits": (1, 2, 3)}, r"limits=\(1, 2, 3\) must be"),
        ({"limits": (0, np.inf)}, "limits=.* must be"),
        ({"origin": [0, 0]}, r"origin must have shape \(3,\), got \(2,\)"),
    ],
)
def test_a_grid_that_cannot_be_made_is_refused(keywords, message, three):
    with pytest.raises(ValueError, match=message):
        draw_grid(three, **keywords)
    assert not plt.get_fignums()


def test_a_grid_of_a_table_asks_for_the_shape_of_images(flower):
    with pytest.raises(ValueError, match=r"draws images: pass image_shape.*4 features"):
        draw_grid(flower)


@pytest.mark.parametrize("dimensions", [1, (0,)])
def test_a_grid_has_a_dimension_for_each_axis(dimensions):
    line = np.linspace(-1, 1, 3)
    drawn = LatentGridDisplay(
        grid=(line, line),
        images=np.zeros((3, 3, 4)),
        image_shape=(2, 2),
        dimensions=dimensions,
    )
    with pytest.raises(ValueError, match="one latent dimension for each of the 2 axes"):
        drawn.plot()


@pytest.mark.parametrize("gap", [-1, 1.5])
def test_a_gap_is_a_number_of_pixels(gap, three):
    with pytest.raises(ValueError, match=f"gap={gap} must be a number of pixels"):
        draw_grid(three, n_grid=2, gap=gap)
