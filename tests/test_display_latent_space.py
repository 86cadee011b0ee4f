"""LatentSpaceDisplay draws what was computed."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from skvae.display import LatentGridDisplay, LatentSpaceDisplay

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning"),
]

draw_codes = LatentSpaceDisplay.from_estimator
species = load_iris().target_names[load_iris().target]


@pytest.fixture(scope="module")
def three(quick, digits):
    return quick(latent_dim=3, posterior="full", image_shape=(8, 8)).fit(digits[:300])


@pytest.fixture(scope="module")
def plain(autoencoder, digits):
    return autoencoder(latent_dim=3, image_shape=(8, 8)).fit(digits[:300])


@pytest.fixture(scope="module")
def flower(quick, iris):
    return quick(max_iter=0).fit(iris)


@pytest.fixture(scope="module")
def line(quick, iris):
    return quick(latent_dim=1, max_iter=0).fit(iris)


# -- codes and their colours -------------------------------------------------------------


def test_points_are_the_codes(flower, iris):
    drawn = draw_codes(flower, iris)
    np.testing.assert_array_equal(drawn.scatter_.get_offsets(), flower.transform(iris))
    assert (drawn.ax_.get_xlabel(), drawn.ax_.get_ylabel()) == ("$z_{0}$", "$z_{1}$")
    assert drawn.legend_ is None
    assert drawn.colorbar_ is None


@pytest.mark.parametrize(
    "y",
    [
        species,
        species.astype(object),
        load_iris().target,
        load_iris().target.astype(float),
        pd.Series(species),
        pd.Series(species, dtype="category"),
        load_iris().target[:, None],
        load_iris().target > 0,
    ],
    ids=["str", "object", "int", "float", "Series", "category", "column", "bool"],
)
def test_classes_get_a_legend_in_their_colours(y, flower, iris):
    drawn = draw_codes(flower, iris, y)
    labels = np.ravel(y)
    texts = [text.get_text() for text in drawn.legend_.get_texts()]
    assert texts == [str(label) for label in np.unique(labels)]
    assert drawn.colorbar_ is None
    colours = drawn.scatter_.get_facecolors()[:, :3]
    for label, handle in zip(np.unique(labels), drawn.legend_.legend_handles, strict=True):
        expected = mpl.colors.to_rgb(handle.get_color())
        assert (colours[labels == label] == expected).all()
    assert len(np.unique(colours, axis=0)) == len(texts)


@pytest.mark.parametrize("as_integers", [False, True])
def test_numbers_get_a_colour_bar(as_integers, flower, iris):
    y = pd.Series(np.arange(150) if as_integers else iris[:, 2], name="length")
    drawn = draw_codes(flower, iris, y)
    np.testing.assert_array_equal(drawn.scatter_.get_array(), y)
    assert drawn.colorbar_.ax.get_ylabel() == "length"
    assert drawn.legend_ is None
    assert draw_codes(flower, iris, y, legend=False).colorbar_ is None


def test_more_classes_than_a_table_has_colours(flower, iris):
    # The first classes are more and more frequent, and 13 have one row or two.
    y = np.repeat([f"class {k:02d}" for k in range(29)], [*range(1, 17), *[1] * 13])
    y = np.r_[y, ["class 16"]]
    assert len(y) == 150
    drawn = draw_codes(flower, iris, y)
    texts = [text.get_text() for text in drawn.legend_.get_texts()]
    assert len(texts) == 20
    assert texts[-1] == "other"
    assert set(texts) >= {f"class {k:02d}" for k in range(1, 16)}
    assert len(np.unique(drawn.scatter_.get_facecolors(), axis=0)) == 20


@pytest.mark.parametrize("missing", [None, np.nan])
def test_rows_without_a_value_are_grey(missing, flower, iris, line):
    y = species.astype(object)
    y[::7] = missing
    drawn = draw_codes(flower, iris, y)
    texts = [text.get_text() for text in drawn.legend_.get_texts()]
    assert texts == ["setosa", "versicolor", "virginica", "missing"]
    colours = drawn.scatter_.get_facecolors()[:, :3]
    assert (colours[::7] == colours[0, 0]).all()
    assert not (colours[1::7] == colours[0, 0]).all(axis=1).any()
    strips = draw_codes(line, iris, y).ax_.get_yticklabels()
    assert [text.get_text() for text in strips] == texts
    numbers = iris[:, 2].copy()
    numbers[::7] = np.nan
    drawn = draw_codes(flower, iris, numbers)
    drawn.figure_.canvas.draw()
    colours = drawn.scatter_.get_facecolors()[:, :3]
    assert (colours[::7] == colours[0, 0]).all()
    assert drawn.colorbar_ is not None
    assert draw_codes(flower, iris, np.full(150, np.nan)).legend_ is None


def test_a_long_tail_does_not_set_the_colours(flower, iris):
    y = iris[:, 2].copy()
    y[0] = 1000.0
    drawn = draw_codes(flower, iris, y)
    assert drawn.scatter_.get_clim()[1] < 7
    assert drawn.colorbar_.extend == "max"
    assert draw_codes(flower, iris, y, vmax=9).scatter_.get_clim()[1] == 9


def test_the_legend_stands_beside_the_points_where_there_is_room(flower, iris):
    drawn = draw_codes(flower, iris, species)
    drawn.figure_.canvas.draw()
    assert drawn.legend_.get_window_extent().x0 > drawn.ax_.get_window_extent().x1
    assert drawn.legend_.get_window_extent().x1 < drawn.figure_.bbox.x1
    _, ax = plt.subplots()
    drawn = draw_codes(flower, iris, species, ax=ax)
    ax.figure.canvas.draw()
    assert drawn.legend_.get_window_extent().x1 < ax.get_window_extent().x1


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros((150, 2)), r"y should be a 1d array, got an array of shape \(150, 2\)"),
        (np.zeros(3), "y has 3 values, but X has 150 rows"),
        (np.array([1.5, "a", None] * 50, dtype=object), "y must hold classes or numbers"),
        (np.r_[np.inf, np.ones(149)], "contains infinity"),
        ("petal", "y='petal' must be the name of a column of X"),
    ],
)
def test_a_target_that_cannot_be_drawn_is_refused(y, message, flower, iris):
    with pytest.raises(ValueError, match=message):
        draw_codes(flower, iris, y)
    assert not plt.get_fignums()


# -- which dimensions --------------------------------------------------------------------


def test_dimensions_are_those_with_the_largest_kl(three, rows, monkeypatch):
    monkeypatch.setattr(three, "latent_kl_", np.array([1.0, 0.2, 3.0]))
    drawn = draw_codes(three, rows)
    assert drawn.dimensions == (0, 2)
    assert drawn.ax_.get_ylabel() == "$z_{2}$"
    np.testing.assert_array_equal(drawn.scatter_.get_offsets(), drawn.codes[:, [0, 2]])
    assert LatentGridDisplay.from_estimator(three, n_grid=2).dimensions == (0, 2)


def test_without_kl_they_are_those_that_vary_most(plain, rows):
    variances = np.var(plain.transform(rows), axis=0)
    expected = tuple(sorted(np.argsort(variances)[1:].tolist()))
    assert draw_codes(plain, rows).dimensions == expected
    assert LatentGridDisplay.from_estimator(plain, rows, n_grid=2).dimensions == expected
    assert draw_codes(PCA(4).fit(rows), rows).dimensions == (0, 1)


def test_dimensions_may_be_chosen_in_any_order(three, rows):
    drawn = draw_codes(three, rows, dimensions=(2, 0))
    np.testing.assert_array_equal(drawn.scatter_.get_offsets(), drawn.codes[:, [2, 0]])
    assert drawn.ax_.get_xlabel() == "$z_{2}$"


@pytest.mark.parametrize("dimensions", [(0, 3), (1, 1), (0,), 0, (0, 1, 2), (-1, 0), "01"])
def test_dimensions_that_do_not_exist_are_refused(dimensions, three, rows):
    for ask in (draw_codes, LatentGridDisplay.from_estimator):
        with pytest.raises(
            ValueError, match=r"dimensions=.*two different integers from 0 to 2"
        ):
            ask(three, rows, dimensions=dimensions)


# -- one dimension -----------------------------------------------------------------------


def test_one_dimension_is_a_histogram_a_strip_or_a_curve(line, iris):
    codes = line.transform(iris)[:, 0]
    drawn = draw_codes(line, iris)
    assert sum(bar.get_height() for bar in drawn.ax_.patches) == 150
    assert drawn.ax_.get_xlabel() == "$z_{0}$"

    strips = draw_codes(line, iris, species)
    x, y = strips.scatter_.get_offsets().T
    np.testing.assert_array_equal(x, codes)
    np.testing.assert_array_equal(np.round(y), load_iris().target)
    labels = [text.get_text() for text in strips.ax_.get_yticklabels()]
    assert labels == ["setosa", "versicolor", "virginica"]

    curve = draw_codes(line, iris, iris[:, 2])
    np.testing.assert_array_equal(curve.scatter_.get_offsets(), np.c_[codes, iris[:, 2]])
    with pytest.raises(ValueError, match="ellipses need two latent dimensions"):
        draw_codes(line, iris, ellipses=True)


# -- ellipses ----------------------------------------------------------------------------


def test_ellipses_of_a_diagonal_posterior(flower, iris):
    drawn = draw_codes(flower, iris, species, ellipses=7)
    mean, scale = flower.latent_posterior(iris)
    rows = drawn.ellipse_rows
    assert (len(rows), rows[0], rows[-1]) == (7, 0, 149)
    np.testing.assert_array_equal(drawn.ellipses_.get_offsets(), mean[rows])
    np.testing.assert_allclose(drawn.ellipses_.get_widths(), 2 * scale[rows, 0])
    np.testing.assert_allclose(drawn.ellipses_.get_heights(), 2 * scale[rows, 1])
    edges, points = drawn.ellipses_.get_edgecolors(), drawn.scatter_.get_facecolors()
    np.testing.assert_array_equal(edges[:, :3], points[rows, :3])
    assert len(draw_codes(flower, iris, ellipses=True).ellipse_rows) == 150


def test_no_ellipse_is_cut_off(three, rows):
    drawn = draw_codes(three, rows[:2], ellipses=True)
    mean, cholesky = three.latent_posterior(rows[:2])
    # The reach of an ellipse along an axis is the standard deviation there.
    reach = np.linalg.norm(cholesky, axis=2)
    for i, (low, high) in zip(
        drawn.dimensions, (drawn.ax_.get_xlim(), drawn.ax_.get_ylim()), strict=True
    ):
        low_end, high_end = (mean - reach)[:, i].min(), (mean + reach)[:, i].max()
        assert low < low_end < high_end < high
        assert high - low < 1.2 * (high_end - low_end)


def test_ellipses_of_a_full_posterior_are_the_images_of_the_unit_circle(three, rows):
    drawn = draw_codes(three, rows, ellipses=5, dimensions=(2, 0))
    cholesky = three.latent_posterior(rows[drawn.ellipse_rows])[1]
    covariance = (cholesky @ cholesky.swapaxes(1, 2))[:, [[2], [0]], [2, 0]]
    angles = np.radians(drawn.ellipses_.get_angles())
    turn = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], -1)
    turn = turn.reshape(-1, 2, 2)
    half = np.stack([drawn.ellipses_.get_widths(), drawn.ellipses_.get_heights()], -1) / 2
    rebuilt = turn @ (half[:, :, None] ** 2 * turn.swapaxes(1, 2))
    np.testing.assert_allclose(rebuilt, covariance, atol=1e-6)


def test_ellipses_need_a_posterior(plain, rows):
    for model in (plain, PCA(2).fit(rows)):
        with pytest.raises(AttributeError, match=r"no method latent_posterior.*ellipses=False"):
            draw_codes(model, rows, ellipses=True)


@pytest.mark.parametrize("ellipses", [-1, 2.5, "all"])
def test_a_number_of_ellipses_that_is_none_is_refused(ellipses, flower, iris):
    with pytest.raises(ValueError, match=r"ellipses=.* must be a bool or positive integer"):
        draw_codes(flower, iris, ellipses=ellipses)


@pytest.mark.parametrize("dimensions", [1, (0,), (0, 5), "ab"])
def test_dimensions_of_codes_are_checked_when_they_are_drawn(dimensions):
    drawn = LatentSpaceDisplay(codes=np.zeros((3, 2)), dimensions=dimensions)
    with pytest.raises(ValueError, match="must be two different integers from 0 to 1"):
        drawn.plot()
