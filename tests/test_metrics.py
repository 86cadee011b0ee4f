"""The scorers: densities in the units of raw rows, and reconstructions through all steps."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Gaussian
from skvae.metrics import log_density, log_likelihood_scorer, reconstruction_scorer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

LINEAR = {
    "standard": StandardScaler(),
    "without-std": StandardScaler(with_std=False),
    "minmax": MinMaxScaler((-3, 5)),
    "maxabs": MaxAbsScaler(),
    "robust": RobustScaler(quantile_range=(10, 60), unit_variance=True),
    "centred": RobustScaler(with_scaling=False),
    "nested": make_pipeline(MinMaxScaler(), "passthrough", StandardScaler()),
}
POWER = {
    "yeo-johnson": PowerTransformer(),
    "box-cox": PowerTransformer("box-cox", standardize=False),
}
SCALERS = LINEAR | POWER
MODELS = {
    "mixture": GaussianMixture(2, random_state=0),
    "factors": FactorAnalysis(1),
    "vae": VAETransformer(1, max_iter=0, random_state=0),
}
each_scaler = pytest.mark.parametrize("scaler", SCALERS.values(), ids=list(SCALERS))
each_linear = pytest.mark.parametrize("scaler", LINEAR.values(), ids=list(LINEAR))
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))


@pytest.fixture(scope="module")
def wine():
    return load_wine().data


# -- the density -----------------------------------------------------------------------


@each_scaler
@each_model
def test_the_density_of_the_raw_rows_integrates_to_one(model, scaler):
    X = np.random.default_rng(0).gamma(8.0, size=(300, 1))
    fitted = make_pipeline(clone(scaler), clone(model)).fit(X)
    grid = np.linspace(1e-6, 60, 4000)[:, None]
    if scaler not in POWER.values():
        grid -= 30
    density = np.exp(log_density(fitted, grid))
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1, abs=2e-3)


def test_yeo_johnson_on_both_sides_of_zero():
    X = np.random.default_rng(0).normal(size=(300, 1)) ** 3
    fitted = make_pipeline(PowerTransformer(), GaussianMixture(2, random_state=0)).fit(X)
    grid = np.linspace(-60, 60, 200_001)[:, None]
    density = np.exp(log_density(fitted, grid))
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1, abs=2e-3)


@each_linear
def test_equal_models_have_equal_scores(scaler, wine):
    # Neither depends on the scale of the columns.
    for model in (VAETransformer(2, max_iter=0), GaussianMixture(reg_covar=0)):
        alone = clone(model).fit(wine).score(wine)
        scaled = make_pipeline(clone(scaler), model).fit(wine)
        assert log_likelihood_scorer(scaled, wine) == pytest.approx(alone, rel=1e-4)
        assert log_likelihood_scorer(model.fit(wine), wine) == pytest.approx(alone)


def test_without_steps_it_is_the_score_of_pca(wine):
    model = PCA(2).fit(wine)
    assert log_likelihood_scorer(model, wine) == pytest.approx(model.score(wine))


@each_scaler
def test_missing_values_are_left_out(scaler, wine):
    X = wine.copy()
    X[::3, 4] = X[5] = np.nan
    fitted = make_pipeline(clone(scaler), VAETransformer(2, max_iter=0)).fit(X)
    density = log_density(fitted, X)
    assert density[5] == pytest.approx(0)
    # The density of a row without a column is the integral over it, by 400 points.
    row = X[[1]].repeat(400, axis=0)
    row[:, 4] = np.linspace(1, 2.5 * wine[:, 4].max(), 400)
    marginal = np.trapezoid(np.exp(log_density(fitted, row)), row[:, 4])
    without = X[[1]].copy()
    without[0, 4] = np.nan
    assert np.log(marginal) == pytest.approx(log_density(fitted, without)[0], abs=0.05)


def test_sparse_rows_and_frames(wine):
    X = sparse.csr_array(np.where(wine > 3, wine, 0.0))
    fitted = make_pipeline(MaxAbsScaler(), VAETransformer(2, max_iter=0)).fit(X)
    dense = log_density(fitted, X.toarray())
    np.testing.assert_allclose(log_density(fitted, X), dense, rtol=1e-6)
    frame = pd.DataFrame(wine, columns=[f"c{j}" for j in range(13)])
    fitted = clone(fitted).set_output(transform="pandas").fit(frame)
    own = log_density(clone(fitted).fit(wine), wine)
    np.testing.assert_allclose(log_density(fitted, frame), own, rtol=1e-6)


# -- what has none ---------------------------------------------------------------------


@pytest.mark.parametrize("step", [Normalizer(), FunctionTransformer(), SimpleImputer()])
def test_other_steps_are_refused_by_name(step, wine):
    fitted = Pipeline([("first", step), ("model", PCA(2))]).fit(wine)
    with pytest.raises(TypeError, match=rf"'first' \({type(step).__name__}\)"):
        log_likelihood_scorer(fitted, wine)


@pytest.mark.parametrize("step", [MinMaxScaler(clip=True), MaxAbsScaler(clip=True)])
def test_clipping_has_no_density(step, wine):
    with pytest.raises(ValueError, match="clip=False"):
        log_likelihood_scorer(make_pipeline(step, PCA(2)).fit(wine), wine)


def test_scores_that_are_no_densities_are_refused(wine):
    y = np.arange(len(wine)) % 2
    for model in (
        IsolationForest(n_estimators=5),
        AutoencoderTransformer(max_iter=0),
        LogisticRegression(),
    ):
        fitted = make_pipeline(StandardScaler(), model).fit(wine, y)
        with pytest.raises(TypeError, match=f"{type(model).__name__} has no log-density"):
            log_likelihood_scorer(fitted, wine)
    with pytest.raises(TypeError, match="no model"):
        log_likelihood_scorer(Pipeline([("none", "passthrough")]), wine)


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson", Gaussian(marginals="normal")])
def test_probabilities_are_refused_after_a_scaler_only(likelihood):
    X = (10 * load_iris().data).round() % 2
    model = VAETransformer(1, likelihood=likelihood, max_iter=0)
    scaled = make_pipeline(MinMaxScaler(), model).fit(X)
    with pytest.raises(ValueError, match="leave out the step 'minmaxscaler'"):
        log_likelihood_scorer(scaled, X)
    rows = scaled[:-1].transform(X)
    assert log_likelihood_scorer(model.fit(rows), rows) == model.score(rows)


# -- the reconstruction ----------------------------------------------------------------


@each_scaler
def test_the_error_is_that_of_the_rows_that_come_back(scaler, wine):
    fitted = make_pipeline(clone(scaler), PCA(3)).fit(wine)
    back = fitted.inverse_transform(fitted.transform(wine))
    expected = -np.mean((wine - back) ** 2)
    assert reconstruction_scorer(fitted, wine) == pytest.approx(expected)
    holes = wine.copy()
    holes[0] = np.nan
    fitted = make_pipeline(clone(scaler), VAETransformer(2, max_iter=0)).fit(holes)
    back = fitted.inverse_transform(fitted.transform(holes))
    expected = -np.mean((wine - back)[1:] ** 2)
    assert reconstruction_scorer(fitted, holes) == pytest.approx(expected)


def test_models_without_inverse_transform(wine):
    # The part of a row that the factors explain, by the covariance alone.
    factors = FactorAnalysis(2).fit(wine)
    covariance = factors.get_covariance()
    unexplained = np.linalg.solve(covariance, np.diag(factors.noise_variance_))
    error = np.mean(((wine - factors.mean_) @ unexplained) ** 2)
    assert reconstruction_scorer(factors, wine) == pytest.approx(-error)
    # As many components as rows: each comes back as it is.
    X = load_iris().data[:6]
    mixture = GaussianMixture(6, reg_covar=1e-6, random_state=0).fit(X)
    assert reconstruction_scorer(mixture, X) > -1e-3
    one = GaussianMixture(1).fit(X)
    assert reconstruction_scorer(one, X) == pytest.approx(-X.var(axis=0).mean())


def test_steps_without_a_way_back_are_refused_by_name(wine):
    fitted = make_pipeline(Normalizer(), PCA(2)).fit(wine)
    with pytest.raises(TypeError, match=r"'normalizer' \(Normalizer\)"):
        reconstruction_scorer(fitted, wine)
    with pytest.raises(TypeError, match="IsolationForest has no transform"):
        reconstruction_scorer(IsolationForest(n_estimators=5).fit(wine), wine)


def test_reconstructions_of_categories_are_refused():
    frame = pd.DataFrame({"a": np.arange(30.0), "b": pd.Categorical(list("xyz") * 10)})
    model = VAETransformer(1, max_iter=0).fit(frame)
    with pytest.raises(ValueError, match=r"Use the estimator's own `score`.*column 'b'"):
        reconstruction_scorer(model, frame)


# -- in searches -----------------------------------------------------------------------


@pytest.mark.parametrize("scorer", [log_likelihood_scorer, reconstruction_scorer])
def test_a_search_over_scalers_in_two_processes(scorer, wine):
    search = GridSearchCV(
        Pipeline([("scale", "passthrough"), ("model", VAETransformer(2, max_iter=0))]),
        {"scale": ["passthrough", MinMaxScaler(), StandardScaler()]},
        scoring=scorer,
        cv=2,
        n_jobs=2,
        error_score="raise",
    )
    search = pickle.loads(pickle.dumps(clone(search))).fit(wine)
    # The model has its own units: all are the same.
    scores = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-3)
    assert search.score(wine) == scorer(search, wine) == scorer(search.best_estimator_, wine)
