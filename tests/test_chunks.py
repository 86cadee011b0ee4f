"""Rows in several arrays are read as those of one."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse

from skvae import VAETransformer
from skvae.data.chunks import Chunks, map_parts, parts_of
from skvae.data.rows import StreamedRows, blocks, extremes, open_rows
from skvae.data.units import Units

X = np.random.RandomState(0).standard_normal((11, 3))
PARTS = [X[:4], X[4:5], X[5:11]]
KEYS = [
    slice(None),
    slice(2, 4),
    slice(4, 11),
    slice(3, 6),
    slice(1, None, 3),
    slice(10, 11),
    slice(7, 99),
    slice(3, 3),
    np.array([9, 0, 4, 4, 3]),
    np.array([], dtype=int),
    (slice(None), [2, 0]),
    (slice(None), slice(1, 3)),
]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_rows_are_those_of_one_array(kind, key):
    rows = Chunks([kind(part) for part in PARTS])[key]
    assert_array_equal(rows[:] if isinstance(rows, Chunks) else rows, X[key])


def test_rows_of_one_part_are_a_view():
    assert np.shares_memory(Chunks(PARTS)[6:9], X)


def test_statistics_are_those_of_one_array(small_blocks):
    chunks = Chunks(PARTS)
    assert (chunks.shape, len(chunks), chunks.dtype) == (X.shape, 11, X.dtype)
    assert_array_equal(chunks.sum(axis=0, dtype=np.float64), X.sum(axis=0))
    assert_array_equal(extremes(chunks), extremes(X))
    assert_array_equal(np.concatenate(list(blocks(chunks))), X)


def test_parts_of_several_dtypes_are_read_in_the_widest():
    chunks = Chunks([X[:4].astype(np.float32), X[4:]])
    assert chunks.dtype == chunks[np.array([0, 5])].dtype == np.float64


def test_large_rows_are_read_from_their_parts(copy_nothing):
    copy_nothing()
    rows = open_rows(Chunks(PARTS), Units.standardizing(X), torch.device("cpu"))
    assert isinstance(rows, StreamedRows)
    index = torch.tensor([[9, 0], [4, 3]])
    expected = Units.standardizing(X).to_model(X, np.float32)
    assert_array_equal(rows[index], expected[index])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_gives_the_same_as_of_one_array(digits, quick):
    parts = [digits[:300], digits[300:310], digits[310:800]]
    model, expected = quick().fit(Chunks(parts)), quick().fit(digits[:800])
    np.testing.assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-5)


def test_tables_are_parts_of_themselves():
    assert parts_of(X)[0] is X
    assert parts_of(Chunks(PARTS)) == PARTS
    assert_array_equal(map_parts(np.negative, X), -X)
    assert_array_equal(map_parts(np.negative, Chunks(PARTS))[:], -X)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_categories_are_those_of_all_parts(quick):
    values = np.random.RandomState(0).standard_normal((3, 40))
    parts = [
        pd.DataFrame({"x": x, "y": pd.Categorical(np.where(x > 0, *names))})
        for x, names in zip(values, [("a", "b"), ("c", "b"), ("a", "d")], strict=True)
    ]
    model = quick().fit(Chunks(parts))
    decoded = model.inverse_transform(model.transform(parts[1]))
    assert decoded["y"].cat.categories.tolist() == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([X, X[:, :2]], "X has 2 features"),
        ([X, np.full((2, 3), np.inf)], "contains infinity"),
        ([X[:1]], "at least 2"),
    ],
)
def test_errors_are_those_of_the_chunk(parts, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer().fit(Chunks(parts))
