"""Tables of every kind of column as a matrix, and back to a table of the same kind."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal
from polars.testing import assert_frame_equal as assert_polars_equal
from scipy import sparse
from sklearn.datasets import load_iris
from table_cases import adult_in_pandas, adult_in_polars, encode_store_decode

from skvae.data.encoding import TableEncoding

NAN = np.nan
# Pandas' and polars' frames have the same levels, in the same order.
ADULT_MATRIX = [
    [39, 1, 2174, 40, 0],
    [50, NAN, 0, 13, 0],
    [38, 0, NAN, NAN, 1],
    [53, 0, 0, 40, 1],
]
FRAMES = {
    "pandas": (adult_in_pandas, assert_frame_equal),
    "polars": (adult_in_polars, assert_polars_equal),
}


@pytest.fixture(params=FRAMES)
def adult(request):
    return FRAMES[request.param][0]()


@pytest.mark.parametrize(("make", "assert_equal"), FRAMES.values(), ids=FRAMES)
def test_a_table_like_adult_comes_back(make, assert_equal):
    frame = make()
    encoding, U, back = encode_store_decode(frame)
    np.testing.assert_array_equal(U, ADULT_MATRIX)
    assert U.dtype == np.float64
    assert encoding.kinds == ["number", "category", "number", "number", "flag"]
    assert encoding.n_levels == [0, 2, 0, 0, 0]
    assert encoding.levels == [None, ["Private", "State-gov"], None, None, None]
    assert encoding.feature_names == list(frame.columns)
    if isinstance(back, pd.DataFrame):
        back.index = frame.index
    assert_equal(back, frame)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoding)).encode(frame), U)


@pytest.mark.parametrize(("make", "assert_equal"), FRAMES.values(), ids=FRAMES)
def test_one_row_and_none_come_back(make, assert_equal):
    frame = make()
    encoding = TableEncoding.fit(frame)
    for n in (1, 0):
        rows = frame[:n]
        U = encoding.encode(rows)
        assert U.shape == (n, 5)
        back = encoding.decode(U)
        assert_equal(back, rows.reset_index(drop=True) if hasattr(rows, "iloc") else rows)
        assert_equal(encoding.fill(rows, U), rows)


def test_a_table_of_one_row_is_enough_to_fit(adult):
    assert TableEncoding.fit(adult[:1]).n_levels[1] in (1, 2)


def test_float32_only_if_all_numbers_are():
    frame = pd.DataFrame({"a": np.float32([1, 2]), "c": pd.Categorical(["x", "y"])})
    assert TableEncoding.fit(frame).encode(frame).dtype == np.float32
    frame["b"] = [1.0, 2.0]
    assert TableEncoding.fit(frame).encode(frame).dtype == np.float64
    assert TableEncoding.fit(frame[["c"]]).encode(frame[["c"]]).dtype == np.float64


def test_codes_are_rounded_into_their_range(adult):
    U = np.array([[0, code, 0, 0, 0] for code in (-3, 0.4, 0.6, 7)])
    column = TableEncoding.fit(adult).decode(U)["workclass"]
    assert list(column) == ["Private", "Private", "State-gov", "State-gov"]


def test_a_frame_of_another_library_has_the_same_codes():
    both = [adult_in_pandas, adult_in_polars]
    for fitted, other in (both, both[::-1]):
        encoding = TableEncoding.fit(fitted())
        np.testing.assert_array_equal(encoding.encode(other()), ADULT_MATRIX)
        assert type(encoding.decode(ADULT_MATRIX)) is type(fitted())
        filled = encoding.fill(other(), np.ones((4, 5)))
        assert type(filled) is type(other())
        assert list(filled["hours"]) == [40, 13, 1, 40]
    rows = adult_in_pandas().to_numpy(dtype=object)
    np.testing.assert_array_equal(encoding.encode(rows), ADULT_MATRIX)


def test_an_array_of_numbers_is_returned_as_it_is():
    X = load_iris().data
    for table in (X, sparse.csr_array(X), X.tolist(), X.astype(int)):
        encoding = TableEncoding.fit(table)
        assert encoding.is_identity
        assert encoding.encode(table) is table
        assert encoding.kinds == ["number"] * 4
        assert encoding.feature_names is None
    U = X + 0.25
    assert encoding.decode(U) is U
    assert not TableEncoding.fit(pd.DataFrame(X)).is_identity


def test_arrays_and_sparse_matrices_are_filled():
    X = np.array([[1, NAN], [NAN, 4]])
    values = np.array([[5, 6], [7, 8.0]])
    encoding = TableEncoding.fit(X)
    np.testing.assert_array_equal(encoding.fill(X, values), [[1, 6], [7, 4]])
    filled = encoding.fill(sparse.csr_array(X), values)
    np.testing.assert_array_equal(filled.toarray(), [[1, 6], [7, 4]])
    filled = encoding.fill(pd.DataFrame(X), values)
    assert_frame_equal(filled, pd.DataFrame([[1.0, 6.0], [7.0, 4.0]]))
    assert np.isnan(X).sum() == 2


def test_flags_are_filled_with_flags_also_in_columns_of_numbers():
    encoding = TableEncoding.fit(pd.DataFrame({"a": [True, False]}))
    filled = encoding.fill(pd.DataFrame({"a": [1.0, NAN]}), np.array([[0.2], [0.7]]))
    assert filled["a"].tolist() == [1, 1]


def test_unseen_categories_are_missing_with_one_warning():
    frame = pd.DataFrame({"job": pd.Categorical(["cook", "smith"]), "town": ["Ulm", "Bonn"]})
    encoding = TableEncoding.fit(frame, ["job", "town"])
    new = pd.DataFrame({"job": [*"abcdefg", "cook"], "town": ["Rom"] * 7 + ["Ulm"]})
    with pytest.warns(UserWarning, match="fit did not see") as record:
        U = encoding.encode(new)
    assert str(record[0].message) == (
        "X has categories that fit did not see: 'a', 'b', 'c', 'd', 'e' and 2 more in column "
        "'job'; 'Rom' in column 'town'. They count as missing values."
    )
    assert len(record) == 1
    assert record[0].filename == __file__
    np.testing.assert_array_equal(U, [[NAN, NAN]] * 7 + [[0, 1]])
    # In fill, they are values of their own unless the caller says otherwise.
    assert_frame_equal(encoding.fill(new, np.zeros((8, 2))), new)
    filled = encoding.fill(new, np.zeros((8, 2)), np.isnan(U))
    assert filled["job"].tolist() == ["cook"] * 8
    assert filled["town"].tolist() == ["Bonn"] * 7 + ["Ulm"]


def test_a_category_that_is_declared_but_does_not_occur_is_unseen_and_stays_in_the_dtype():
    levels = ["x", "never", "y"]
    for frame in (
        pd.DataFrame({"c": pd.Categorical(["x", "y"], categories=levels, ordered=True)}),
        pl.DataFrame({"c": pl.Series(["x", "y"], dtype=pl.Enum(levels))}),
    ):
        encoding, U, back = encode_store_decode(frame)
        np.testing.assert_array_equal(U, [[0], [1]])
        assert back.equals(frame)
        never = pd.DataFrame({"c": pd.Categorical(["never"], categories=levels)})
        with pytest.warns(UserWarning, match="fit did not see: 'never' in column 'c'"):
            np.testing.assert_array_equal(encoding.encode(never), [[NAN]])
        # Codes of no level that occurred cannot be decoded to it.
        drawn = encoding.decode(np.arange(-2.0, 5)[:, None])["c"]
        assert set(drawn) == {"x", "y"}
        assert str(drawn.dtype) == str(frame["c"].dtype)


def test_levels_that_do_not_occur_are_no_unseen_categories():
    frame = pd.DataFrame({"c": pd.Categorical(["x", "y"])})
    more = pd.DataFrame({"c": pd.Categorical(["y", "x"], categories=["z", "y", "x"])})
    np.testing.assert_array_equal(TableEncoding.fit(frame).encode(more), [[1], [0]])


def test_columns_in_another_order_or_with_other_names_are_refused(adult):
    encoding = TableEncoding.fit(adult)
    names = list(adult.columns)
    with pytest.raises(ValueError, match="must be in the same order"):
        encoding.encode(adult[names[::-1]])
    renamed = {"age": "years"}
    is_pandas = isinstance(adult, pd.DataFrame)
    other = adult.rename(columns=renamed) if is_pandas else adult.rename(renamed)
    with pytest.raises(ValueError, match="unseen at fit time:\n- years"):
        encoding.encode(other)
    with pytest.raises(ValueError, match="yet now missing:\n- age"):
        encoding.encode(adult[names[1:]])
    with pytest.raises(ValueError, match=r"shape \(4, 4\), but 5 columns"):
        encoding.encode(np.ones((4, 4)))
    with pytest.raises(ValueError, match="must be in the same order"):
        encoding.fill(adult[names[::-1]], np.ones((4, 5)))
    with pytest.raises(ValueError, match=r"U must have 5 columns.*\(4, 2\)"):
        encoding.decode(np.ones((4, 2)))


EMPTY = {
    "no rows": pd.DataFrame({"a": []}),
    "no columns": pd.DataFrame(index=[0, 1]),
    "neither": pl.DataFrame(),
    "array": np.ones((0, 2)),
}


@pytest.mark.parametrize("X", EMPTY.values(), ids=EMPTY)
def test_an_empty_table_is_refused(X):
    with pytest.raises(ValueError, match=r"shape.*\(\d, \d\)"):
        TableEncoding.fit(X)


def test_other_tables_are_refused():
    with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
        TableEncoding.fit(np.ones(3))
    with pytest.raises(ValueError, match="more than one is 'a'"):
        TableEncoding.fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(ValueError, match=r"sparse matrix.*X\.toarray"):
        TableEncoding.fit(sparse.eye_array(3).tocsr(), [0])


def test_unknown_columns_in_categorical_features_are_refused_as_in_gradient_boosting(adult):
    with pytest.raises(ValueError, match="'job' which is not a valid feature name"):
        TableEncoding.fit(adult, ["job"])
    with pytest.raises(ValueError, match=r"must be in \[0, n_features - 1\]"):
        TableEncoding.fit(adult, [5])
    with pytest.raises(ValueError, match=r"must have shape \(n_features,\)"):
        TableEncoding.fit(adult, [True])
    with pytest.raises(ValueError, match="without feature names"):
        TableEncoding.fit(np.ones((2, 2)), ["a"])


def test_neither_pandas_nor_polars_is_imported_for_arrays():
    # In a fresh interpreter, where no other test has imported them.
    code = (
        "import sys; from skvae.data.encoding import TableEncoding; loaded = set(sys.modules);"
        "e = TableEncoding.fit([[1, 2], [3, 4]], [0]); e.decode(e.encode([[3, 4]]));"
        "assert not {'pandas', 'polars'} & (set(sys.modules) - loaded)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_warning_of_pandas_or_polars_is_caused(adult):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoding, U, _ = encode_store_decode(adult)
        encoding.fill(adult, np.ones_like(U))
