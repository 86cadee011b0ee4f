"""VAEImputer in scikit-learn's words for imputers."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from missing_cases import linear_table, with_gaps
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skvae import VAEImputer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def gaps():
    return with_gaps(linear_table())


def imputer(**parameters):
    defaults = {"latent_dim": 2, "max_iter": 0, "random_state": 0}
    return VAEImputer(**defaults | parameters)


def test_it_gives_the_imputation_of_its_model(gaps):
    model = imputer().fit(gaps)
    np.testing.assert_array_equal(model.transform(gaps), model.vae_.impute(gaps))
    assert model.vae_.latent_dim == 2


def test_means_are_closer_to_the_truth_than_those_of_the_columns():
    X = load_breast_cancer().data
    X = StandardScaler().fit_transform(X)
    holes = with_gaps(X, 0.3)
    missing = np.isnan(holes)
    errors = {
        type(each).__name__: np.square(each.fit_transform(holes) - X)[missing].mean()
        for each in (imputer(latent_dim="auto"), SimpleImputer())
    }
    assert errors["VAEImputer"] < 0.3 * errors["SimpleImputer"]


def test_draws_spread_around_the_means(gaps):
    missing = np.isnan(gaps)
    means = imputer().fit_transform(gaps)
    draws = np.stack(
        [imputer(sample_posterior=True, random_state=k).fit_transform(gaps) for k in range(20)]
    )
    np.testing.assert_array_equal(draws[:, ~missing], np.tile(gaps[~missing], (20, 1)))
    spread = draws[:, missing].std(axis=0)
    assert (spread > 0).all()
    errors = (draws[:, missing].mean(axis=0) - means[missing]) / spread * np.sqrt(20)
    assert 0.8 < np.std(errors) < 1.3


def test_the_same_seed_gives_the_same_draws(gaps):
    model = imputer(sample_posterior=True).fit(gaps)
    np.testing.assert_array_equal(model.transform(gaps), model.transform(gaps))


@pytest.mark.parametrize("placeholder", [-1, "?", None, np.nan])
def test_each_placeholder_of_missing_values(placeholder, gaps):
    X = gaps
    if not isinstance(placeholder, float):
        X = np.where(np.isnan(gaps), placeholder, gaps.astype(object))
        X = X.astype(float) if placeholder == -1 else X
    found = imputer(missing_values=placeholder).fit_transform(X)
    np.testing.assert_array_equal(found, imputer().fit_transform(gaps))


def test_missing_values_of_pandas_under_either_name(gaps):
    frame = pd.DataFrame(gaps, columns=list("abcdef")).convert_dtypes()
    for placeholder in (pd.NA, np.nan):
        model = imputer(missing_values=placeholder)
        assert model.__sklearn_tags__().input_tags.allow_nan
        np.testing.assert_allclose(model.fit_transform(frame), imputer().fit_transform(gaps))


@pytest.mark.parametrize("placeholder", [-1, "?"])
def test_a_placeholder_other_than_nan_refuses_nan(placeholder, gaps):
    model = imputer(missing_values=placeholder)
    for X in (gaps, gaps.tolist()):
        with pytest.raises(ValueError, match=r"besides missing_values=.*, in feature 0, f"):
            model.fit(X)
    with pytest.raises(ValueError, match=r"besides missing_values=.*, in 'a', 'b'"):
        model.fit(pd.DataFrame(gaps, columns=list("abcdef")))
    nullable = pd.DataFrame({"a": pd.array([1, 2] * 5), "b": pd.array([True, None] * 5)})
    with pytest.raises(ValueError, match=r"besides missing_values=.*, in 'b'"):
        imputer(missing_values="?").fit(nullable)


def test_a_string_does_not_stand_for_missing_numbers(gaps):
    with pytest.raises(ValueError, match="missing_values='-1' is a string, but X has only num"):
        imputer(missing_values="-1").fit(np.nan_to_num(gaps, nan=-1))


def test_features_without_values_are_dropped_or_kept_as_0(gaps):
    X = np.column_stack([gaps[:, :2], np.full(len(gaps), np.nan), gaps[:, 2:]])
    with pytest.warns(UserWarning, match="without any value are dropped: x2. To keep"):
        dropped = imputer().fit(X)
    kept = imputer(keep_empty_features=True).fit(X)
    assert dropped.get_feature_names_out().tolist() == ["x0", "x1", "x3", "x4", "x5", "x6"]
    assert kept.get_feature_names_out().tolist() == [f"x{j}" for j in range(7)]
    assert dropped.transform(X).shape == (len(X), 6)
    np.testing.assert_array_equal(kept.transform(X)[:, 2], 0)
    np.testing.assert_array_equal(dropped.transform(X), imputer().fit_transform(gaps))
    drawing = imputer(keep_empty_features=True, sample_posterior=True).fit(X)
    np.testing.assert_array_equal(drawing.transform(X)[:, 2], 0)
    X[3, 2] = 5.0
    assert kept.transform(X)[3:5, 2].tolist() == [5.0, 0.0]
    with pytest.warns(UserWarning, match="have some now; they are dropped: x2"):
        dropped.transform(X)


def test_indicators_are_appended_with_their_names(gaps):
    frame = pd.DataFrame(gaps, columns=list("abcdef"))
    frame["a"] = frame["a"].fillna(0.0)
    model = imputer(add_indicator=True).set_output(transform="pandas")
    out = model.fit_transform(frame)
    names = [f"missingindicator_{name}" for name in "bcdef"]
    assert list(out) == [*"abcdef", *names]
    np.testing.assert_array_equal(out[names], frame[list("bcdef")].isna())
    pd.testing.assert_frame_equal(out[list("abcdef")].where(frame.notna()), frame)


def test_in_a_search_before_a_classifier_and_in_a_column_transformer():
    X, y = load_iris(return_X_y=True)
    X = with_gaps(X, 0.2)
    columns = ColumnTransformer([("filled", imputer(latent_dim=1), [0, 1, 2, 3])])
    search = GridSearchCV(
        make_pipeline(columns, StandardScaler(), LogisticRegression()),
        {"columntransformer__filled__latent_dim": [1, 2]},
        cv=3,
    )
    assert search.fit(X, y).best_score_ > 0.8


def test_a_stored_imputer_gives_the_same(gaps):
    model = imputer(add_indicator=True).fit(gaps)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.transform(gaps), model.transform(gaps))
    assert clone(model).get_params()["add_indicator"]


def test_a_table_without_values_is_refused_and_an_earlier_fit_stays(gaps):
    model = imputer().fit(gaps)
    before = model.transform(gaps)
    with pytest.raises(ValueError, match="All values of X are missing"):
        model.fit(gaps * np.nan)
    with pytest.raises(ValueError, match=r"(?s)infinity.*by column"):
        model.fit(np.where(np.isnan(gaps), np.inf, gaps))
    np.testing.assert_array_equal(model.transform(gaps), before)


def test_a_bad_parameter_is_refused_before_any_training(gaps):
    with pytest.raises(ValueError, match="'latent_dim' parameter"):
        VAEImputer(latent_dim=0).fit(gaps)
    with pytest.raises(ValueError, match="Unknown likelihood 'normal'"):
        VAEImputer(likelihood="normal").fit(gaps)


def test_training_improves_on_the_start():
    X = StandardScaler().fit_transform(load_iris().data)
    holes = with_gaps(X, 0.4, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        errors = [
            np.square(imputer(latent_dim="auto", max_iter=n).fit_transform(holes) - X).sum()
            for n in (0, "auto")
        ]
    assert errors[1] < errors[0]


def test_parameters_of_components_can_be_set_by_their_names():
    imputer = VAEImputer().set_params(network__activation="tanh")
    assert imputer.network.activation == "tanh"
