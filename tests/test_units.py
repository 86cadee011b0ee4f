"""The affine map into model units: exact at any offset, honest about the density."""

import numpy as np
import pytest
from scipy.stats import norm

from skvae.data import rows as rows_module
from skvae.data.units import Units

EPS64, EPS32 = np.finfo(np.float64).eps, np.finfo(np.float32).eps
shared_or_not = pytest.mark.parametrize("shared", [False, True])


def table(n=200, offset=0.0, dtype=np.float64):
    """Three columns of scales 1e-3, 1 and 1e4 around an offset."""
    rng = np.random.RandomState(0)
    return (offset + rng.standard_normal((n, 3)) * [1e-3, 1.0, 1e4]).astype(dtype)


def test_standardizing_gives_mean_zero_and_variance_one():
    X = table(offset=7.0)
    U = Units.standardizing(X).to_model(X)
    # Offsets are 7e3 standard deviations away: that many eps are lost.
    np.testing.assert_allclose(U.mean(axis=0), 0, atol=1e4 * EPS64)
    np.testing.assert_allclose(U.var(axis=0), 1, rtol=1e4 * EPS64)


def test_a_shared_scale_is_one_number_and_pools_the_variance():
    X = table(offset=7.0)
    units = Units.standardizing(X, shared=True)
    assert len(set(units.scale)) == 1
    np.testing.assert_allclose(units.to_model(X).var(axis=0).mean(), 1, rtol=1e-12)


@shared_or_not
@pytest.mark.parametrize("offset", [0.0, 1e3, -1e8])
def test_to_data_undoes_to_model(shared, offset):
    X = table(offset=offset)
    units = Units.standardizing(X, shared)
    # Three operations, each rounded relative to the largest number in it.
    size = np.abs(X).max() + np.abs(units.loc).max()
    assert np.abs(units.to_data(units.to_model(X)) - X).max() <= 4 * EPS64 * size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_directions_keep_the_dtype(dtype):
    X = table(dtype=dtype)
    units = Units.standardizing(X)
    U = units.to_model(X)
    assert U.dtype == dtype
    assert units.to_data(U).dtype == dtype


def test_to_model_gives_the_dtype_asked_for():
    X = table()
    assert Units.standardizing(X).to_model(X, np.float32).dtype == np.float32


@pytest.mark.parametrize("offset", [1e4, 1e6])
def test_float32_rows_at_a_large_offset_lose_nothing_more(offset):
    X = table(offset=offset, dtype=np.float32)[:, 1:]
    units = Units.standardizing(X)
    exact = (X.astype(np.float64) - units.loc) / units.scale
    np.testing.assert_allclose(units.to_model(X), exact, rtol=EPS32)


@shared_or_not
def test_log_jacobian_turns_the_density_into_that_of_the_data(shared):
    X = table(offset=3.0)
    units = Units.standardizing(X, shared)
    inside = norm.logpdf(units.to_model(X)).sum(axis=1) + units.log_jacobian
    outside = norm.logpdf(X, units.loc, units.scale).sum(axis=1)
    np.testing.assert_allclose(inside, outside, rtol=1e-12)


def test_identity_copies_nothing_and_changes_no_density():
    X = table()
    units = Units.identity(3)
    assert units.is_identity
    assert units.log_jacobian == 0
    assert np.shares_memory(units.to_model(X), X)
    assert np.shares_memory(units.to_data(X), X)


def test_identity_still_converts_the_dtype():
    assert Units.identity(3).to_model(table(), np.float32).dtype == np.float32


def test_standardizing_is_no_identity():
    assert not Units.standardizing(table()).is_identity


@shared_or_not
def test_rows_are_left_as_they_were(shared):
    X = table()
    before = X.copy()
    units = Units.standardizing(X, shared)
    units.to_data(units.to_model(X))
    np.testing.assert_array_equal(X, before)


def test_blocks_of_rows_give_the_bits_of_one_block(monkeypatch):
    X = table()
    whole = Units.standardizing(X).to_model(X)
    monkeypatch.setattr(rows_module, "BLOCK_ELEMENTS", 7)
    units = Units.standardizing(X)
    # The variance is summed in another order, the map itself is element by element.
    np.testing.assert_allclose(units.to_model(X), whole, rtol=1e-12)


def test_a_constant_feature_is_marked_and_keeps_its_scale():
    X = np.c_[table(), np.full(200, 5.0)]
    units = Units.standardizing(X)
    assert units.constant.tolist() == [False, False, False, True]
    assert units.scale[3] == 1


def test_a_feature_that_differs_by_rounding_only_is_constant():
    X = np.array([[0.1 + 0.2], [0.3]] * 50)
    assert Units.standardizing(X).constant.all()


def test_a_feature_that_hardly_varies_is_not_constant():
    X = np.random.RandomState(0).standard_normal((100, 1)) * 1e-30
    units = Units.standardizing(X)
    assert not units.constant.any()
    np.testing.assert_allclose(units.to_model(X).var(), 1, rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6 / 3, 1.7e9 + 1 / 3, 1e12 / 3])
@pytest.mark.parametrize("n", [3, 1000])
def test_a_constant_feature_is_zero_in_model_units_whatever_its_value(value, n):
    # Its density is a spike of width 1e-6: a mean that is off by its rounding alone
    # (1.7e9 is a date in seconds) would put every training row outside the spike.
    X = np.c_[np.full(n, value), np.arange(n)]
    units = Units.standardizing(X)
    assert units.constant[0]
    assert np.abs(units.to_model(X)[:, 0]).max() <= 1e-7


@shared_or_not
def test_constant_data_keep_the_scale_one(shared):
    units = Units.standardizing(np.full((10, 3), 4.0), shared)
    assert units.scale.tolist() == [1, 1, 1]
    assert units.constant.all()


def test_float32_data_whose_squares_overflow_float32_are_no_problem():
    X = table(dtype=np.float32) * np.float32(1e25)
    np.testing.assert_allclose(Units.standardizing(X).to_model(X).std(axis=0), 1, rtol=1e-5)


OVERFLOWS = {
    "variance": np.array([[1e200], [-1e200]] * 8),
    "sum": np.linspace(1e308, 1.5e308, 16)[:, None],
}


@shared_or_not
@pytest.mark.parametrize("case", OVERFLOWS)
def test_an_overflow_names_the_feature_and_warns_of_nothing(case, shared):
    X = np.c_[np.arange(16.0), OVERFLOWS[case]]
    with pytest.raises(ValueError, match="feature 1 of X are too large"):
        Units.standardizing(X, shared)


@shared_or_not
def test_a_sum_that_overflows_to_both_sides_is_refused_without_a_warning(shared):
    # NumPy sums a lone column pairwise: infinities of both signs meet and give NaN.
    X = np.tile([1.5e308, -1.5e308, 0, 0, 0, 0, 0, 0], 2)[:, None]
    with pytest.raises(ValueError, match="feature 0 of X are too large"):
        Units.standardizing(X, shared)


def test_a_pooled_variance_that_overflows_is_refused_too():
    # Each variance is 8.1e307, their sum over four features is beyond float64.
    X = np.array([[0.9e154], [-0.9e154]]) * np.ones(4)
    with pytest.raises(ValueError, match="too large"):
        Units.standardizing(X, shared=True)


def test_provisional_units_give_a_constant_feature_the_mean_scale_of_the_others():
    X = np.c_[table()[:, :2] * [1e3, 3.0], np.full(200, 5.0)]
    units = Units.standardizing(X)
    provisional = units.provisional()
    assert not provisional.constant.any()
    np.testing.assert_array_equal(provisional.scale[:2], units.scale[:2])
    assert provisional.scale[2] == units.scale[:2].mean()
    np.testing.assert_array_equal(provisional.loc, units.loc)


def test_provisional_units_of_constant_data_only_drop_the_mark():
    units = Units.standardizing(np.full((10, 2), 4.0)).provisional()
    assert not units.constant.any()
    assert units.scale.tolist() == [1, 1]


def test_provisional_changes_nothing_where_all_features_vary():
    units = Units.standardizing(table())
    np.testing.assert_array_equal(units.provisional().scale, units.scale)


@shared_or_not
def test_arrays_give_the_same_units_again(shared):
    units = Units.standardizing(np.c_[table(), np.full(200, 5.0)], shared)
    arrays = units.to_arrays()
    again = Units.from_arrays(arrays)
    assert list(arrays) == ["loc", "scale", "constant"]
    assert again.n_features == units.n_features == 4
    for name, value in arrays.items():
        assert getattr(again, name).dtype == value.dtype
        np.testing.assert_array_equal(getattr(again, name), value)


BROKEN = {
    "a table": {"loc": np.zeros((2, 1))},
    "shorter": {"loc": np.zeros(1)},
    "all of a scalar": dict.fromkeys(("loc", "scale"), np.ones(())),
    "not finite": {"loc": np.array([0, np.nan])},
    "infinite": {"scale": np.array([1, np.inf])},
    "zero": {"scale": np.array([0.0, 1.0])},
    "negative": {"scale": np.array([1.0, -1.0])},
    "strings": {"loc": np.array(["a", "b"])},
    "objects": {"scale": np.array([{}, {}])},
    "numbers for flags": {"constant": np.zeros(2)},
    "missing": {"scale": None},
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_arrays_that_are_no_units_are_refused(broken):
    arrays = Units.identity(2).to_arrays() | broken
    with pytest.raises(ValueError, match="Units need 1-D arrays of one length"):
        Units.from_arrays(arrays)
