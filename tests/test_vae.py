"""VAETransformer's outputs: dtypes, memory layouts, edge cases; score, bound and samples."""

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import poisson
from sklearn.base import clone
from torch.nn.modules.module import register_module_forward_hook

from skvae import VAETransformer
from skvae.data import rows as rows_module
from skvae.likelihoods import Gaussian
from skvae.networks import MLP

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

OUTPUTS = {
    "transform": lambda model, X: model.transform(X),
    "latent_posterior": lambda model, X: np.hstack(model.latent_posterior(X)),
    "score_samples": lambda model, X: model.score_samples(X),
    "elbo": lambda model, X: np.stack(model.elbo(X), axis=1),
}
each_output = pytest.mark.parametrize("output", OUTPUTS.values(), ids=list(OUTPUTS))
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


# -- dtypes and memory layouts -----------------------------------------------------------


@each_output
@each_dtype
def test_the_dtype_of_the_rows_is_kept(output, dtype, model, rows):
    assert output(model, rows.astype(dtype)).dtype == dtype
    Z = np.zeros((3, 2), dtype)
    assert model.inverse_transform(Z).dtype == dtype


@each_output
def test_float64_is_computed_and_not_only_returned(output, model, rows):
    # A step of 1e-9 is below float32's resolution; in float64 its effect is linear. Not
    # in a constant column, whose noise is as narrow as the step.
    X, step = rows[:20], 1e-9 * np.random.RandomState(0).randn(20, 64)
    step[:, model.noise_variance_ < 1e-10] = 0
    small = output(model, X + step) - output(model, X)
    large = output(model, X + 1000 * step) - output(model, X)
    assert np.all(np.abs(small).max(axis=0) > 0)
    np.testing.assert_allclose(1000 * small, large, rtol=0.05, atol=0.01 * np.abs(large).max())


def test_decoding_is_computed_in_float64(model):
    Z = np.random.RandomState(0).randn(20, 2)
    small = model.inverse_transform(Z + 1e-9) - model.inverse_transform(Z)
    large = model.inverse_transform(Z + 1e-6) - model.inverse_transform(Z)
    np.testing.assert_allclose(1000 * small, large, rtol=0.05, atol=0.01 * np.abs(large).max())


@each_output
def test_float32_is_close_to_float64(output, model, rows):
    expected = output(model, rows)
    actual = output(model, rows.astype(np.float32))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-2)


def as_read_only(X, tmp_path):
    X = X.copy()
    X.flags.writeable = False
    return X


def as_memory_map(X, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    return np.load(tmp_path / "rows.npy", mmap_mode="r")


LAYOUTS = {
    "read-only": as_read_only,
    "memory-mapped": as_memory_map,
    "fortran": lambda X, tmp_path: np.asfortranarray(X),
    "strided": lambda X, tmp_path: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X, tmp_path: X[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda X, tmp_path: X.astype(X.dtype.newbyteorder(">")),
    "list": lambda X, tmp_path: X.tolist(),
}


@each_dtype
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_the_memory_layout_does_not_matter(layout, likelihood, dtype, quick, digits, tmp_path):
    X = (digits[:60, 18:22] / 16).astype(dtype)
    other = layout(X, tmp_path)
    plain = quick(likelihood=likelihood).fit(X, X_val=X)
    model = quick(likelihood=likelihood).fit(other, X_val=other)
    # A list or a big-endian array is read as float64.
    np.testing.assert_allclose(model.transform(other), plain.transform(X), atol=1e-5)
    np.testing.assert_allclose(model.score_samples(other), plain.score_samples(X), atol=1e-3)
    codes = plain.transform(X)
    decoded = plain.inverse_transform(layout(codes, tmp_path))
    np.testing.assert_allclose(decoded, plain.inverse_transform(codes), atol=1e-5)


@pytest.mark.parametrize("likelihood", ["gaussian", Gaussian(noise="isotropic"), "bernoulli"])
@pytest.mark.parametrize(("n_rows", "n_features", "k"), [(2, 3, 2), (50, 1, 1), (50, 2, 5)])
def test_few_rows_one_feature_and_more_codes_than_features_work(
    likelihood, n_rows, n_features, k
):
    X = np.random.RandomState(0).rand(n_rows, n_features)
    model = VAETransformer(latent_dim=k, likelihood=likelihood, max_iter=3).fit(X)
    Z = model.transform(X[:1])
    assert Z.shape == (1, k)
    assert model.inverse_transform(Z).shape == (1, n_features)
    assert model.sample(3).shape == (3, n_features)
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize("noise", ["per_feature", "isotropic", 0.1])
def test_data_that_do_not_vary_give_no_infinity(noise, quick):
    X = np.full((20, 3), 7.0)
    model = quick(likelihood=Gaussian(noise=noise)).fit(X)
    assert np.isfinite(model.score(X))
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-2)


@each_dtype
def test_an_outlier_gives_no_nan(dtype, model, rows):
    # NaN would be a silent end of a grid search; minus infinity is at least in order.
    X = rows[:2].astype(dtype) * dtype(1e20)
    assert np.isfinite(model.transform(X)).all()
    with warnings.catch_warnings():
        # Of which a warning tells.
        warnings.filterwarnings("ignore", "The results of 2 of 2 rows overflow float32")
        assert not np.isnan(model.score_samples(X)).any()


# -- training ----------------------------------------------------------------------------


def test_training_improves_on_the_start(model, digits, rows):
    start = VAETransformer(max_iter=0).fit(digits[:1000])
    assert model.score(rows) > start.score(rows) + 1
    assert model.loss_curve_[-1] < model.loss_curve_[0]


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial"])
def test_counts_are_likelier_than_under_independent_features(likelihood, digits):
    train, test = digits[:600], digits[600:900]
    model = VAETransformer(
        likelihood=likelihood, early_stopping=True, max_iter=60, random_state=0
    )
    rate = train.mean(axis=0) + 0.5 / len(train)
    independent = poisson(rate).logpmf(test).sum(axis=1).mean()
    # The start is close to that, and not lost by its random weights.
    assert clone(model).set_params(max_iter=0).fit(train).score(test) > 2 * independent
    assert model.fit(train).score(test) > independent


# -- the density ---------------------------------------------------------------------------


def test_score_is_the_mean_of_score_samples(model, rows):
    score = model.score(rows, y=np.zeros(len(rows)))
    assert isinstance(score, float)
    assert score == pytest.approx(model.score_samples(rows).mean(), rel=1e-12)


@each_output
def test_the_same_rows_give_the_same_bits(output, model, rows):
    np.testing.assert_array_equal(output(model, rows), output(model, rows))


@each_output
@each_dtype
def test_order_and_batching_of_rows_do_not_matter(output, dtype, model, rows):
    X = rows.astype(dtype)
    order = np.random.RandomState(0).permutation(len(X))
    whole = output(model, X)
    # Not to the bit: a matrix product sums in another order for another number of rows.
    # In float32 the log-density of a row is a sum of hundreds of nats.
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype is np.float64 else {"atol": 2e-3}
    np.testing.assert_allclose(output(model, X[order]), whole[order], **tolerance)
    parts = [output(model, X[:1]), output(model, X[1:50]), output(model, X[50:])]
    np.testing.assert_allclose(np.concatenate(parts), whole, **tolerance)


def test_the_bound_rises_with_the_number_of_samples_in_the_mean(model, rows):
    scores = [model.score_samples(rows, n_samples=n).mean() for n in (1, 2, 8, 32, 128, 512)]
    assert np.all(np.diff(scores) > 0)
    # It converges: the last step is a small part of the whole.
    assert scores[-1] - scores[-2] < 0.25 * (scores[-1] - scores[0])


def test_one_sample_is_the_elbo(model, rows):
    one, bound = model.score_samples(rows, n_samples=1), model.elbo(rows)
    # The KL is drawn in the one and in closed form in the other, over 128 draws.
    assert one.mean() == pytest.approx(bound.value.mean(), abs=0.05)
    assert np.corrcoef(one, bound.value)[0, 1] > 0.999
    assert np.all(bound.kl >= 0)
    np.testing.assert_allclose(bound.value, bound.reconstruction - bound.kl, rtol=1e-10)
    assert bound.value.mean() < model.score(rows)


@pytest.mark.parametrize("n_features", [1, 64])
def test_no_layer_of_a_block_is_larger_than_the_limit(n_features, monkeypatch, quick, rows):
    # Memory must not grow with rows times draws, and the hidden layers may be wider than
    # the rows.
    model = quick(network=MLP((32,))).fit(rows[:, 20 : 20 + n_features])
    limit, largest = 2**15, []
    monkeypatch.setattr(rows_module, "BLOCK_ELEMENTS", limit)
    handle = register_module_forward_hook(
        lambda module, inputs, output: (
            largest.append(output.numel()) if isinstance(output, torch.Tensor) else None
        )
    )
    try:
        model.score_samples(rows[:, 20 : 20 + n_features])
    finally:
        handle.remove()
    assert max(largest) <= limit


@pytest.mark.parametrize("limit", [1, 300, 10_000])
@each_output
def test_small_blocks_give_the_same_values(output, limit, monkeypatch, model, rows):
    expected = output(model, rows[:10])
    monkeypatch.setattr(rows_module, "BLOCK_ELEMENTS", limit)
    np.testing.assert_allclose(output(model, rows[:10]), expected, rtol=1e-9, atol=1e-9)


def test_sample_gives_rows_in_the_units_of_the_data(model, digits):
    samples = model.sample(2000, random_state=0)
    assert samples.shape == (2000, 64)
    assert samples.mean() == pytest.approx(digits.mean(), abs=0.5)
    assert model.sample().shape == (1, 64)
    assert not np.array_equal(model.sample(), model.sample())


def test_samples_of_a_bernoulli_are_binary_and_their_means_are_not(quick, digits):
    model = quick(likelihood="bernoulli").fit(digits[:200] / 16)
    assert set(np.unique(model.sample(20, random_state=0))) == {0.0, 1.0}
    means = model.sample(20, mean=True, random_state=0)
    assert np.all((means > 0) & (means < 1))
