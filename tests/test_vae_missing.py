"""VAETransformer with missing values: exact where the model is linear, defined everywhere."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
import torch
from helpers import assert_same, outputs
from likelihood_cases import CASES
from missing_cases import linear_table, log_density_of_observed, model_moments, with_gaps
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skvae
from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Categorical, Gaussian
from skvae.model.objectives import OBJECTIVES
from skvae.networks import MLP, ConvNet
from skvae.posteriors import POSTERIORS

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
NOISES = ["per_feature", "isotropic", "heteroscedastic", 0.7]
each_posterior = pytest.mark.parametrize("posterior", POSTERIORS)


@pytest.fixture(scope="module")
def gaps():
    X = with_gaps(linear_table())
    X[0] = np.nan
    return X


@pytest.fixture(scope="module")
def trained(gaps):
    model = VAETransformer(2, max_iter=20, early_stopping=False, random_state=0)
    return model.fit(gaps)


# -- the start is the linear model ----------------------------------------------------------


@each_posterior
@pytest.mark.parametrize("fitted_on", ["gaps", "complete"])
@pytest.mark.parametrize("noise", ["per_feature", "isotropic", 0.7])
def test_the_starts_score_is_the_exact_one_of_the_values_that_are_there(
    noise, fitted_on, posterior, gaps
):
    X = gaps if fitted_on == "gaps" else linear_table()
    model = VAETransformer(2, likelihood=Gaussian(noise), posterior=posterior, max_iter=0)
    model.fit(X)
    if noise == 0.7:
        model.noise_variance_ = np.full(6, 0.49)
    exact = log_density_of_observed(gaps, *model_moments(model))
    np.testing.assert_allclose(model.score_samples(gaps), exact, atol=1e-3)
    # The posterior is exact too: the bound with one draw is the same.
    np.testing.assert_allclose(model.score_samples(gaps, n_samples=1), exact, atol=0.1)


@each_posterior
def test_the_starts_codes_are_the_posterior_of_the_values_that_are_there(posterior, gaps):
    model = VAETransformer(2, posterior=posterior, max_iter=0).fit(gaps)
    mean, _ = model_moments(model)
    loadings = model._fitted.module.decoder.body.linear_map.weight.double().cpu().numpy()
    loadings = loadings * model._units.scale[:, None]
    codes, spread = model.latent_posterior(gaps)
    for row, code, scale in zip(gaps, codes, spread, strict=True):
        o = ~np.isnan(row)
        weighted = loadings[o] / model.noise_variance_[o, None]
        expected = np.linalg.inv(np.eye(2) + loadings[o].T @ weighted)
        np.testing.assert_allclose(code, expected @ weighted.T @ (row - mean)[o], atol=1e-4)
        found = scale @ scale.T if posterior == "full" else np.square(scale)
        expected = expected if posterior == "full" else np.diag(expected)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(model.transform(gaps), codes)


def test_training_improves_on_the_start(gaps):
    start = VAETransformer(2, max_iter=0).fit(gaps)
    model = VAETransformer(2, max_iter=60, early_stopping=False, random_state=0).fit(gaps)
    assert model.score(gaps) > start.score(gaps)


# -- what each part of the model does with them ------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
@each_posterior
def test_each_objective_and_posterior_trains(objective, posterior, gaps, quick):
    parameters = {"objective": objective, "posterior": posterior, "n_samples": 2}
    model = quick(likelihood=Gaussian("heteroscedastic"), **parameters).fit(gaps)
    assert np.isfinite(model.history_["loss"]).all()
    value, reconstruction, kl = model.elbo(gaps)
    np.testing.assert_allclose(value, reconstruction - kl)
    assert (model.score_samples(gaps)[1:] > value[1:] - 1e-6).all()


@pytest.mark.parametrize("name", CASES)
def test_each_likelihood_leaves_out_what_is_missing(name, quick):
    case = CASES[name]
    complete = np.random.RandomState(0).permutation(case.rows(case.likelihood, 60, 4))
    X = with_gaps(complete)
    if isinstance(case.likelihood, Categorical):
        # A variable is missing as a whole.
        X = np.where(np.isnan(X[:, :1]), np.nan, complete)
    model = quick(likelihood=case.likelihood).fit(X)
    scores = model.score_samples(X)
    assert np.isfinite(scores).all()
    empty = np.isnan(X).all(axis=1)
    np.testing.assert_allclose(scores[empty], 0, atol=1e-6)
    assert (scores[~empty] != 0).all()
    filled = model.impute(X)
    assert not np.isnan(filled).any()
    low, high = case.likelihood.support
    assert filled.min() >= low
    assert filled.max() <= high
    # And a model of complete rows takes them as well.
    assert np.isfinite(quick(likelihood=case.likelihood).fit(complete).score_samples(X)).all()


@pytest.mark.parametrize("name", CASES)
def test_a_density_of_some_columns_is_the_marginal_one(name):
    """Densities of one column, alone and beside a missing one, are the same."""
    case = CASES[name]
    if isinstance(case.likelihood, Categorical):
        pytest.skip("its columns are one variable")
    _, head, units = case.example()
    raw = head.centre.double().expand(5, -1)
    rows = torch.from_numpy(units.to_model(case.rows(case.likelihood, 5, 3)))
    x = skvae.data.missing.IncompleteRows(
        values=rows.masked_fill(torch.tensor([False, True, True]), 0.0),
        missing=torch.tensor([False, True, True]).expand(5, 3),
        inputs=rows,
        factor=torch.eye(2).expand(5, 2, 2),
    )
    p = head.double()(raw)
    torch.testing.assert_close(p.log_prob(x), p.base_dist.log_prob(rows)[:, 0])


def test_a_row_of_nothing_has_the_prior_and_the_density_1(trained, gaps):
    mean, scale = trained.latent_posterior(gaps[:1])
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_array_equal(scale, 1)
    assert trained.score_samples(gaps[:1]) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(np.ravel(trained.elbo(gaps[:1])), 0, atol=1e-9)


def test_a_column_without_values_changes_nothing_for_the_others(quick):
    X = with_gaps(linear_table())
    empty = np.column_stack([X, np.full(len(X), np.nan)])
    with pytest.warns(UserWarning, match=r"without any value: feature 6\. The model learns"):
        model = quick(max_iter=0).fit(empty)
    alone = quick(max_iter=0).fit(X)
    np.testing.assert_allclose(model.score_samples(empty), alone.score_samples(X), atol=1e-4)
    np.testing.assert_array_equal(model.impute(empty)[:, -1], 0)
    # Its first values are those of a standard normal.
    known = np.column_stack([np.full_like(X, np.nan), np.arange(len(X)) / 100])[:5]
    density = -0.5 * known[:, -1] ** 2 - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(model.score_samples(known), density, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_columns_with_few_values_do_not_follow_the_factors_by_chance(seed):
    """In a table of 20 rows a column has six values, and so two for each of three factors."""
    rng = np.random.RandomState(seed)
    complete = rng.randn(20, 3) @ rng.randn(3, 300) + 0.5 * rng.randn(20, 300)
    missing = rng.random_sample(complete.shape) < 0.7
    missing[0, missing.all(axis=0)] = False
    X = np.where(missing, np.nan, complete)
    filled = VAETransformer(3, max_iter=0).fit(X).impute(X)
    of_means = np.nanmean(X, axis=0) - complete
    errors = [np.mean(error[missing] ** 2) for error in (filled - complete, of_means)]
    assert errors[0] < 0.45 * errors[1]


def test_a_stream_that_begins_without_values_of_a_column_is_warned_of(gaps, quick):
    first = gaps.copy()
    first[:, 2] = np.nan
    with pytest.warns(UserWarning, match=r"feature 2\. They keep the scale 1"):
        model = quick().partial_fit(first)
    model.partial_fit(gaps)


@pytest.mark.parametrize("network", [MLP(linear_map=False), ConvNet((4,), 3)])
def test_networks_without_a_closed_form_train(network, digits, quick):
    X = with_gaps(digits[:200])
    model = quick(network=network, image_shape=(8, 8), max_iter=3).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert not np.isnan(model.impute(X)).any()


# -- complete rows, and the modes of training ------------------------------------------------


@pytest.mark.parametrize("sample", [False, True])
def test_only_incomplete_rows_are_imputed(sample, trained, gaps, monkeypatch):
    X = np.concatenate([gaps, np.nan_to_num(gaps)])
    n_applied = []
    apply = type(trained)._apply

    def spy(self, function, rows, **options):
        n_applied.append(len(rows))
        return apply(self, function, rows, **options)

    monkeypatch.setattr(type(trained), "_apply", spy)
    filled = trained.impute(X, sample=sample, random_state=0)
    assert n_applied == [np.isnan(gaps).any(axis=1).sum()]
    np.testing.assert_array_equal(filled[len(gaps) :], X[len(gaps) :])
    np.testing.assert_array_equal(trained.impute(X[len(gaps) :]), X[len(gaps) :])


def test_a_complete_row_has_the_same_results_beside_incomplete_ones(trained):
    complete = linear_table()[:20]
    beside = np.vstack([complete, with_gaps(complete)])
    for method in (trained.transform, trained.score_samples):
        np.testing.assert_allclose(method(beside)[:20], method(complete), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("early_stopping", [True, False, "cv"])
def test_each_way_of_stopping(early_stopping, gaps):
    # At a low rate, so that the first epoch is hardly worse than the start.
    model = VAETransformer(
        2, early_stopping=early_stopping, max_iter=3, learning_rate_init=1e-3, random_state=0
    )
    model.fit(gaps)
    assert np.isfinite(model.history_["loss"]).all()
    if early_stopping:
        assert np.isfinite(model.best_validation_score_)
    start = VAETransformer(2, max_iter=0).fit(gaps)
    # In the units of the data, of the values that are there.
    assert -model.history_["loss"][0] == pytest.approx(start.score(gaps), abs=1)


def test_gaps_in_the_validation_rows_only():
    X = linear_table()
    X_val = with_gaps(X[:50]) * 10.0
    model = VAETransformer(2, max_iter=3, random_state=0).fit(X * 10.0, X_val=X_val)
    # The Jacobian of the values that are there, not that of complete rows.
    expected = model.elbo(X_val).value.mean()
    assert model.best_validation_score_ == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("first", ["gaps", "complete"])
def test_a_model_continues_on_rows_with_gaps_and_without(first, gaps):
    tables = {"gaps": gaps, "complete": linear_table()}
    second = next(name for name in tables if name != first)
    model = VAETransformer(2, max_iter=3, early_stopping=False, warm_start=True, random_state=0)
    model.fit(tables[first]).fit(tables[second])
    assert len(model.history_["loss"]) == 6
    assert np.isfinite(model.score_samples(gaps)).all()
    parts = VAETransformer(2, random_state=0)
    parts.partial_fit(tables[first]).partial_fit(tables[second])
    assert np.isfinite(parts.score_samples(gaps)).all()
    loaded = pickle.loads(pickle.dumps(parts))
    assert_same(outputs(loaded, gaps), outputs(parts, gaps))


def test_a_stored_model_gives_the_same(trained, gaps, tmp_path):
    path = tmp_path / "model.skops"
    skops.io.dump(trained, path)
    loaded = skops.io.load(path, trusted=skvae.TRUSTED_TYPES)
    assert_same(outputs(loaded, gaps), outputs(trained, gaps))
    np.testing.assert_array_equal(loaded.impute(gaps), trained.impute(gaps))


def test_results_do_not_depend_on_the_batching_of_the_rows(trained, gaps, small_blocks):
    each = np.vstack([trained.transform(gaps[i : i + 1]) for i in range(20)])
    np.testing.assert_allclose(trained.transform(gaps)[:20], each, atol=1e-6)


def test_the_same_seed_gives_the_same_bits(gaps, quick):
    assert_same(outputs(quick().fit(gaps), gaps), outputs(quick().fit(gaps), gaps))


# -- tables of all kinds ---------------------------------------------------------------------


def nullable_frame(X):
    frame = pd.DataFrame(np.rint(X), columns=list("abcdef"))
    return frame.astype(dict.fromkeys("abc", "Int64") | dict.fromkeys("de", "Float32"))


KINDS = {
    "float32": np.float32,
    "masked": np.ma.masked_invalid,
    "list": lambda X: [[None if np.isnan(v) else v for v in row] for row in X],
    "pandas": lambda X: pd.DataFrame(X, columns=list("abcdef")),
    "nullable": nullable_frame,
    "polars": lambda X: pl.DataFrame(X, schema=list("abcdef")).fill_nan(None),
    "sparse": csr_array,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_of_table(kind, gaps, quick):
    X = kind(gaps)
    plain = np.rint(gaps) if kind is nullable_frame else gaps
    model = quick().fit(X)
    assert model.score(X) == pytest.approx(quick().fit(plain).score(plain), rel=1e-4)


def test_in_a_pipeline_after_a_scaler(gaps):
    pipeline = make_pipeline(StandardScaler(), VAETransformer(2, max_iter=3, random_state=0))
    assert np.isfinite(pipeline.fit(gaps).score(gaps))


# -- what is refused ---------------------------------------------------------------------------


def test_infinity_is_refused_by_the_name_of_its_column(quick):
    frame = pd.DataFrame(linear_table(), columns=list("abcdef"))
    frame.loc[[3, 5], "c"] = np.inf
    with pytest.raises(ValueError, match=r"(?s)infinity.*by column: 'c' \(2\)\."):
        quick().fit(frame)
    with pytest.raises(ValueError, match=r"(?s)infinity.*by column: feature 2 \(2\)\."):
        quick().fit(frame.to_numpy())


def test_an_autoencoder_refuses_missing_values_by_the_name_of_their_column(gaps, quick):
    with pytest.raises(
        ValueError, match=r"(?s)AutoencoderTransformer does not accept.*feature 1"
    ):
        quick(AutoencoderTransformer).fit(gaps)
    assert not AutoencoderTransformer().__sklearn_tags__().input_tags.allow_nan
    assert VAETransformer().__sklearn_tags__().input_tags.allow_nan


def test_codes_may_not_be_missing(trained):
    with pytest.raises(ValueError, match="Z contains NaN"):
        trained.inverse_transform([[0.0, np.nan]])


def test_a_one_hot_variable_may_not_be_missing_in_part(quick):
    X = np.eye(4)[np.arange(40) % 4]
    X[3] = np.nan
    model = quick(likelihood="categorical").fit(X)
    X[5, 2] = np.nan
    with pytest.raises(ValueError, match=r"columns 0 to 3 of each row of X, or NaN in all of"):
        quick(likelihood="categorical").fit(X)
    with pytest.raises(ValueError, match="or NaN in all of them"):
        model.transform(X)


@pytest.mark.parametrize("likelihood", ["poisson", "bernoulli"])
def test_values_outside_the_support_are_refused_beside_missing_ones(likelihood, quick):
    X = np.ones((20, 3))
    X[:, 0], X[3, 1], X[4, 2] = np.arange(20) % 2, np.nan, -3.0
    with pytest.raises(ValueError, match=r"feature 2 of X ranges from -3 to 1"):
        quick(likelihood=likelihood).fit(X)


def test_a_table_without_values_is_refused_and_an_earlier_fit_stays(gaps, quick):
    model = quick().fit(gaps)
    before = model.score(gaps)
    for arguments in ((gaps * np.nan,), (gaps, None, gaps * np.nan)):
        with pytest.raises(ValueError, match=r"All values of X(_val)? are missing"):
            model.fit(*arguments)
    assert model.score(gaps) == before


class _Rows(torch.distributions.MultivariateNormal):
    """A density of whole rows, which says nothing of a part of them."""


class _RowsLikelihood(Gaussian):
    def head(self, units):
        return skvae.likelihoods.base.LikelihoodHead(self, units)

    def parameters(self, units):
        return {}

    def distribution(self, raw):
        return _Rows(raw, torch.eye(raw.shape[-1]).to(raw), validate_args=False)

    has_closed_form = False


def test_a_density_of_whole_rows_is_refused_with_what_to_do(gaps, quick):
    with pytest.raises(ValueError, match="_Rows has no method observed_log_prob"):
        quick(likelihood=_RowsLikelihood()).fit(gaps)
