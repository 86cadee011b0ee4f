"""Training on arrays, files and sparse matrices: the same bits, and no copy of the whole."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import NOISES, assert_same, outputs
from likelihood_cases import each_case
from row_cases import FORMS, each_form, table
from scipy import sparse
from sklearn.datasets import load_iris

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

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


@pytest.mark.parametrize("offset", [0, 1e38, 3e38])
def test_float32_rows_near_the_largest_number_train(offset, quick):
    X = load_iris().data.astype(np.float32)
    X = (X - X.mean(axis=0)) / 10 * np.float32(1e38) + np.float32(offset)
    model = quick(early_stopping=True).fit(X.astype(np.float32))
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.score(X.astype(np.float32)))


# -- memory ---------------------------------------------------------------------------

# The largest need comes last: the peak of a process only rises.
SCRIPT = """
import json, warnings
import numpy as np
from skvae import VAETransformer
from skvae.networks import MLP

warnings.simplefilter("ignore")
SHAPE = (300_000, 100)

def memory(name):
    # Not getrusage's peak: that begins with the parent's.
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))

def grid(dtype):
    X = np.empty(SHAPE, dtype)
    X.reshape(-1, 1000, 100)[:] = np.random.default_rng(0).random((1000, 100))
    return X

model = VAETransformer(
    network=MLP((4,)), max_iter=1, early_stopping=True, batch_size=4000, device="cpu"
)
model.fit(np.eye(50))  # what is loaded at the first use
added = {}
for dtype in ("float32", "float64"):
    X = grid(dtype)
    before = memory("VmRSS")
    model.fit(X)
    added[dtype] = (memory("VmHWM") - before) / (4 * X.shape[0] * X.shape[1])
    del X
print(json.dumps(added))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_fit_needs_at_most_one_float32_copy_and_for_float32_rows_none():
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{SCRIPT}"
    result = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    copies = json.loads(result.stdout)
    # Blocks and batches take some 70 MB, whatever the number of rows; a copy here is 120 MB.
    assert copies["float32"] < 0.8
    assert copies["float64"] < 1.8


def test_rows_far_from_those_of_the_first_call_are_warned_of(quick):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((100, 3)) * [1, 1, 50] + [0, 0, 1000]
    constant = X.copy()
    constant[:, 2] = 5.0
    model = quick().partial_fit(constant)
    with pytest.warns(UserWarning, match=r"feature 2 of X .* most values are far"):
        model.partial_fit(X)
    # A few outliers are not.
    constant[0, 2] = 1e4
    model.partial_fit(constant)
