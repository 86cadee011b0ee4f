"""Units of the data and of the model as torch modules."""

import numpy as np
import pytest
import torch
from marginal_cases import COLUMNS

from skvae.data.column_map import ColumnMap
from skvae.data.marginals import NormalScores
from skvae.data.unit_modules import Pieces, straight_pieces
from skvae.data.units import Units


def float32(x):
    return np.asarray(x, dtype=np.float32).reshape(-1, 1)


def maps_of(column):
    units = NormalScores.of_rows(column[:, None])
    return units, *units.modules()


def points(column):
    """Values of a column, points between them and beyond its ends."""
    values = np.unique(column)
    far = values[[0, -1]] + [-3.0, 5.0] * np.array(max(column.std(), 1.0))
    return float32([*values, *values[:-1] + np.diff(values) / 3, *far, 0.0, np.nan])


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("name", COLUMNS)
def test_values_are_mapped_to_their_scores(name, offset):
    units, to_scores, _ = maps_of(COLUMNS[name] + offset)
    x = points(COLUMNS[name]) + np.float32(offset)
    expected = units.to_model(x)
    actual = to_scores(torch.tensor(x)).numpy()
    # Beside a tied value, closer to it than a float32 can tell, it may be taken for that.
    column_map = units.maps[0]
    gap = np.abs(x - column_map.tied).min(axis=1, initial=np.inf)
    gap /= np.abs(x[:, 0]) + np.finfo(np.float32).tiny
    told = (gap < 1e-7) | (gap > 1e-6) | np.isnan(x[:, 0])
    assert told.mean() > 0.9
    np.testing.assert_allclose(actual[told], expected[told], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", COLUMNS)
def test_means_are_in_the_units_of_the_data_and_rounded(name):
    units, _, to_data = maps_of(COLUMNS[name])
    means = points(COLUMNS[name])
    actual, expected = to_data(torch.tensor(means)).numpy(), units.means_to_data(means)
    np.testing.assert_array_equal(actual, expected)


def test_columns_without_a_map_are_centred_and_scaled_beside_the_others():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((200, 4)) * [1, 2, 3, 4] + 5
    units = NormalScores.joined(
        [
            ([0, 2], NormalScores.of_rows(X[:, [0, 2]])),
            ([1, 3], Units.standardizing(X[:, 1::2])),
        ],
        4,
    )
    to_model, to_data = units.modules()
    x = torch.tensor(X, dtype=torch.float32)
    u = to_model(x)
    np.testing.assert_allclose(u, units.to_model(x.numpy()), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(to_data(u), units.means_to_data(u.numpy()), rtol=1e-5)


def test_an_offset_is_subtracted_before_digits_are_lost():
    loc = np.array([123456.789])
    to_model, _ = Units(loc, np.array([0.01]), np.zeros(1, dtype=bool)).modules()
    x = torch.tensor([[123456.789]], dtype=torch.float64)
    assert abs(to_model(x).item()) < 1e-6
    # As exact as a row in float32 can be.
    exact = (x.float().double() - 123456.789) / 0.01
    assert to_model(x.float()).item() == pytest.approx(exact.item(), rel=1e-6)


@pytest.mark.parametrize("n_ends", [1, 2, 3, 4, 7, 8, 100])
def test_each_piece_of_a_line_is_found(n_ends):
    ends = np.sort(np.random.RandomState(0).standard_normal(n_ends))
    heights = np.random.RandomState(1).standard_normal(n_ends + 1)

    def step(x):
        return heights[np.searchsorted(ends, x, side="right")]

    pieces = Pieces([straight_pieces(step, ends, 1.0)] * 2)
    x = np.concatenate([ends, ends - 1e-3, [-10, 10]]).astype(np.float32)
    actual = pieces(torch.tensor(np.c_[x, x])).numpy()
    expected = heights[np.searchsorted(ends.astype(np.float32), x, side="right")]
    np.testing.assert_allclose(actual, np.c_[expected, expected], rtol=1e-6)


def test_a_column_near_zero_has_no_offset():
    assert ColumnMap.of_values(np.arange(10.0)).offset == 0.0
    assert ColumnMap.of_values(np.arange(100.0, 110.0)).offset == 100.0
    assert ColumnMap.of_values(-np.arange(100.0, 110.0)).offset == -109.0
