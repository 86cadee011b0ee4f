"""Methods of a fitted estimator, mapped over chunks: lazy, with the right meta."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

pytest.importorskip("distributed")

import dask
import dask.array as da
import dask.dataframe as dd

from skvae import AutoencoderTransformer, VAETransformer
from skvae.dask import impute, inverse_transform, score_samples, transform

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def _in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module", params=[VAETransformer, AutoencoderTransformer])
def fitted(request, quick, iris):
    return quick(request.param).fit(iris)


@pytest.fixture(scope="module")
def table():
    rng = np.random.RandomState(0)
    flags = rng.random_sample(120) > 0.5
    return pd.DataFrame(
        {
            "size": rng.standard_normal(120),
            "kind": pd.Categorical(np.where(flags, "a", "b")),
            "new": flags,
        },
        index=np.arange(7, 127),
    )


@pytest.fixture(scope="module")
def of_table(quick, table):
    return quick().fit(table)


def check(lazy, expected, **tolerance):
    """Compare what Dask has said beforehand, and the values, with those of the estimator."""
    values = lazy.compute()
    assert lazy.dtype == values.dtype == expected.dtype
    assert lazy.shape[1:] == expected.shape[1:]
    assert_allclose(values, expected, **tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("chunks", [(60, 4), (50, 3), (150, 4)])
def test_results_of_arrays(fitted, iris, dtype, chunks):
    rows = iris.astype(dtype)
    X = da.from_array(rows, chunks=chunks)
    codes = transform(fitted, X)
    assert codes.chunks == (X.chunks[0], (2,))
    near = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-10}
    check(codes, fitted.transform(rows), **near)
    scores = score_samples(fitted, X)
    assert scores.chunks == X.chunks[:1]
    check(scores, fitted.score_samples(rows), **near)
    check(inverse_transform(fitted, codes), fitted.inverse_transform(codes.compute()), **near)


def test_rows_of_unknown_number_and_empty_chunks(fitted, iris):
    X = da.from_array(iris, chunks=(50, 4))
    X = X[X[:, 0] > 5.8]
    expected = fitted.transform(iris[iris[:, 0] > 5.8])
    check(transform(fitted, X), expected, rtol=1e-10)
    empty = da.concatenate([da.from_array(iris), da.zeros((0, 4))])
    check(transform(fitted, empty), fitted.transform(iris), rtol=1e-10)


def test_options_are_passed(quick, iris):
    model = quick().fit(iris)
    scores = score_samples(model, da.from_array(iris), n_samples=1)
    assert_allclose(scores.compute(), model.score_samples(iris, n_samples=1))


def test_missing_values_are_filled_lazily(quick, iris):
    rows = iris.copy()
    rows[::3, 1] = np.nan
    model = quick().fit(rows)
    X = da.from_array(rows, chunks=(75, 4))
    filled = impute(model, X)
    assert filled.chunks == X.chunks
    check(filled, model.impute(rows), rtol=1e-10)


def test_draws_repeat_and_differ_between_chunks(quick, iris):
    rows = np.tile(iris[:10], (2, 1))
    rows[:, 1] = np.nan
    model = quick().fit(iris)
    X = da.from_array(rows, chunks=(10, 4))
    drawn = impute(model, X, sample=True, random_state=0)
    again = impute(model, X, sample=True, random_state=0)
    assert_array_equal(drawn, again)
    assert not np.any(drawn[:10, 1].compute() == drawn[10:, 1].compute())


def test_dataframes(of_table, table):
    X = dd.from_pandas(table, npartitions=3)
    codes = transform(of_table, X)
    check(codes, of_table.transform(table), rtol=1e-10)
    check(score_samples(of_table, X), of_table.score_samples(table), rtol=1e-10)
    decoded = inverse_transform(of_table, codes)
    expected = of_table.inverse_transform(of_table.transform(table))
    pd.testing.assert_frame_equal(decoded._meta, expected[:0], check_index_type=False)
    pd.testing.assert_frame_equal(decoded.compute().reset_index(drop=True), expected)


def test_dataframes_of_codes(of_table, table):
    X = dd.from_pandas(table, npartitions=3)
    of_table.set_output(transform="pandas")
    try:
        codes, expected = transform(of_table, X), of_table.transform(table)
    finally:
        of_table.set_output(transform="default")
    pd.testing.assert_frame_equal(codes._meta, expected[:0])


def test_a_dataframe_keeps_its_columns_when_filled(of_table, table):
    gaps = table.copy()
    gaps.loc[10:30, "kind"] = None
    gaps.loc[20:60, "size"] = np.nan
    X = dd.from_pandas(gaps, npartitions=3)
    filled = impute(of_table, X)
    assert filled.dtypes.tolist() == gaps.dtypes.tolist()
    pd.testing.assert_frame_equal(filled.compute(), of_table.impute(gaps))
    drawn = impute(of_table, X, sample=True, random_state=0).compute()
    assert not drawn.isna().any(axis=None)


def test_errors_come_before_any_computation(fitted):
    def never(rows):
        raise AssertionError

    X = da.ones((4, 3)).map_blocks(never, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(ValueError, match="X has 3 features"):
        transform(fitted, X)
    with pytest.raises(ValueError, match="Z has 3 columns"):
        inverse_transform(fitted, X)
    with pytest.raises(NotFittedError):
        transform(VAETransformer(), X)
    with pytest.raises(TypeError, match=r"dask\.array\.from_array"):
        transform(fitted, np.ones((2, 4)))
