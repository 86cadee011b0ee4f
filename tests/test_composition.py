"""The estimator among scikit-learn's: pipelines, searches, data frames, metadata."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.parallel import Parallel, delayed

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Gaussian
from skvae.networks import MLP

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
COLUMNS = ["sepal length", "sepal width", "petal length", "petal width"]
CODES = ["vaetransformer0", "vaetransformer1"]
each_frame = pytest.mark.parametrize("library", FRAMES)


def as_frame(library, rows):
    return FRAMES[library](dict(zip(COLUMNS, rows.T, strict=True)))


@pytest.fixture(scope="module")
def card(quick, iris):
    """Return the pipeline of the project's main use."""
    vae = quick(latent_dim=2, max_iter=20)
    return Pipeline([("scale", MinMaxScaler()), ("vae", vae)]).fit(iris)


# -- pipelines -------------------------------------------------------------------------


def test_a_pipeline_reduces_goes_back_scores_and_samples(card, iris):
    Z = card.transform(iris)
    assert Z.shape == (150, 2)
    decoded = card.inverse_transform(Z)
    # Two dimensions of iris keep nearly all: in its own units, after both steps back.
    assert np.mean((decoded - iris) ** 2) < 0.2 * iris.var(axis=0).mean()
    inner = card["vae"].score_samples(card["scale"].transform(iris))
    np.testing.assert_array_equal(card.score_samples(iris), inner)
    assert card.score(iris) == pytest.approx(inner.mean())
    new = card["scale"].inverse_transform(card["vae"].sample(5000, random_state=0))
    np.testing.assert_allclose(new.mean(axis=0), iris.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(new.std(axis=0), iris.std(axis=0), rtol=0.2)
    assert list(card.get_feature_names_out()) == CODES


def test_it_comes_before_a_classifier(quick, iris):
    model = make_pipeline(StandardScaler(), quick(latent_dim=2), KNeighborsClassifier())
    y = np.repeat([0, 1, 2], 50)
    assert cross_val_score(model, iris, y).mean() > 0.85


def test_it_stands_beside_other_columns(quick, iris):
    frame = pd.DataFrame(iris, columns=COLUMNS)
    union = FeatureUnion([("a", quick(latent_dim=1)), ("b", quick(latent_dim=3))])
    columns = ColumnTransformer([("codes", union, COLUMNS[:3])], remainder="passthrough")
    names = columns.set_output(transform="pandas").fit_transform(frame).columns
    assert [name.split("__")[-1] for name in names] == [
        "vaetransformer0", "vaetransformer0", "vaetransformer1", "vaetransformer2",
        "petal width",
    ]  # fmt: skip


def test_it_shows_itself_as_an_estimator_does(card):
    network = MLP((7,))
    assert repr(VAETransformer(latent_dim=3, network=network)) == (
        "VAETransformer(latent_dim=3, network=MLP(hidden_layer_sizes=(7,)))"
    )
    assert "VAETransformer" in card._repr_html_()


# -- searches --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*were clipped to it:UserWarning")
def test_a_grid_search_in_two_processes_reaches_inside_and_pickles(quick, iris):
    model = Pipeline([("scale", MinMaxScaler()), ("vae", quick(max_iter=2))])
    grid = [
        {"vae__latent_dim": [1, 2], "vae__learning_rate_init": [1e-3, 1e-2]},
        {"vae__network__hidden_layer_sizes": [(8,), (8, 4), []]},
        {"vae__likelihood": ["gaussian", "bernoulli", Gaussian(noise=0.2)]},
        {"vae__likelihood__noise": ["per_feature", "isotropic", 0.1]},
        {"vae__likelihood": [Gaussian()], "vae__likelihood__noise": ["isotropic"]},
    ]
    # Unshuffled, a fold is one species: it leaves the training folds' range for sure.
    search = GridSearchCV(model, grid, n_jobs=2, cv=3, error_score="raise").fit(iris)
    results = search.cv_results_
    assert np.isfinite(results["mean_test_score"]).all()
    assert len(set(np.round(results["mean_test_score"][:4], 6))) == 4
    # The same model in three places, by name and by object, in whichever process.
    same = [i for i, p in enumerate(results["params"]) if "isotropic" in p.values()]
    assert len(set(results["mean_test_score"][same])) == 1
    loaded = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(loaded.transform(iris), search.transform(iris))
    assert loaded.best_params_.keys() == search.best_params_.keys()
    # What a process gives is what this one gives.
    alone = clone(model).set_params(**search.best_params_).fit(iris)
    np.testing.assert_allclose(alone.transform(iris), search.transform(iris), atol=1e-3)


def test_rows_scaled_by_minmaxscaler_are_inside_for_all_its_rounding(quick):
    # (x - min) * (1 / range) may come to 1 + 2e-16, and to 1 + 1e-7 in float32.
    rng = np.random.RandomState(0)
    for dtype in (np.float32, np.float64):
        X = MinMaxScaler().fit_transform(rng.lognormal(size=(50, 40)).astype(dtype))
        assert X.max() > 1
        model = quick(likelihood="bernoulli").fit(X)
        assert np.isfinite(model.score(X)), "and no warning either"


@pytest.mark.filterwarnings("ignore:.*were clipped to it:UserWarning")
def test_held_out_folds_outside_the_unit_interval_do_not_break_a_search(quick, iris):
    for likelihood in ("bernoulli", "continuous_bernoulli"):
        model = make_pipeline(MinMaxScaler(), quick(likelihood=likelihood))
        scores = cross_val_score(model, iris, cv=3, error_score="raise")
        assert np.isfinite(scores).all()


def threads_around_a_fit(n_features):
    """Return the threads of torch in a worker before and after a fit."""
    X = np.random.RandomState(0).rand(400, n_features)
    before = torch.get_num_threads()
    VAETransformer(max_iter=1, batch_size=200, early_stopping=False).fit(X).score(X[:5])
    return before, torch.get_num_threads()


def test_workers_share_the_cores_between_them():
    # scikit-learn's Parallel takes this process's filters of warnings along.
    counts = Parallel(n_jobs=2)(delayed(threads_around_a_fit)(n) for n in (10, 200, 10, 200))
    share = max(1, joblib.cpu_count() // 2)
    assert all(before == after <= share for before, after in counts)


# -- data frames ---------------------------------------------------------------------------


@each_frame
def test_frames_in_and_out(library, quick, iris):
    frame = as_frame(library, iris)
    model = quick().set_output(transform=library).fit(frame)
    assert list(model.feature_names_in_) == COLUMNS
    Z = model.transform(frame)
    assert isinstance(Z, FRAMES[library])
    assert list(Z.columns) == CODES == list(model.get_feature_names_out())
    # A frame's columns lie apart in memory, and sums over them round in another order.
    plain = quick().fit(iris)
    np.testing.assert_allclose(Z.to_numpy(), plain.transform(iris), rtol=1e-9)
    decoded = plain.inverse_transform(plain.transform(iris))
    np.testing.assert_allclose(model.inverse_transform(Z), decoded, rtol=1e-9)
    assert model.score_samples(frame).shape == model.elbo(frame).kl.shape == (150,)
    if library == "pandas":
        index = Z.index + 1000
        assert model.transform(frame.set_index(index)).index.equals(index)
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(frame[COLUMNS[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.transform(iris)


@each_frame
def test_frames_pass_through_a_pipeline(library, card, iris):
    frame = as_frame(library, iris)
    model = clone(card).set_output(transform=library)
    Z = model.fit_transform(frame)
    assert isinstance(Z, FRAMES[library])
    assert list(model["vae"].feature_names_in_) == COLUMNS
    np.testing.assert_allclose(Z.to_numpy(), card.transform(iris), rtol=1e-9)
    np.testing.assert_allclose(
        model.inverse_transform(Z), card.inverse_transform(Z.to_numpy()), rtol=1e-9
    )


def test_a_frame_of_float32_gives_float32(quick, iris):
    frame = pd.DataFrame(iris.astype(np.float32), columns=COLUMNS)
    Z = quick().set_output(transform="pandas").fit_transform(frame)
    assert set(Z.dtypes) == {np.dtype(np.float32)}


# -- validation rows of the caller's -------------------------------------------------------


def test_validation_rows_are_judged_and_not_trained_on(iris):
    X, X_val = iris[::2], iris[1::2]
    model = VAETransformer(max_iter=5, random_state=0).fit(X, X_val=X_val)
    assert len(model.validation_scores_) == model.n_iter_ == 5
    start = VAETransformer(max_iter=0).fit(X).elbo(X_val).value.mean()
    # The start is a candidate too; it is judged on other draws than elbo's.
    assert model.best_validation_score_ > start - 0.2
    far = VAETransformer(max_iter=1, early_stopping=False, random_state=0)
    first = [clone(far).fit(X, X_val=V).loss_curve_ for V in (X_val, X_val + 100)]
    assert first[0] == first[1]


def test_training_stops_when_the_validation_rows_no_longer_gain(iris):
    # Rows from elsewhere: what fits the training rows better does not fit these.
    model = VAETransformer(max_iter=200, n_iter_no_change=5, random_state=0)
    model.fit(iris[:50], X_val=iris[50:])
    assert model.n_iter_ < 200


@pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])
@pytest.mark.parametrize("library", [None, *FRAMES])
def test_validation_rows_go_through_the_steps_of_a_pipeline(library, estimator, quick, iris):
    X, X_val = (
        part if library is None else as_frame(library, part) for part in (iris[::2], iris[1::2])
    )
    with sklearn.config_context(enable_metadata_routing=True):
        vae = quick(estimator).set_fit_request(X_val=True)
        model = Pipeline([("scale", StandardScaler()), ("vae", vae)], transform_input=["X_val"])
        model.set_output(transform=library)
        model.fit(X, X_val=X_val)
        model.fit_transform(X, X_val=X_val)
    scaler = StandardScaler().fit(iris[::2])
    direct = quick(estimator).fit(
        scaler.transform(iris[::2]), X_val=scaler.transform(iris[1::2])
    )
    expected = direct.validation_scores_
    assert model["vae"].validation_scores_ == pytest.approx(expected, rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*were clipped to it:UserWarning")
def test_the_card_takes_validation_rows_with_a_bernoulli(quick, iris):
    with sklearn.config_context(enable_metadata_routing=True):
        vae = quick(likelihood="bernoulli").set_fit_request(X_val=True)
        model = Pipeline([("scale", MinMaxScaler()), ("vae", vae)], transform_input=["X_val"])
        # The first species are smaller: the others leave their range.
        model.fit(iris[:100], X_val=iris[100:])
    assert len(model["vae"].validation_scores_) == model["vae"].n_iter_
