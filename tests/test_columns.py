"""Errors about data name the argument and, where there is one, the column."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from skvae import AutoencoderTransformer, VAETransformer
from skvae.data.columns import column_name, errors_name_columns
from skvae.likelihoods import Gaussian
from skvae.networks import ConvNet

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

DATES = np.arange(20).astype("M8[s]")
# The column, and what is said of it where numbers are expected, and in `fit`.
BAD_COLUMNS = {
    "strings": (np.array(["setosa"] * 20), "could not convert.*setosa", "it has strings"),
    "dates": (DATES, "", "it has dates or times"),
    "complex": (np.ones(20) + 1j, "Complex data not supported", "it has complex numbers"),
    "objects": (
        np.array([{}] * 20, dtype=object),
        "must be a string or a real",
        "it has lists",
    ),
}


@pytest.mark.parametrize(("column", "message", "kind"), BAD_COLUMNS.values(), ids=BAD_COLUMNS)
def test_a_column_that_is_no_number_is_named(column, message, kind, quick, iris):
    frame = pd.DataFrame(iris[:20], columns=list("abcd")).assign(c=column)
    for estimator in (VAETransformer, AutoencoderTransformer):
        with pytest.raises(ValueError, match=f"In column 'c' of X: {kind}"):
            quick(estimator).fit(frame)
    model = quick(max_iter=0).fit(pd.DataFrame(iris, columns=list("abcd")))
    errors = (ValueError, TypeError)
    with pytest.raises(errors, match=f"(?s)In column 'c' of X: .*{message}"):
        model.transform(frame)
    model = quick(max_iter=0).fit(iris)
    with pytest.raises((ValueError, TypeError), match="In feature 2 of X: "):
        model.transform(frame.to_numpy(dtype=object))


def test_a_column_of_a_polars_frame_is_named(quick, iris):
    frame = pl.DataFrame(dict(zip("abcd", iris.T, strict=True)))
    model = quick(max_iter=0).fit(frame)
    frame = frame.with_columns(b=pl.lit("setosa").cast(pl.Categorical))
    with pytest.raises(ValueError, match="In column 'b' of X: could not convert"):
        model.transform(frame)
    assert quick().fit(frame).sample(2, random_state=0)["b"].to_list() == ["setosa"] * 2


class ForeignTable:
    """What other libraries' tables do where they are read like a data frame."""

    shape = (3, 2)

    def __init__(self, error):
        self.error = error

    @property
    def columns(self):
        warnings.warn("Names are expensive.", RuntimeWarning, stacklevel=2)
        return ["a", "b"]

    def __getitem__(self, key):
        raise self.error

    def __array__(self, dtype=None, copy=None):
        raise TypeError("call .to_numpy()")


@pytest.mark.parametrize("error", [KeyError("key"), AttributeError("iloc"), OSError("closed")])
def test_a_table_that_cannot_be_searched_keeps_the_original_error(error, quick, iris):
    with pytest.raises(TypeError, match=r"In X: .*call \.to_numpy\(\)"):
        quick().fit(ForeignTable(error))
    with pytest.raises(TypeError, match="In X: no rows"), errors_name_columns(iris[0], "X"):
        raise TypeError("no rows")


def test_a_column_without_a_name_has_its_number():
    assert column_name(2, None) == "feature 2"
    assert column_name(2, ["a", "b", "c"]) == "'c'"


@pytest.mark.parametrize(
    "data",
    [[[1.0], [1.0, 2.0]], np.zeros((3, 2, 2)), np.zeros((0, 4)), np.zeros(4), {"a": 1}, None],
    ids=["ragged", "three dimensions", "no rows", "one dimension", "dictionary", "nothing"],
)
def test_data_that_are_no_table_are_named(data, quick, iris):
    with pytest.raises((ValueError, TypeError), match=r"\bX\b"):
        quick().fit(data)
    model = quick().fit(iris)
    with pytest.raises((ValueError, TypeError), match=r"\bZ\b"):
        model.inverse_transform(data)
    if data is not None:
        with pytest.raises((ValueError, TypeError), match=r"\bX_val\b"):
            quick().fit(iris, X_val=data)


def test_values_that_are_not_finite_are_counted_by_column(quick, iris):
    X = iris.copy()
    X[:3, 1], X[4, 2] = np.nan, np.inf
    frame = pd.DataFrame(X, columns=list("abcd"))
    tables = (frame, frame.astype("Float64"), pl.DataFrame(frame))
    with pytest.raises(
        ValueError, match=r"(?s)contains infinity.*by column: feature 2 \(1\)\."
    ):
        quick().fit(X)
    for table in tables:
        with pytest.raises(ValueError, match=r"(?s)contains NaN.*by column: 'b' \(3\)\."):
            quick(AutoencoderTransformer).fit(table)
    for rows in (X, X.tolist(), csr_array(X), X.astype(object)):
        with pytest.raises(ValueError, match=r"(?s)contains NaN.*by column: feature 1 \(3\)\."):
            quick(AutoencoderTransformer).fit(rows)
    wide = np.full((3, 12), np.nan)
    with pytest.raises(ValueError, match=r"feature 9 \(3\) and 2 more\."):
        quick(AutoencoderTransformer).fit(wide)


class ArrowTable:
    """What pyarrow's tables do, whose `columns` are no names."""

    shape = (3, 2)
    column_names = ("a", "b")
    columns = (np.ones(3), np.array(["x", "y", "z"]))

    def __getitem__(self, name):
        return self.columns[self.column_names.index(name)]

    def __array__(self, dtype=None, copy=None):
        return np.array(np.column_stack(self.columns), dtype=dtype)


def test_a_column_of_an_arrow_table_is_named(quick):
    with pytest.raises(ValueError, match=r"In column 'b' of X: could not convert.*'x'"):
        quick().fit(ArrowTable())


def test_masked_values_are_refused_and_an_empty_mask_is_not(quick, iris):
    # NumPy would read what lies under the mask.
    mask = np.zeros(iris.shape, dtype=bool)
    model = quick().fit(np.ma.masked_array(iris, mask))
    np.testing.assert_array_equal(model.transform(iris), quick().fit(iris).transform(iris))
    mask[3, 1] = mask[5, 2] = True
    masked = np.ma.masked_array(iris, mask)
    plain = AutoencoderTransformer(max_iter=1)
    for name, call in {
        "X": lambda: plain.fit(masked),
        "X_val": lambda: plain.fit(iris, X_val=masked),
        "Z": lambda: model.inverse_transform(masked[:, :2]),
    }.items():
        with pytest.raises(ValueError, match=f"{name} is a masked array, and [12] of.*Simple"):
            call()


def test_an_overflow_to_infinity_is_one_error_and_no_warning(quick):
    X = np.full((5, 4), np.inf, dtype=np.float32)
    X[2] = -np.inf
    with pytest.raises(ValueError, match="X contains infinity"):
        quick().fit(X)


# -- found by benchmarks/fuzz.py ---------------------------------------------------------


@pytest.mark.parametrize("shape", [np.array([2, 2]), (np.int64(2), 2), [2, np.int32(2), 1]])
def test_shapes_and_channels_may_be_numpys_integers(shape, quick, iris):
    network = ConvNet(np.array([2]), np.int64(3), hidden_layer_sizes=np.array([3]))
    numpys, pythons = (
        quick(network=net, image_shape=side, max_iter=1).fit(iris)
        for net, side in ((network, shape), (ConvNet((2,), 3, hidden_layer_sizes=(3,)), (2, 2)))
    )
    np.testing.assert_array_equal(numpys.transform(iris), pythons.transform(iris))


def test_a_noise_far_beyond_the_data_says_so_without_a_warning(quick, autoencoder, iris):
    with pytest.raises(ValueError, match=r"noise=0\.001.* is a standard deviation"):
        quick(likelihood=Gaussian(np.float32(1e-3))).fit(iris * 1e40)
    X = iris * [1, 1e-30, 1, 1]
    with pytest.raises(ValueError, match=r"noise=0\.3 is .*of feature 1 of X"):
        autoencoder(noise=0.3, early_stopping="cv").fit(X)
    assert np.isfinite(autoencoder(noise=0.3, corruption="masking").fit(X).score(X))


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_counts_beyond_any_rate_are_refused(likelihood, quick):
    X = np.random.RandomState(0).poisson(3, (30, 2)).astype(float)
    X[4, 1] = 1e300
    with pytest.raises(ValueError, match=r"in \[0, 1e\+13\], but feature 1 of X .* 1e\+300"):
        quick(likelihood=likelihood).fit(X)
    with pytest.raises(ValueError, match="but 'b' of X ranges"):
        quick(likelihood=likelihood).fit(pd.DataFrame(X, columns=list("ab")))
