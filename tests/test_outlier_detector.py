"""VAEOutlierDetector in scikit-learn's words for outlier detectors."""

import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
from missing_cases import linear_table
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import TRUSTED_TYPES, VAEOutlierDetector, VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


def detector(**parameters):
    return VAEOutlierDetector(**{"max_iter": 0, "random_state": 0} | parameters)


@pytest.fixture(scope="module")
def table():
    """Return rows of which the last tenth have values from other rows in each column."""
    X = linear_table()
    rng = np.random.default_rng(0)
    n = len(X) // 10
    mixed = np.column_stack([rng.permutation(column)[:n] for column in X.T])
    return np.vstack([X[n:], mixed]), np.repeat([1, -1], [len(X) - n, n])


def test_rows_whose_values_do_not_fit_together_are_found(table):
    X, y = table
    # A normal distribution that knows which are the inliers, and one column after the other.
    mean, covariance = X[y == 1].mean(axis=0), np.cov(X[y == 1].T)
    together = multivariate_normal(mean, covariance).logpdf(X)
    apart = multivariate_normal(mean, np.diag(np.diag(covariance))).logpdf(X)
    found = detector().fit(X).score_samples(X)
    best, worst = roc_auc_score(y, together), roc_auc_score(y, apart)
    assert roc_auc_score(y, found) > (best + worst) / 2


def test_the_scores_are_densities_of_the_model_of_its_support(table):
    X, _ = table
    model = detector(latent_dim=2).fit(X)
    assert len(model.support_) == int(np.ceil(0.8 * len(X)))
    vae = VAETransformer(2, max_iter=0, random_state=0)
    expected = vae.fit(X[model.support_]).score_samples(X)
    np.testing.assert_array_equal(model.score_samples(X), expected)
    assert not {model.score_samples(X).argmin()} & set(model.support_.tolist())


def test_all_rows_are_the_support_if_they_are_known_to_be_inliers(table):
    X, _ = table
    model = detector(latent_dim=2, support_fraction=1).fit(X)
    np.testing.assert_array_equal(model.support_, np.arange(len(X)))


def test_outliers_in_training_do_not_shape_the_model(table):
    X, y = table
    far = X.copy()
    far[y == -1] = X.mean(axis=0) + 30 * X.std(axis=0)  # a tight cluster
    inliers = X[y == 1]
    robust, plain = (detector(support_fraction=share).fit(far) for share in (0.8, 1))
    alone = detector(support_fraction=1).fit(inliers)
    errors = [
        np.abs(model.score_samples(inliers) - alone.score_samples(inliers)).mean()
        for model in (robust, plain)
    ]
    assert not set(robust.support_) & set(np.flatnonzero(y == -1))
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.5])
def test_contamination_is_the_share_of_outliers_and_changes_no_score(contamination, table):
    X, _ = table
    model = detector(contamination=contamination).fit(X)
    assert np.mean(model.predict(X) == -1) == pytest.approx(contamination, abs=1 / len(X))
    np.testing.assert_array_equal(
        model.decision_function(X), model.score_samples(X) - model.offset_
    )
    np.testing.assert_array_equal(model.predict(X) == -1, model.decision_function(X) < 0)
    np.testing.assert_array_equal(model.score_samples(X), detector().fit(X).score_samples(X))


@pytest.mark.parametrize(("n_features", "latent_dim"), [(1, 1), (2, 1), (6, 3), (40, 8)])
def test_automatic_number_of_dimensions(n_features, latent_dim):
    X = np.random.default_rng(0).normal(size=(60, n_features))
    assert detector().fit(X).vae_.latent_dim == latent_dim


def test_a_scaler_before_it_changes_no_order(table):
    X, _ = table
    units = 10.0 ** np.arange(X.shape[1])
    scores = detector().fit(X * units).score_samples(X * units)
    scaled = make_pipeline(StandardScaler(), detector()).fit(X * units)
    difference = scaled.score_samples(X * units) - scores
    np.testing.assert_allclose(difference, difference[0], atol=1e-3)


def test_missing_values_make_no_row_an_outlier(table):
    X, _ = table
    model = detector().fit(X)
    holes = X[:50].copy()
    holes[::2, 1] = np.nan
    found = model.score_samples(holes)
    np.testing.assert_array_equal(found[1::2], model.score_samples(X[1:50:2]))
    # Their conditional means are at least as probable as the values were, nearly always.
    assert np.mean(found[::2] > model.score_samples(X[:50:2])) > 0.8
    assert np.isfinite(detector().fit(holes).decision_function(holes)).all()


def test_frames_with_categories(table):
    X, _ = table
    frame = pd.DataFrame(X, columns=list("abcdef"))
    frame["kind"] = pd.Categorical(np.where(frame["a"] > 0, "high", "low"))
    model = detector().fit(frame)
    assert model.feature_names_in_.tolist() == [*"abcdef", "kind"]
    row = frame.nlargest(1, "a")
    other = row.assign(kind=pd.Categorical(["low"], categories=["high", "low"]))
    assert model.score_samples(other) < model.score_samples(row)
    model.fit(X)
    assert not hasattr(model, "feature_names_in_")


def test_a_category_of_left_out_rows_only_is_known_and_improbable(table):
    X, _ = table
    frame = pd.DataFrame(X, columns=list("abcdef"))
    farthest = np.square((X - X.mean(axis=0)) / X.std(axis=0)).sum(axis=1).argmax()
    kinds = np.where(np.arange(len(X)) % 2, "one", "two").astype(object)
    kinds[farthest] = "rare"
    frame["kind"] = pd.Categorical(kinds)
    model = detector().fit(frame)  # without a warning
    assert farthest not in model.support_
    row = frame.iloc[[5]]
    rare = row.assign(kind=pd.Categorical(["rare"], categories=frame["kind"].cat.categories))
    assert model.score_samples(rare) < model.score_samples(row) - 2


def test_a_stored_detector_gives_the_same(table):
    X, _ = table
    model = detector().fit(X)
    trusted = skops.io.loads(skops.io.dumps(model), trusted=TRUSTED_TYPES)
    for loaded in (pickle.loads(pickle.dumps(model)), trusted):
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(model).fit_predict(X), model.predict(X))


def test_its_model_is_as_one_that_was_fitted_itself(table):
    X, _ = table
    model = detector(latent_dim=2).fit(X)
    vae = VAETransformer(2, max_iter=0, random_state=0).fit(X[model.support_])
    assert set(vars(model.vae_)) == set(vars(vae))


def test_weights_of_rows_are_refused_with_what_to_do(table):
    with pytest.raises(TypeError, match="Repeat or draw rows"):
        detector().fit(table[0], sample_weight=np.ones(len(table[0])))


def test_a_bad_argument_is_refused_and_an_earlier_fit_stays(table):
    X, _ = table
    model = detector().fit(X)
    before = model.predict(X)
    for name in ("contamination", "support_fraction", "latent_dim"):
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            detector(**{name: 0}).fit(X)
    with pytest.raises(ValueError, match="Unknown likelihood 'normal'"):
        detector(likelihood="normal").fit(X)
    with pytest.raises(ValueError, match="All values of X are missing"):
        model.fit(X * np.nan)
    np.testing.assert_array_equal(model.predict(X), before)


def test_categories_of_arrays_may_have_any_codes(table):
    X = table[0].copy()
    codes, scores = np.arange(len(X)) % 3, []
    for first, step in ((0, 1), (1, 1), (10, 10)):
        X[:, 2] = first + step * codes
        scores.append(detector(categorical_features=[2]).fit(X).score_samples(X))
    np.testing.assert_allclose(scores[1:], [scores[0]] * 2, rtol=1e-5)


def test_parameters_of_components_can_be_set_by_their_names():
    model = detector().set_params(likelihood__noise="isotropic")
    assert model.likelihood.noise == "isotropic"
