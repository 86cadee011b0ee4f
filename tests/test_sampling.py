"""`impute` fills missing values only, with the right means and draws, in the same table."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from missing_cases import conditional_normal, linear_table, model_moments, with_gaps
from scipy.sparse import coo_array, csr_array
from sklearn.exceptions import NotFittedError

from skvae import VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def gaps():
    X = with_gaps(linear_table())
    X[0] = np.nan
    return X


@pytest.fixture(scope="module")
def linear(gaps):
    return VAETransformer(2, max_iter=0).fit(gaps)


def test_the_means_of_a_linear_model_are_its_conditional_ones(linear, gaps):
    filled = linear.impute(gaps)
    mean, covariance = model_moments(linear)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(filled[0], mean, atol=1e-2)
    for row, found in zip(gaps[1:50], filled[1:50], strict=True):
        m = np.isnan(row)
        if m.any() and not m.all():
            expected, _ = conditional_normal(row, mean, covariance)
            # Quasi-random draws have a mean that is not exactly zero.
            np.testing.assert_allclose((found[m] - expected) / scale[m], 0, atol=0.01)


def test_draws_of_a_linear_model_have_its_conditional_moments(linear, gaps):
    mean, covariance = model_moments(linear)
    row = next(row for row in gaps[1:] if np.isnan(row).sum() == 3)
    m, n = np.isnan(row), 4000
    draws = linear.impute(np.tile(row, (n, 1)), sample=True, random_state=0)[:, m]
    expected_mean, expected = conditional_normal(row, mean, covariance)
    errors = (draws.mean(axis=0) - expected_mean) / np.sqrt(np.diag(expected) / n)
    assert np.abs(errors).max() < 4
    found = np.cov(draws.T)
    outer = np.outer(np.diag(expected), np.diag(expected))
    standard_error = np.sqrt((outer + expected**2) / n)
    assert (np.abs(found - expected) < 4 * standard_error).all()


def test_only_missing_values_change_and_the_means_repeat(linear, gaps):
    before = gaps.copy()
    filled = linear.impute(gaps)
    there = ~np.isnan(gaps)
    np.testing.assert_array_equal(filled[there], gaps[there])
    np.testing.assert_array_equal(gaps, before)
    assert not np.isnan(filled).any()
    np.testing.assert_array_equal(linear.impute(gaps), filled)
    np.testing.assert_allclose(linear.impute(gaps[7:9]), filled[7:9])
    np.testing.assert_array_equal(linear.impute(filled), filled)


def test_draws_differ_by_their_seed(linear, gaps):
    draw = [linear.impute(gaps, sample=True, random_state=seed) for seed in (0, 0, 1, None)]
    np.testing.assert_array_equal(draw[0], draw[1])
    there = ~np.isnan(gaps)
    for other in draw[2:]:
        assert (other[~there] != draw[0][~there]).all()
        np.testing.assert_array_equal(other[there], gaps[there])


def test_rows_with_a_value_far_from_all_others_are_filled_with_finite_values(linear, gaps):
    far = gaps[1:5].copy()
    far[:, 0] = 1e6
    assert np.isfinite(linear.impute(far)).all()
    assert np.isfinite(linear.impute(far, sample=True, random_state=0)).all()


# -- the same kind of table ----------------------------------------------------------------


def flags_and_counts():
    """Return a frame of several dtypes without missing values."""
    rng = np.random.RandomState(0)
    size = rng.standard_normal(100)
    return pd.DataFrame(
        {
            "count": np.rint(5 + 2 * size).astype(int),
            "flag": size > 0,
            "single": (size + rng.standard_normal(100)).astype(np.float32),
            "double": size + rng.standard_normal(100),
        },
        index=np.arange(100)[::-1],
    )


DTYPES = {"count": "Int64", "flag": "boolean", "single": "Float32", "double": "float64"}


def test_a_list_with_none_becomes_an_array_of_numbers(linear, gaps):
    rows = [[None if np.isnan(value) else value for value in row] for row in gaps[:5].tolist()]
    filled = linear.impute(rows)
    assert filled.dtype == np.float64
    np.testing.assert_array_equal(filled, linear.impute(gaps[:5]))


def test_pandas_frames_keep_index_columns_and_dtypes():
    whole = flags_and_counts().astype(DTYPES)
    frame = whole.mask(np.random.RandomState(1).random_sample(whole.shape) < 0.2)
    model = VAETransformer(1, max_iter=0).fit(frame)
    for filled in (model.impute(frame), model.impute(frame, sample=True, random_state=0)):
        assert filled.dtypes.astype(str).to_dict() == DTYPES
        pd.testing.assert_index_equal(filled.index, frame.index)
        assert not filled.isna().any().any()
        pd.testing.assert_frame_equal(filled.where(frame.notna()), frame)
    assert frame.isna().any().all()


def test_polars_frames_keep_columns_and_dtypes():
    frame = pl.from_pandas(flags_and_counts())
    holes = np.random.RandomState(1).random_sample(frame.shape) < 0.2
    frame = frame.with_columns(
        column.zip_with(pl.Series(~holes[:, j]), pl.Series([None] * 100, dtype=column.dtype))
        for j, column in enumerate(frame.iter_columns())
    )
    model = VAETransformer(1, max_iter=0).fit(frame)
    filled = model.impute(frame)
    assert filled.schema == frame.schema
    assert sum(filled.null_count().row(0)) == 0
    for j, name in enumerate(frame.columns):
        kept = pl.Series(~holes[:, j])
        assert filled[name].filter(kept).equals(frame[name].filter(kept))


@pytest.mark.parametrize("kind", [csr_array, coo_array])
def test_sparse_matrices_stay_sparse(kind, linear, gaps):
    X = kind(gaps)
    filled = linear.impute(X)
    assert filled.format == X.format
    np.testing.assert_allclose(filled.toarray(), linear.impute(gaps))


def test_arrays_keep_their_dtype_and_masks(linear, gaps):
    assert linear.impute(gaps.astype(np.float32)).dtype == np.float32
    filled = linear.impute(np.ma.masked_invalid(gaps))
    assert isinstance(filled, np.ma.MaskedArray)
    assert not np.ma.is_masked(filled)
    np.testing.assert_allclose(filled, linear.impute(gaps))
    # Integers cannot be missing.
    whole = np.arange(12).reshape(2, 6)
    np.testing.assert_array_equal(linear.impute(whole), whole)
    assert linear.impute(whole).dtype == whole.dtype


def test_masked_integers_and_booleans_are_rounded_within_their_range():
    rng = np.random.RandomState(0)
    size = rng.standard_normal(200)
    whole = np.column_stack([200 + 40 * size, 20 * size + 100]).clip(0, 255).astype(np.uint8)
    mask = rng.random_sample(whole.shape) < 0.2
    X = np.ma.masked_array(whole, mask)
    model = VAETransformer(1, max_iter=0).fit(X)
    for filled in (model.impute(X), model.impute(X, sample=True, random_state=0)):
        assert filled.dtype == np.uint8
        # A value of 260 would be 4 without clipping.
        assert np.corrcoef(filled[mask[:, 0], 0], whole[mask[:, 0], 0])[0, 1] > 0.5
    flags = np.ma.masked_array(whole > 250, mask)
    rare = VAETransformer(1, max_iter=0).fit(flags).impute(flags)
    assert np.asarray(rare)[mask].mean() < 0.5


def test_an_unfitted_model_and_other_columns_are_refused(linear, gaps):
    with pytest.raises(NotFittedError):
        VAETransformer().impute(gaps)
    with pytest.raises(ValueError, match="X has 5 features"):
        linear.impute(gaps[:, :5])
