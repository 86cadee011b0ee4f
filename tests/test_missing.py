"""Missing values are found and converted, whatever holds the table."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from skvae.data.missing import IncompleteRows, check_has_values, has_missing, masked_as_nan

COMPLETE = np.arange(12.0).reshape(4, 3)
GAPS = np.where(COMPLETE == 7, np.nan, COMPLETE)
KINDS = {
    "float64": np.asarray,
    "float32": np.float32,
    "tensor": torch.as_tensor,
    "sparse": csr_array,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_nan_is_found_in_each_kind_of_table(kind, small_blocks):
    assert has_missing(kind(GAPS))
    assert not has_missing(kind(COMPLETE))


def test_infinities_are_not_missing():
    # Their sum is NaN too.
    assert not has_missing(np.array([[np.inf, -np.inf, 1.0]]))
    assert not has_missing(np.full((2, 3), 1e308))


def test_a_table_without_any_value_is_refused_by_its_name():
    assert not check_has_values("X", COMPLETE)
    assert check_has_values("X", GAPS)
    with pytest.raises(ValueError, match=r"All values of X_val are missing\."):
        check_has_values("X_val", np.full((2, 2), np.nan))


def test_masked_values_become_nan_and_the_dtype_stays_if_it_can():
    mask = COMPLETE == 7
    for dtype, expected in {"f4": "f4", "f8": "f8", "i8": "f8"}.items():
        out = masked_as_nan(np.ma.masked_array(COMPLETE.astype(dtype), mask))
        assert out.dtype == expected
        np.testing.assert_array_equal(out, GAPS)
    assert masked_as_nan(COMPLETE) is COMPLETE


@pytest.mark.parametrize("k", [1, 3])
def test_incomplete_rows_side_by_side_are_the_same_rows_again(k):
    given = torch.as_tensor(GAPS)
    missing, inputs = given.isnan(), torch.arange(20.0).double().reshape(4, 5)
    factor = torch.arange(4.0 * k * k).double().reshape(4, k, k)
    rows = IncompleteRows(given.nan_to_num(0.0), missing, inputs, factor)
    side_by_side = rows.side_by_side()
    assert side_by_side.shape == (4, 3 + 5 + k * k)
    again = IncompleteRows.from_side_by_side(side_by_side, 3, 5)
    for name, value in vars(rows).items():
        assert torch.equal(getattr(again, name), value)
