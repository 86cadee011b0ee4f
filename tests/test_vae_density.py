"""The density: score, bound and samples of a trained model."""

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from skvae.data import rows as rows_module
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


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, "many", None])
def test_a_bad_number_of_samples_is_named(n_samples, model, rows):
    with pytest.raises(ValueError, match="n_samples must be a positive integer"):
        model.score_samples(rows, n_samples=n_samples)
    with pytest.raises(ValueError, match="n_samples must be a positive integer"):
        model.sample(n_samples)


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
