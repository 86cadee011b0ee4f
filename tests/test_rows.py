"""Rows from arrays, files and sparse matrices: the same bits, and no copy of the whole."""

import numpy as np
import pytest
import torch
from helpers import NOISES, assert_same, outputs
from likelihood_cases import each_case
from scipy import sparse
from sklearn.datasets import load_iris

from skvae import inference
from skvae import rows as rows_module
from skvae.data.rows import (
    StreamedRows,
    Subset,
    blocks,
    extremes,
    feature_moments,
    indexed_from,
    open_rows,
    spans,
)
from skvae.data.units import Units

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
CPU = torch.device("cpu")


def read_only(X, folder):
    X = X.copy()
    X.flags.writeable = False
    return X


def in_a_file(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


FORMS = {
    "array": lambda X, folder: X,
    "read-only": read_only,
    "columns of a wider array": lambda X, folder: np.hstack([X, X])[:, : X.shape[1]],
    "file": in_a_file,
    "float64 file": lambda X, folder: in_a_file(X.astype(np.float64), folder),
    "csr_array": lambda X, folder: sparse.csr_array(X),
    "csr_matrix": lambda X, folder: sparse.csr_matrix(X),
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def table(n=60, n_features=5):
    """Rows with many zeros, at offsets and scales of all sizes."""
    rng = np.random.RandomState(0)
    X = rng.standard_normal((n, n_features)) * np.logspace(-2, 2, n_features) + 3
    return np.where(rng.uniform(size=X.shape) < 0.4, 0, X).astype(np.float32)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_ELEMENTS", 100)


@pytest.fixture
def copy_nothing(monkeypatch):
    """Return a function after which even small rows are read batch by batch."""
    return lambda: monkeypatch.setattr(rows_module, "_SMALL", 0)


# -- one model, whatever holds the rows ------------------------------------------------


@pytest.mark.parametrize("form", [FORMS["array"], FORMS["csr_array"]], ids=["array", "sparse"])
@each_case
def test_every_likelihood_trains_to_the_same_bits(
    case, form, quick, small_blocks, copy_nothing
):
    X = case.rows(case.likelihood, 60, 5).astype(np.float32)
    model = quick(likelihood=case.likelihood, early_stopping=True)
    expected = outputs(model.fit(X), X[:9])
    copy_nothing()
    assert_same(outputs(model.fit(form(X, None)), X[:9]), expected)


@each_form
@pytest.mark.parametrize("mode", [True, False])
def test_every_form_trains_to_the_same_bits(
    mode, form, quick, tmp_path, small_blocks, copy_nothing
):
    X, model = table(), quick(early_stopping=mode)
    expected = outputs(model.fit(X), X[:9])
    copy_nothing()
    assert_same(outputs(model.fit(form(X, tmp_path)), X[:9]), expected)


@pytest.mark.parametrize("form", [FORMS["array"], FORMS["csr_array"]], ids=["array", "sparse"])
def test_cross_validation_trains_to_the_same_bits(form, quick, small_blocks, copy_nothing):
    X, model = table(), quick(early_stopping="cv")
    expected = outputs(model.fit(X), X[:9])
    copy_nothing()
    assert_same(outputs(model.fit(form(X, None)), X[:9]), expected)


@pytest.mark.parametrize("noise", NOISES)
def test_autoencoders_streams_and_validation_rows_have_the_same_bits(
    noise, autoencoder, small_blocks, copy_nothing
):
    def train(form):
        model = autoencoder(**NOISES[noise]).partial_fit(form(table()))
        first = outputs(model.partial_fit(form(table(30))), table()[:9])
        model.fit(form(table()), X_val=form(table(20)))
        return first, outputs(model, table()[:9])

    expected = train(np.array)
    copy_nothing()
    for form in (np.array, sparse.csr_array):
        for actual, wanted in zip(train(form), expected, strict=True):
            assert_same(actual, wanted)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("csr", np.float32), ("csc", np.float64), ("coo", np.int64)]
)
def test_sparse_rows_give_the_outputs_of_dense_ones(kind, dtype, quick):
    X = table().astype(dtype)
    model = quick().fit(X)
    again = quick().fit(sparse.coo_array(X).asformat(kind))
    rows = sparse.csr_array(X[:9]).asformat(kind)
    for name in ("transform", "score_samples", "elbo", "latent_posterior"):
        expected = getattr(model, name)(X[:9])
        for fitted in (model, again):
            actual = getattr(fitted, name)(rows)
            np.testing.assert_array_equal(np.hstack(actual), np.hstack(expected))


def test_a_sparse_matrix_and_a_file_are_left_as_they_were(quick, tmp_path, copy_nothing):
    copy_nothing()
    X = sparse.csr_array(table())
    before = X.copy()
    quick().fit(X).score(X)
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(X, part), getattr(before, part))


def test_no_more_than_a_block_of_a_sparse_matrix_is_ever_dense(
    quick, small_blocks, copy_nothing, monkeypatch
):
    copy_nothing()
    monkeypatch.setattr(inference, "BLOCK_ELEMENTS", 128 * 20)
    # Counts: a matrix of features by features is summed over more rows than a block has.
    X = sparse.csr_array(np.rint(np.abs(table())))
    sizes, toarray = [], sparse.csr_array.toarray
    monkeypatch.setattr(
        sparse.csr_array, "toarray", lambda part: sizes.append(part.shape) or toarray(part)
    )
    model = quick(likelihood="poisson", early_stopping=True, batch_size=7).fit(X)
    model.partial_fit(X).transform(X)
    model.score_samples(X), model.elbo(X)
    assert len(sizes) > 100
    assert max(np.prod(size) for size in sizes) <= 100


# -- what is copied --------------------------------------------------------------------


@pytest.mark.parametrize("units", [Units.identity(5), Units.standardizing(table())])
@each_form
def test_a_form_is_read_as_it_is_needed_and_gives_its_rows(form, units, tmp_path, copy_nothing):
    X = table()
    copy_nothing()
    rows = open_rows(form(X, tmp_path), units, CPU)
    shares = form is FORMS["array"] and units.is_identity
    assert isinstance(rows, torch.Tensor if shares else StreamedRows)
    expected = torch.from_numpy(units.enter(X, np.float32))
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
    np.testing.assert_array_equal(rows, units.enter(table(), np.float32))


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
    np.testing.assert_array_equal(batch.cpu(), units.enter(table(), np.float32)[[7, 3]])


# -- blocks ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.array, sparse.csr_array, torch.from_numpy])
@pytest.mark.parametrize("most", [None, 1, 7])
def test_blocks_join_to_the_whole(form, most, small_blocks):
    parts = list(blocks(form(table()), most))
    assert max(len(part) for part in parts) == min(20, most or 20)
    np.testing.assert_array_equal(np.concatenate(parts), table())


@pytest.mark.parametrize("shape", [(3, 0), (3, 10**9)])
def test_a_block_holds_at_least_one_row(shape):
    assert sum(span.stop - span.start for span in spans(shape)) == 3


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
def test_extremes_count_what_is_not_stored(form, small_blocks):
    X = np.abs(table()) + 1
    X[0, 0] = X[59, 1] = 0
    np.testing.assert_array_equal(extremes(form(X)), [X.min(axis=0), X.max(axis=0)])


def test_feature_moments_are_those_of_float64(small_blocks):
    X = table() + np.float32(1000)
    mean, variance = feature_moments(torch.from_numpy(X))
    np.testing.assert_allclose(mean, X.mean(axis=0, dtype=np.float64), rtol=1e-15)
    np.testing.assert_allclose(variance, X.astype(np.float64).var(axis=0), rtol=1e-13)


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


@pytest.mark.parametrize("offset", [0, 1e38, 3e38])
def test_float32_rows_near_the_largest_number_train(offset, quick):
    X = load_iris().data.astype(np.float32)
    X = (X - X.mean(axis=0)) / 10 * np.float32(1e38) + np.float32(offset)
    model = quick(early_stopping=True).fit(X.astype(np.float32))
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.score(X.astype(np.float32)))
