"""Corruptions: how strong they are, when they are drawn anew, and what they leave alone."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch

from skvae.data.units import Units
from skvae.model.corruption import CORRUPTIONS, GaussianCorruption, MaskingCorruption

each_corruption = pytest.mark.parametrize("name", CORRUPTIONS)
N_ROWS = 20_000
# Features of very different scale: the noise is one number in the units of the data.
UNITS = Units(
    loc=np.array([5.0, -2.0, 1e3]),
    scale=np.array([0.1, 1.0, 50.0]),
    constant=np.zeros(3, dtype=bool),
)
# Five standard errors: with fixed seeds and some dozens of numbers, no chance failure.
Z = 5.0


def build(name, noise=0.3, units=UNITS, seed=0, support=(-math.inf, math.inf)):
    return CORRUPTIONS[name](noise, units, support, seed)


def rows(n=50, dtype=torch.float32):
    """Rows without a zero, so that every masked value shows."""
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(1), dtype=dtype) + 10


# -- how strong ------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.3, 7])
def test_gaussian_noise_has_its_standard_deviation_in_the_units_of_the_data(noise):
    x = torch.zeros(N_ROWS, 3, dtype=torch.float64)
    corrupted = build("gaussian", noise).double()(x)
    added = UNITS.to_data(corrupted.numpy()) - UNITS.to_data(x.numpy())
    assert (np.abs(added.mean(axis=0)) < Z * noise / math.sqrt(N_ROWS)).all()
    assert (np.abs(added.std(axis=0) - noise) < Z * noise / math.sqrt(2 * N_ROWS)).all()
    # Each value has a number of its own.
    correlation = np.corrcoef(added, rowvar=False)[np.triu_indices(3, 1)]
    assert (np.abs(correlation) < Z / math.sqrt(N_ROWS)).all()
    # A normal's fourth moment is three; the error of its estimate is sqrt(96 / n).
    kurtosis = np.mean((added / added.std(axis=0)) ** 4, axis=0)
    assert (np.abs(kurtosis - 3) < Z * math.sqrt(96 / N_ROWS)).all()


@pytest.mark.parametrize("noise", [0.05, 0.5, 0.95])
def test_masking_sets_its_share_to_zero_and_leaves_the_rest(noise):
    x = rows(N_ROWS)
    corrupted = build("masking", noise)(x)
    masked = corrupted == 0
    error = math.sqrt(noise * (1 - noise) / N_ROWS)
    assert ((masked.double().mean(0) - noise).abs() < Z * error).all()
    assert torch.equal(corrupted[~masked], x[~masked])
    # Each value is masked on its own, not whole rows.
    correlation = torch.corrcoef(masked.double().T)[0, 1]
    assert abs(correlation) < Z / math.sqrt(N_ROWS)


def test_a_masked_value_is_the_mean_of_its_feature():
    X = np.random.RandomState(0).randn(30, 3) + UNITS.loc
    units = Units.standardizing(X)
    u = torch.as_tensor(units.to_model(X))
    corrupted = build("masking", 0.5, units)(u)
    masked = (corrupted == 0).numpy()
    means = np.broadcast_to(X.mean(axis=0), X.shape)
    assert masked.any(axis=0).all()
    np.testing.assert_allclose(units.to_data(corrupted.numpy())[masked], means[masked])


@each_corruption
def test_no_noise_leaves_the_rows(name):
    assert torch.equal(build(name, noise=0.0)(rows()), rows())


@pytest.mark.parametrize("noise", [1, 1.0, 1.5])
def test_a_mask_over_everything_is_refused(noise):
    with pytest.raises(ValueError, match=rf"noise={noise} masks every value.*below 1"):
        build("masking", noise)
    assert isinstance(build("gaussian", noise), GaussianCorruption)
    assert isinstance(build("masking", 0.99), MaskingCorruption)


# -- when it is drawn anew -------------------------------------------------------------


@each_corruption
def test_each_step_of_a_training_draws_anew(name):
    corruption = build(name).train()
    first, second, third = (corruption(rows()) for _ in range(3))
    for one, other in ((first, second), (second, third), (first, third)):
        assert not torch.equal(one, other)


@each_corruption
def test_in_evaluation_the_draws_are_always_the_same(name):
    corruption = build(name).eval()
    expected = corruption(rows())
    assert not torch.equal(expected, rows())
    assert torch.equal(corruption(rows()), expected)
    corruption.train()(rows())
    assert torch.equal(corruption.eval()(rows()), expected)


@each_corruption
def test_an_evaluation_in_between_does_not_change_the_training(name):
    corruption, judged = build(name), build(name)
    for _ in range(3):
        judged.eval()(rows())
        assert torch.equal(judged.train()(rows()), corruption(rows()))


@each_corruption
def test_the_seed_decides_the_draws(name):
    first, same, other = (build(name, seed=seed)(rows()) for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


# -- what it leaves alone --------------------------------------------------------------


@each_corruption
def test_it_touches_no_global_generator_and_no_row(name):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    x = rows()
    corruption = build(name)
    for module in (corruption.train(), corruption.eval()):
        module(x)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(x, rows())


@each_corruption
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_the_rows_is_kept(name, dtype):
    assert build(name).to(dtype)(rows(dtype=dtype)).dtype == dtype


@each_corruption
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_goes_on_where_the_original_stands(name, copied):
    corruption = build(name)
    first = corruption(rows())
    twin = copied(corruption)
    following = twin(rows())
    assert not torch.equal(following, first)
    # The use of the one does not move the other.
    assert torch.equal(corruption(rows()), following)
    assert torch.equal(twin.eval()(rows()), corruption.eval()(rows()))


@each_corruption
def test_corrupted_rows_stay_in_the_support(name):
    x = torch.rand(N_ROWS, 3, generator=torch.Generator().manual_seed(1))
    corrupted = build(name, 0.9, Units.identity(3), support=(0.0, 1.0))(x)
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1


@each_corruption
def test_a_state_restores_the_draws(name):
    first, second = build(name, seed=1), build(name, seed=2)
    first(rows())
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(rows()), first(rows()))
