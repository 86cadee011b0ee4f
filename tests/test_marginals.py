"""Units in which each column is normal: exact, for rows of every kind, and checked."""

import numpy as np
import pytest
import torch
from marginal_cases import TABLE
from scipy import sparse

from skvae.data import marginals as marginals_module
from skvae.data.marginals import NormalScores, units_from_arrays
from skvae.data.rows import StreamedRows
from skvae.data.units import Units
from skvae.likelihoods import Gaussian


def test_each_column_has_its_own_map():
    units = NormalScores.of_rows(TABLE)
    U = units.to_model(TABLE)
    for j, one in enumerate(units.maps):
        np.testing.assert_array_equal(U[:, j], one.to_scores(TABLE[:, j]))
    np.testing.assert_allclose(units.to_data(U), TABLE, rtol=1e-9, atol=1e-9)
    total = sum(one.log_jacobian(TABLE[:, j]) for j, one in enumerate(units.maps))
    np.testing.assert_array_equal(units.log_jacobian_of(TABLE), total)


def test_dtypes_and_the_given_arrays_are_kept():
    units = NormalScores.of_rows(TABLE)
    single = TABLE.astype(np.float32)
    before = single.copy()
    assert units.to_model(single).dtype == np.float32
    assert units.to_model(TABLE, np.float32).dtype == np.float32
    U = units.to_model(single)
    assert units.to_data(U).dtype == np.float32
    np.testing.assert_array_equal(single, before)


def test_blocks_and_streamed_rows_give_the_same_scores(monkeypatch):
    units = NormalScores.of_rows(TABLE)
    whole = units.to_model(TABLE, np.float32)
    streamed = StreamedRows(TABLE, units, torch.device("cpu"), (-np.inf, np.inf))
    np.testing.assert_array_equal(streamed[torch.tensor([5, 3])].numpy(), whole[[5, 3]])
    monkeypatch.setattr("skvae.data.rows.BLOCK_ELEMENTS", 1000)
    monkeypatch.setattr(marginals_module, "BLOCK_ELEMENTS", 2 * len(TABLE))
    again = NormalScores.of_rows(TABLE)
    np.testing.assert_array_equal(again.to_model(TABLE, np.float32), whole)


def test_sparse_rows_have_the_maps_of_dense_ones():
    units = NormalScores.of_rows(sparse.csr_matrix(TABLE))
    for one, same in zip(units.maps, NormalScores.of_rows(TABLE).maps, strict=True):
        np.testing.assert_array_equal(one.values, same.values)
        np.testing.assert_array_equal(one.scores, same.scores)


def test_many_rows_are_sampled(monkeypatch):
    monkeypatch.setattr(marginals_module, "_SAMPLE_ROWS", 500)
    sampled = NormalScores.of_rows(TABLE)
    again = NormalScores.of_rows(TABLE[::4])
    for one, same in zip(sampled.maps, again.maps, strict=True):
        np.testing.assert_array_equal(one.values, same.values)


def test_missing_values_are_left_out():
    X = TABLE.copy()
    X[::3] = np.nan
    kept = np.delete(TABLE, np.s_[::3], axis=0)
    units, same = NormalScores.of_rows(X), NormalScores.of_rows(kept)
    np.testing.assert_array_equal(units.to_model(kept), same.to_model(kept))
    assert np.isnan(units.to_model(X)[::3]).all()
    assert (units.log_jacobian_of(X)[::3] == 0).all()


def test_a_column_without_values_is_left_as_it_is():
    X = np.column_stack([TABLE[:, 0], np.full(len(TABLE), np.nan)])
    units = NormalScores.of_rows(X)
    assert units.maps[1] is None
    assert units.to_data(np.array([[0.0, 2.0]]))[0, 1] == 2.0
    restored = units_from_arrays(units.to_arrays())
    assert restored.maps[1] is None
    assert restored.n_features == 2


def test_columns_may_be_centred_and_scaled_beside_those_with_a_map():
    maps = (None, NormalScores.of_rows(TABLE).maps[1])
    units = NormalScores(np.array([2.0, 0]), np.array([4.0, 1]), np.array([False] * 2), maps)
    X = np.array([[6.0, 0.5], [np.nan, 0.5]])
    U = units.to_model(X)
    np.testing.assert_array_equal(U[:, 0], [1.0, np.nan])
    np.testing.assert_allclose(units.to_data(U), X)
    factor = maps[1].log_jacobian(X[:, 1])
    np.testing.assert_allclose(units.log_jacobian_of(X), factor - [np.log(4), 0])


def test_large_values_of_float64_have_scores_in_float32():
    X = np.exp(60 * np.random.RandomState(0).standard_normal((500, 1)))
    assert X.max() > np.finfo(np.float32).max
    assert np.isfinite(NormalScores.of_rows(X).to_model(X, np.float32)).all()


def test_arrays_give_the_same_units():
    units = NormalScores.of_rows(TABLE)
    restored = units_from_arrays(units.to_arrays())
    np.testing.assert_array_equal(restored.to_model(TABLE), units.to_model(TABLE))
    np.testing.assert_array_equal(restored.log_jacobian_of(TABLE), units.log_jacobian_of(TABLE))
    assert type(units_from_arrays(Units.identity(2).to_arrays())) is Units


DAMAGED = {
    "descending": ("scores", lambda a: a[::-1]),
    "infinite": ("values", lambda a: np.where(a == a.max(), np.inf, a)),
    "short": ("values", lambda a: a[1:]),
    "dtype": ("n_points", lambda a: a.astype(float)),
    "probability": ("unseen", lambda a: a + 1),
    "spread": ("spread", lambda a: -a),
    "columns": ("whole", lambda a: a[1:]),
    "sizes": ("n_points", lambda a: np.ones_like(a)),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_arrays_are_refused(case):
    name, damage = DAMAGED[case]
    arrays = NormalScores.of_rows(TABLE).to_arrays()
    with pytest.raises(ValueError, match=r"monotone line|Normal scores of"):
        units_from_arrays({**arrays, name: damage(arrays[name])})


def test_values_whose_variance_overflows_are_refused_by_column():
    X = np.column_stack([np.arange(16.0), np.tile([1e200, -1e200], 8)])
    with pytest.raises(ValueError, match="feature 1 of X are too large"):
        NormalScores.of_rows(X)


def test_without_it_the_units_are_affine():
    assert Gaussian().marginals is None
    assert type(Gaussian().units(TABLE)) is Units
