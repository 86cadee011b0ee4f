"""The importance weights behind the imputation."""

import torch

from skvae.data.missing import IncompleteRows
from skvae.estimators.imputation import _truncated


def test_no_single_draw_decides_alone():
    weights = torch.ones(100, 2, dtype=torch.float64)
    weights[3, 0] = 101.0
    found = _truncated(weights.log()).exp()
    # At most the root of their number times their mean.
    weights[3, 0] = 10 * 2
    torch.testing.assert_close(found, weights)


def test_equal_weights_stay_equal_whatever_their_size():
    for shift in (-1e4, 0.0, 1e4):
        weights = _truncated(torch.full((64, 3), shift)).softmax(0)
        torch.testing.assert_close(weights, torch.full((64, 3), 1 / 64))


def test_rows_are_filled_where_they_have_no_value():
    missing = torch.tensor([[True, False]])
    x = IncompleteRows(torch.tensor([[0.0, 2.0]]), missing, None, None)
    assert x.fill(torch.tensor([[5.0, 6.0]])).tolist() == [[5.0, 2.0]]
