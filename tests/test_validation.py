"""Checks of image shapes, validation rows and numbers of rows, for both estimators."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from skvae import AutoencoderTransformer, VAETransformer
from skvae.estimators.validation import check_image_shape

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
each_estimator = pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])


# -- numbers and shapes --------------------------------------------------------------------


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, True, "many", None])
def test_a_bad_number_of_samples_is_named(n_samples, model, rows):
    with pytest.raises(ValueError, match="n_samples must be a positive integer"):
        model.score_samples(rows, n_samples=n_samples)
    with pytest.raises(ValueError, match="n_samples must be a positive integer"):
        model.sample(n_samples)


@pytest.mark.parametrize(
    ("image_shape", "expected"),
    [(None, None), ((2, 3), (2, 3, 1)), ([1, 2, 3], (1, 2, 3)), (np.array([6, 1]), (6, 1, 1))],
)
def test_an_image_shape_has_three_axes(image_shape, expected):
    assert check_image_shape(image_shape, 6) == expected


@each_estimator
@pytest.mark.parametrize("image_shape", [(4,), (2, 3), (2, 1, 2, 1), (-2, -2), (2.0, 2)])
def test_a_bad_image_shape_is_refused(image_shape, estimator, quick, iris):
    with pytest.raises(ValueError, match=r"image_shape=\(.*must be \(H, W\).*the 4 features"):
        quick(estimator, image_shape=image_shape).fit(iris)


# -- validation rows -----------------------------------------------------------------------


@each_estimator
@pytest.mark.parametrize(
    "spoil",
    [lambda X: X * np.nan, lambda X: X[:, :3], lambda X: X[:0], lambda X: X[0]],
    ids=["nan", "columns", "no rows", "one dimension"],
)
def test_bad_validation_rows_are_named_as_such(spoil, estimator, quick, iris):
    with pytest.raises(ValueError, match="X_val"):
        quick(estimator).fit(iris, X_val=spoil(iris))
    with pytest.raises(ValueError, match="X_val has 3 features, but X has 4"):
        quick(estimator).fit(iris, X_val=csr_array(iris[:, :3]))


@each_estimator
def test_validation_rows_with_names_where_the_others_have_none(estimator, quick, iris):
    frame = pd.DataFrame(iris, columns=list("abcd"))
    with pytest.warns(UserWarning, match="X_val has feature names, but X has none"):
        quick(estimator).fit(iris, X_val=frame)
    with pytest.warns(UserWarning, match="X has feature names, but X_val has none"):
        quick(estimator).fit(frame, X_val=iris)


def test_validation_rows_with_other_names_or_words_are_refused(quick, iris):
    frame = pd.DataFrame(iris, columns=list("abcd"))
    with pytest.raises(ValueError, match=r"X_val has other columns than X.*should match"):
        quick().fit(frame, X_val=frame[list("dcba")])
    with pytest.raises(ValueError, match=r"'c' of X_val"):
        quick().fit(frame, X_val=frame.assign(c="word"))


def test_a_warning_about_validation_rows_points_at_the_caller(quick, iris):
    frame = pd.DataFrame(iris, columns=list("abcd"))
    with pytest.warns(UserWarning, match="X_val has feature names") as caught:
        quick().fit(iris, X_val=frame)
    assert caught[0].filename == __file__


def test_validation_rows_outside_the_support_are_called_so(quick):
    X = np.random.RandomState(0).poisson(3.0, (50, 4)).astype(float)
    with pytest.raises(ValueError, match="of X_val ranges"):
        quick(likelihood="poisson").fit(X, X_val=X - 3)
