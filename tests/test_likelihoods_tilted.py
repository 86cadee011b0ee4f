"""Tilted normal distributions: bins, normalisation, moments and draws."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from marginal_cases import COLUMNS
from scipy.special import ndtr

from skvae import VAETransformer
from skvae.data.column_map import FAR, ColumnMap
from skvae.likelihoods import Gaussian
from skvae.likelihoods.gaussian_heads import RowNormal
from skvae.likelihoods.tilted import Bins, TiltedNormal

MAPS = {name: ColumnMap.of_values(column) for name, column in COLUMNS.items()}
N_BINS = 6


def tilted(n_rows=1, seed=0, scale=0.5):
    """Return a distribution of all columns of the cases with random factors."""
    rng = np.random.RandomState(seed)
    loc = torch.from_numpy(rng.standard_normal((n_rows, len(MAPS))))
    tilts = torch.from_numpy(rng.standard_normal((n_rows, len(MAPS), N_BINS)))
    normal = RowNormal(loc, torch.full((1, len(MAPS)), scale).double())
    return TiltedNormal(normal, Bins(MAPS.values(), N_BINS), tilts)


@pytest.mark.parametrize("name", COLUMNS)
def test_bins_cover_all_scores_and_divide_no_tied_value(name):
    one = MAPS[name]
    edges = Bins([one], N_BINS).edges[0].numpy()
    assert edges[0] == -FAR
    assert edges[-1] == FAR
    assert (np.diff(edges) >= 0).all()
    inside = (one.lower[:, None] < edges) & (edges < one.upper[:, None])
    assert not (inside & (np.abs(edges) < FAR)).any()
    n_bins = np.count_nonzero(np.diff(edges))
    assert n_bins == min(
        N_BINS, len(one.tied) if len(one.tied) == len(set(one.values)) else N_BINS
    )


def test_bins_have_like_probabilities_and_a_frequent_value_has_its_own():
    masses = np.diff(ndtr(Bins([MAPS["normal"]], 8).edges[0].numpy()))
    np.testing.assert_allclose(masses, 1 / 8, atol=0.01)
    one = MAPS["mostly_zero"]
    assert Bins([one], 8).edges[0, 1].item() == one.upper[0]


def test_the_density_integrates_to_one_and_moments_are_its_own():
    p = tilted()
    grid = torch.linspace(-8, 8, 200_001, dtype=torch.float64)[:, None].expand(-1, len(MAPS))
    density = p.log_prob(grid).exp() * (grid[1, 0] - grid[0, 0])
    np.testing.assert_allclose(density.sum(0), 1, atol=1e-3)
    np.testing.assert_allclose((density * grid).sum(0), p.mean[0], atol=1e-3)


def test_draws_have_its_moments_and_bins():
    p = tilted(n_rows=1)
    wide = TiltedNormal(
        RowNormal(p.loc.expand(20_000, -1), p.scale[:1]),
        p._bins,
        p._tilts.expand(20_000, -1, -1),
    )
    drawn = wide.draw(np.random.RandomState(0))
    np.testing.assert_allclose(drawn.mean(0), p.mean[0], atol=0.03)
    index = p._bins.index(torch.from_numpy(drawn)).numpy()
    shares = np.stack([(index == k).mean(0) for k in range(N_BINS)], axis=1)
    np.testing.assert_allclose(shares, p.probabilities[0], atol=0.015)
    assert np.isfinite(tilted(5, scale=1e-3).draw(np.random.RandomState(0))).all()


def test_equal_factors_change_nothing():
    p = tilted(4)
    normal = TiltedNormal(p._normal, p._bins, torch.ones_like(p._tilts))
    value = torch.randn(4, len(MAPS), generator=torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(normal.log_prob(value), p._normal.log_prob(value), atol=1e-9)
    np.testing.assert_allclose(normal.mean, p.loc, atol=1e-6)


def two_modes(n, seed=0):
    """Return a column that has two modes given the others, and mostly zeros besides."""
    rng = np.random.RandomState(seed)
    z = rng.standard_normal(n)
    other = 2 * z + 0.3 * rng.standard_normal((2, n))
    side = rng.choice([-1.0, 1.0], n)
    column = side * np.exp(0.5 * z) + 0.1 * rng.standard_normal(n)
    gain = np.where(rng.random_sample(n) < 0.2, 10 * np.rint(50 + 10 * z * side), 0.0)
    return np.column_stack([*other, column, gain])


pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
BINS = Gaussian(marginals="normal", n_bins=8)


def test_the_start_is_that_without_bins():
    X = two_modes(500)
    scores = [
        VAETransformer(likelihood=likelihood, max_iter=0, random_state=0).fit(X).score(X)
        for likelihood in (BINS, Gaussian(marginals="normal"))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_several_modes_given_the_code_are_found():
    X, held_out = two_modes(3000), two_modes(1000, seed=1)
    model, plain = (
        VAETransformer(1, likelihood=likelihood, max_iter=30, random_state=0).fit(X)
        for likelihood in (BINS, Gaussian(marginals="normal"))
    )
    assert model.score(held_out) > plain.score(held_out) + 0.2
    drawn = model.sample(5000, random_state=0)
    assert set(drawn[:, 3]) <= set(X[:, 3])
    between = [np.mean(np.abs(rows[:, 2]) < 0.1) for rows in (drawn, plain.sample(5000), X)]
    assert abs(between[0] - between[2]) < 0.02


def test_cross_validation_gaps_means_and_storing():
    X = two_modes(200)
    holes = X.copy()
    holes[np.random.RandomState(0).random_sample(X.shape) < 0.2] = np.nan
    model = VAETransformer(1, likelihood=BINS, max_iter=5, random_state=0).fit(holes)
    assert np.isfinite(model.score_samples(holes)).all()
    filled = model.impute(holes)
    np.testing.assert_array_equal(filled[~np.isnan(holes)], X[~np.isnan(holes)])
    draws = model.sample(20_000, random_state=0)
    means = model.sample(20_000, mean=True, random_state=0)
    np.testing.assert_allclose(means.mean(0), draws.mean(0), atol=0.05 * X.std(0).max())
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.sample(5, random_state=0), draws_of(model, 5))
    complete = VAETransformer(1, likelihood=BINS, max_iter=5, random_state=0).fit(X)
    assert not np.isnan(complete.impute(holes)).any()


def draws_of(model, n):
    return model.sample(n, random_state=0)


@pytest.mark.parametrize("other", [{"marginals": None}, {"noise": "heteroscedastic"}])
def test_what_it_cannot_be_combined_with_is_refused(other):
    likelihood = Gaussian(**{"marginals": "normal", "n_bins": 4, **other})
    with pytest.raises(ValueError, match="n_bins=4"):
        VAETransformer(likelihood=likelihood).fit(two_modes(20))


@pytest.mark.parametrize("others", [{}, {"y": np.arange(40) % 7}])
def test_a_frame_may_have_a_column_of_numbers_without_values(others):
    kinds = pd.Categorical(["a", "b"] * 20)
    frame = pd.DataFrame({"x": np.full(40, np.nan), "kind": kinds, **others})
    with pytest.warns(UserWarning, match="without any value: 'x'"):
        model = VAETransformer(1, max_iter=2, random_state=0).fit(frame)
    assert np.isfinite(model.score_samples(frame)).all()
    assert np.isfinite(model.sample(5)["x"]).all()
    assert np.isfinite(model.impute(frame)["x"]).all()
