"""Rows from arrays, files and sparse matrices, read and mapped block by block."""

import numpy as np
import pytest
import torch
from row_cases import FORMS, each_form, read_only, table
from scipy import sparse

from skvae.data import rows as rows_module
from skvae.data.rows import (
    StreamedRows,
    Subset,
    apply_in_blocks,
    batches,
    blocks,
    extremes,
    indexed_from,
    open_rows,
    row_slices,
)
from skvae.data.units import Units

CPU = torch.device("cpu")


# -- what is copied --------------------------------------------------------------------


@pytest.mark.parametrize("units", [Units.identity(5), Units.standardizing(table())])
@each_form
def test_a_form_is_read_as_it_is_needed_and_gives_its_rows(form, units, tmp_path, copy_nothing):
    X = table()
    copy_nothing()
    rows = open_rows(form(X, tmp_path), units, CPU)
    shares = form is FORMS["array"] and units.is_identity
    assert isinstance(rows, torch.Tensor if shares else StreamedRows)
    expected = torch.from_numpy(units.to_model(X, np.float32))
    assert (len(rows), rows.shape[1], rows.numel()) == (60, 5, 300)
    for index in (
        slice(3, 9),
        slice(None, None, 7),
        torch.tensor([5, 0, 5]),
        torch.tensor([[1, 2], [3, 4]]),
    ):
        assert torch.equal(rows[index], expected[index])
        assert rows[index].dtype == torch.float32


COPIED = {
    "float64": lambda X: X.astype(np.float64),
    "columns contiguous": np.asfortranarray,
    "backwards": lambda X: np.ascontiguousarray(X[:, ::-1])[:, ::-1],
}


@pytest.mark.parametrize("form", COPIED.values(), ids=COPIED)
def test_what_must_be_converted_is_copied_once(form, copy_nothing):
    copy_nothing()
    units = Units.standardizing(table())
    rows = open_rows(form(table()), units, CPU)
    assert isinstance(rows, torch.Tensor)
    np.testing.assert_array_equal(rows, units.to_model(table(), np.float32))


def test_small_rows_are_copied_to_save_time():
    rows = open_rows(sparse.csr_array(table()), Units.identity(5), CPU)
    np.testing.assert_array_equal(rows, table())


def test_a_float32_array_in_its_own_units_is_the_tensor():
    X = table()
    assert np.shares_memory(open_rows(X, Units.identity(5), CPU).numpy(), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_outside_the_support_is_clipped_as_rows_are_read(dtype, copy_nothing):
    X = np.array([[0.0, 1 + 3e-7], [-2e-7, 0.5]], dtype)
    before = X.copy()
    for _ in range(2):
        rows = open_rows(X, Units.identity(2), CPU, support=(0.0, 1.0))
        np.testing.assert_array_equal(rows[:2], np.clip(X, 0, 1))
        copy_nothing()
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("rows", [torch.arange(12.0).reshape(6, 2), None])
def test_a_subset_is_the_rows_of_its_indices(rows):
    whole = torch.arange(12.0).reshape(6, 2)
    source = StreamedRows(whole.numpy(), Units.identity(2), CPU, (-np.inf, np.inf))
    some = Subset(source if rows is None else rows, torch.tensor([4, 0, 3]))
    assert (len(some), some.shape, some.numel(), some.device) == (3, (3, 2), 6, CPU)
    assert torch.equal(some[slice(0, 2)], whole[[4, 0]])
    assert torch.equal(some[torch.tensor([2, 2])], whole[[3, 3]])


def test_indices_belong_where_the_rows_are_read():
    kept = torch.empty(5, 2, device="meta")
    streamed = StreamedRows(table(), Units.identity(2), torch.device("cuda"), (-np.inf, np.inf))
    for rows, device in ((kept, "meta"), (streamed, "cpu")):
        some = Subset(rows, torch.arange(3))
        assert indexed_from(rows) == indexed_from(some) == some.indices.device
        assert indexed_from(some) == torch.device(device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fits", [True, False])
def test_on_a_device_rows_are_kept_where_they_fit(fits, monkeypatch):
    free = 2**40 if fits else 0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**40))
    units = Units.standardizing(table())
    rows = open_rows(table(), units, torch.device("cuda"))
    assert isinstance(rows, torch.Tensor if fits else StreamedRows)
    batch = rows[torch.tensor([7, 3]).to(indexed_from(rows))]
    assert batch.device.type == "cuda"
    np.testing.assert_array_equal(batch.cpu(), units.to_model(table(), np.float32)[[7, 3]])


# -- a function applied to blocks ------------------------------------------------------


def double(x):
    return 2 * x


@pytest.mark.parametrize("n", [1, 19, 20, 21])
@pytest.mark.parametrize("width", [0, 1, 5, 10**9])
def test_results_join_to_the_whole(n, width, small_blocks):
    X = table(n)
    np.testing.assert_array_equal(apply_in_blocks(double, X, width=width, device=CPU), 2 * X)


def test_no_block_is_wider_than_its_share(small_blocks):
    seen = []
    apply_in_blocks(lambda x: seen.append(len(x)) or x, table(7), width=33, device="cpu")
    assert seen == [3, 3, 1]


LAYOUTS = {
    "sparse": sparse.csr_array,
    "read-only": lambda X: read_only(X, None),
    "fortran": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "columns of a wider array": lambda X: np.c_[X, X][:, : X.shape[1]],
    "broadcast": lambda X: np.broadcast_to(X[:1], X.shape),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("units", [None, Units.identity(5), Units.standardizing(table())])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_is_mapped_into_units_and_keeps_its_dtype(
    layout, units, dtype, small_blocks
):
    X = layout(table().astype(dtype))
    rows = X.toarray() if sparse.issparse(X) else X.copy()
    expected = rows if units is None else units.to_model(rows)
    actual = apply_in_blocks(double, X, width=5, device="cpu", units=units)
    assert actual.dtype == dtype
    np.testing.assert_array_equal(actual, 2 * expected)
    np.testing.assert_array_equal(X.toarray() if sparse.issparse(X) else X, rows)


def test_units_are_subtracted_before_rows_are_rounded():
    X = np.float32(1e6) + np.arange(8, dtype=np.float32)[:, None]
    units = Units(np.array([1e6 + 1 / 3]), np.ones(1), np.zeros(1, bool))
    out = apply_in_blocks(double, X, width=1, device="cpu", units=units)
    np.testing.assert_array_equal(out, np.float32(2 * (X.astype(float) - units.loc)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_gets_rows_in_model_units():
    units = Units.standardizing(table())
    out = apply_in_blocks(double, table(), width=5, device="cuda", units=units)
    np.testing.assert_array_equal(out, 2 * units.to_model(table()))


def test_no_gradients_are_recorded():
    weight = torch.ones(5, requires_grad=True)
    out = apply_in_blocks(lambda x: x * weight, table(), width=5, device="cpu")
    assert isinstance(out, np.ndarray)


# -- blocks ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.array, sparse.csr_array, torch.from_numpy])
@pytest.mark.parametrize("most", [None, 1, 7])
def test_blocks_join_to_the_whole(form, most, small_blocks):
    parts = list(blocks(form(table()), most))
    assert max(len(part) for part in parts) == min(20, most or 20)
    np.testing.assert_array_equal(np.concatenate(parts), table())


@pytest.mark.parametrize("shape", [(3, 0), (3, 10**9)])
def test_a_block_holds_at_least_one_row(shape):
    assert sum(part.stop - part.start for part in row_slices(shape)) == 3


def test_a_batch_holds_a_number_of_elements_but_never_few_rows(monkeypatch):
    monkeypatch.setattr(rows_module, "BATCH_ROWS", 7)
    monkeypatch.setattr(rows_module, "BATCH_ELEMENTS", 100)
    for n_features, size in ((5, 20), (50, 7)):
        starts = [part.start for part in batches((60, n_features))]
        assert starts == list(range(0, 60, size))


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
def test_extremes_count_what_is_not_stored(form, small_blocks):
    X = np.abs(table()) + 1
    X[0, 0] = X[59, 1] = 0
    np.testing.assert_array_equal(extremes(form(X)), [X.min(axis=0), X.max(axis=0)])


def test_units_of_sparse_rows_are_those_of_dense_ones(small_blocks):
    X = table()
    X[:, 2], X[:, 3] = 0, 7
    for dtype in (np.float32, np.float64):
        dense, thin = (
            Units.standardizing(f(X.astype(dtype))) for f in (np.array, sparse.csr_array)
        )
        for name, value in vars(dense).items():
            np.testing.assert_array_equal(getattr(thin, name), value)
        assert thin.constant.tolist() == [False, False, True, True, False]
