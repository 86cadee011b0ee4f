"""The parts of a row add up, and each is what it is alone."""

import numpy as np
import pytest
import torch
from missing_cases import with_gaps
from mixed_cases import N_LEVELS, N_NUMBERS, mixed_likelihood, mixed_table, started
from sklearn.base import clone
from sklearn.datasets import load_wine

from skvae import VAETransformer
from skvae.data import rows as rows_module
from skvae.data.missing import IncompleteRows
from skvae.likelihoods import (
    CodedCategorical,
    Gaussian,
    Likelihood,
    Mixed,
    expectation_maximization,
)
from skvae.likelihoods.coded import Indicators

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def table():
    return mixed_table()


@pytest.fixture
def parts(table):
    """The likelihood, its head, raw output around its start, and rows in model units."""
    likelihood, head, centre, units = started(mixed_likelihood(), table)
    noise = torch.randn(50, head.n_raw, generator=torch.Generator().manual_seed(0))
    rows = torch.as_tensor(units.to_model(table[:50], np.float32))
    return likelihood, head.requires_grad_(False), centre + noise, rows


# -- the distribution -----------------------------------------------------------------


def log_probs_of_parts(likelihood, head, raw, rows, missing=None):
    """Return the log-density of each part from its own head alone."""
    raws = raw.split([each.n_raw for each in head.heads], dim=-1)
    out = []
    for (_, _, columns), own, each in zip(likelihood.members(), head.heads, raws, strict=True):
        x = rows[:, columns]
        if missing is not None:
            gaps = missing[:, columns]
            x = IncompleteRows(x.masked_fill(gaps, 0.0), gaps, x, None)
        out.append(own(each).log_prob(x))
    return out


def test_the_log_density_is_the_sum_of_the_parts(parts):
    likelihood, head, raw, rows = parts
    expected = sum(log_probs_of_parts(likelihood, head, raw, rows))
    torch.testing.assert_close(head(raw).log_prob(rows), expected)


def test_missing_values_are_left_out_of_every_part(parts):
    likelihood, head, raw, rows = parts
    missing = torch.as_tensor(np.random.RandomState(0).random_sample(rows.shape) < 0.3)
    expected = sum(log_probs_of_parts(likelihood, head, raw, rows, missing))
    found = head(raw).log_prob(
        IncompleteRows(rows.masked_fill(missing, 0.0), missing, rows, None)
    )
    torch.testing.assert_close(found, expected)


def test_draws_have_the_moments_of_the_distribution(parts):
    _, head, raw, rows = parts
    p = head(raw[:1].double().expand(40_000, -1))
    drawn = head.draw(p, np.random.RandomState(0))
    assert drawn.shape == (40_000, rows.shape[1])
    inputs = head.likelihood.mean_as_inputs(p.mean[:1])
    as_mean = [drawn[:, [5]] == np.arange(5), drawn[:, [7]] == np.arange(2), drawn[:, :3]]
    found = np.hstack([*as_mean, drawn[:, [6]], drawn[:, 3:5]])
    assert inputs.shape == p.mean[:1].shape
    error = np.sqrt(p.variance[0].numpy() / len(drawn))
    assert (np.abs(found.mean(0) - p.mean[0].numpy()) < 5 * error).all()


def test_a_row_of_means_has_the_likeliest_categories_and_the_other_means(parts):
    likelihood, head, raw, _ = parts
    mean = head(raw).mean
    rows = likelihood.collapse(mean)
    torch.testing.assert_close(rows[:, 5], mean[:, :5].argmax(1).float())
    torch.testing.assert_close(rows[:, 7], mean[:, 5:7].argmax(1).float())
    torch.testing.assert_close(rows[:, [0, 1, 2, 6, 3, 4]], mean[:, 7:])


def test_the_encoder_is_given_indicators_and_log_counts(parts):
    likelihood, _, _, rows = parts
    inputs = likelihood.input_transform()(rows)
    assert inputs.shape[1] == likelihood.n_inputs(8) == sum(N_LEVELS) + 6
    indicators = [rows[:, [5]] == torch.arange(5), rows[:, [7]] == torch.arange(2)]
    torch.testing.assert_close(inputs[:, :7], torch.cat(indicators, dim=1).float())
    torch.testing.assert_close(inputs[:, 7:10], rows[:, :3])
    torch.testing.assert_close(inputs[:, 10], torch.log1p(rows[:, 6]))
    # The means of a distribution are put into the same form.
    mean = torch.cat([inputs[:, :10], rows[:, [6, 3, 4]]], dim=1)
    torch.testing.assert_close(likelihood.mean_as_inputs(mean), inputs)


# -- models ---------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["random", "factor_analysis"])
@pytest.mark.parametrize("early_stopping", [True, "cv"])
def test_a_mixed_of_one_gaussian_is_that_gaussian(init, early_stopping):
    X = load_wine().data
    plain, mixed = (
        VAETransformer(
            likelihood=likelihood,
            init=init,
            max_iter=3,
            early_stopping=early_stopping,
            random_state=0,
        ).fit(X)
        for likelihood in (Gaussian(), Mixed([("all", Gaussian(), slice(None))]))
    )
    np.testing.assert_allclose(plain.score_samples(X), mixed.score_samples(X), rtol=1e-5)
    np.testing.assert_allclose(plain.noise_variance_, mixed.noise_variance_, rtol=1e-5)
    assert plain.best_validation_score_ == pytest.approx(mixed.best_validation_score_)


@pytest.fixture(scope="module")
def fitted(table):
    return VAETransformer(
        2, likelihood=mixed_likelihood(), max_iter=20, early_stopping=False, random_state=0
    ).fit(table)


def test_only_columns_of_numbers_have_a_noise(fitted):
    assert np.isfinite(fitted.noise_variance_[:N_NUMBERS]).all()
    assert np.isnan(fitted.noise_variance_[N_NUMBERS:]).all()


def test_rows_come_back_in_the_columns_of_the_table(fitted, table):
    levels = np.array(N_LEVELS)
    back = fitted.inverse_transform(fitted.transform(table))
    sample, means = (fitted.sample(500, mean=mean, random_state=0) for mean in (False, True))
    for rows in (back, sample, means):
        assert rows.shape[1] == table.shape[1]
        assert (rows[:, [5, 7]] == np.rint(rows[:, [5, 7]])).all()
        assert (rows[:, [5, 7]] >= 0).all()
        assert (rows[:, [5, 7]] < levels).all()
    assert (back[:, 7] == table[:, 7]).mean() > 0.8
    assert set(sample[:, 3]) == {0.0, 1.0}
    # A mean of a flag is its probability.
    assert len(set(means[:, 3])) > 10


def test_gaps_are_imputed_better_than_by_the_commonest_category(fitted, table):
    gaps = with_gaps(table, 0.3)
    model = clone(fitted).fit(gaps)
    assert np.isfinite(model.score_samples(gaps)).all()
    # One that saw no gaps in training fills them too.
    for imputed in (model.impute(gaps), fitted.impute(gaps)):
        hidden = np.isnan(gaps[:, 5])
        commonest = np.bincount(table[:, 5].astype(int)).max() / len(table)
        assert (imputed[hidden, 5] == table[hidden, 5]).mean() > commonest + 0.1
        np.testing.assert_array_equal(imputed[~np.isnan(gaps)], gaps[~np.isnan(gaps)])
    drawn = model.impute(gaps, sample=True, random_state=0)
    assert set(drawn[:, 5]) == {0.0, 1.0, 2.0, 3.0, 4.0}


def test_the_noise_of_a_part_is_set_from_held_out_residuals(table):
    X = table[:60]
    kept, fixed = (
        VAETransformer(2, likelihood=mixed_likelihood(numbers), max_iter=2, random_state=0)
        .fit(X)
        .noise_variance_
        for numbers in (Gaussian("per_feature"), Gaussian(0.5))
    )
    assert len(set(kept[:N_NUMBERS])) == N_NUMBERS
    np.testing.assert_allclose(fixed[:N_NUMBERS], 0.25, rtol=1e-5)


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_a_thousand_categories_need_no_dense_table(gaps, monkeypatch):
    rng = np.random.RandomState(0)
    codes = rng.randint(1000, size=5000)
    X = np.c_[codes, codes % 7 + rng.standard_normal(5000)].astype(float)
    X = with_gaps(X, gaps)
    mixed = Mixed([("code", CodedCategorical(1000), [0]), ("number", "gaussian", [1])])
    most, give = [], Indicators.forward

    def noted(self, x):
        inputs = give(self, x)
        most.append(inputs.numel())
        return inputs

    monkeypatch.setattr(Indicators, "forward", noted)
    monkeypatch.setattr(rows_module, "BLOCK_ELEMENTS", 2**18)
    monkeypatch.setattr(expectation_maximization, "_SAMPLE_ELEMENTS", 2**18)
    model = VAETransformer(2, likelihood=mixed, max_iter=1, random_state=0).fit(X)
    assert model._fitted.module.encoder.body.hidden[0].weight.shape[1] == 1001
    assert np.isfinite(model.score_samples(X[:50])).all()
    assert model.sample(5, random_state=0).shape == (5, 2)
    assert max(most) < 0.5 * 5000 * 1000


def test_any_likelihood_can_be_a_part_also_a_mixed_one(table):
    inner = Mixed([("number", "gaussian", [0]), ("flag", "bernoulli", [1])])
    mixed = Mixed(
        [
            ("both", inner, [0, 3]),
            ("numbers", "gaussian", [1, 2]),
            ("rest", CodedCategorical((2, 5, 30, 2)), slice(4, 8)),
        ]
    )
    flat = Mixed(
        [
            ("number", "gaussian", [0]),
            ("flag", "bernoulli", [3]),
            ("numbers", "gaussian", [1, 2]),
            ("rest", CodedCategorical((2, 5, 30, 2)), slice(4, 8)),
        ]
    )
    scores = [
        VAETransformer(2, likelihood=likelihood, max_iter=2, random_state=0)
        .fit(table[:100])
        .score(table)
        for likelihood in (mixed, flat)
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_one_hot_categories_can_be_a_part_beside_a_likelihood_of_ones_own(table):
    class Laplace(Likelihood):
        raw_per_feature = 2

        def distribution(self, raw):
            mean, spread = raw.chunk(2, dim=-1)
            return torch.distributions.Laplace(mean, spread.clamp(-3, 3).exp())

    X = np.c_[np.eye(5)[table[:, 5].astype(int)], table[:, 0]]
    mixed = Mixed([("one-hot", "categorical", slice(0, 5)), ("number", Laplace(), [5])])
    model = VAETransformer(2, likelihood=mixed, max_iter=2, random_state=0).fit(X)
    assert np.isfinite(model.score(X))
    assert (model.sample(9, random_state=0)[:, :5].sum(1) == 1).all()
