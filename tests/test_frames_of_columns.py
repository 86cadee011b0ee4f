"""VAETransformer on frames of mixed columns: what goes in comes out in kind."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from sklearn.compose import make_column_selector
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skvae
from skvae import VAETransformer
from skvae.likelihoods import Gaussian, Mixed

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
N_ROWS = 300


def make_frame(seed=0):
    """Return ages, skewed gains with many zeros, flags, and jobs that depend on one size."""
    rng = np.random.RandomState(seed)
    size = rng.standard_normal(N_ROWS)
    gain = np.where(rng.random_sample(N_ROWS) < 0.7, 0.0, np.exp(size + 5))
    job = np.digitize(size + 0.5 * rng.standard_normal(N_ROWS), [-0.5, 0.7])
    frame = pd.DataFrame(
        {
            "age": np.rint(40 + 8 * size + 4 * rng.standard_normal(N_ROWS)).astype("int64"),
            "gain": gain,
            "weight": (70 + 5 * size + rng.standard_normal(N_ROWS)).astype("float32"),
            "owner": size + rng.standard_normal(N_ROWS) > 0,
            "job": pd.Categorical.from_codes(job, ["cook", "clerk", "chief"], ordered=True),
        }
    )
    return frame.astype({"age": "Int64", "owner": "boolean"})


def with_holes(frame, share=0.2, seed=1):
    holes = np.random.RandomState(seed).random_sample(frame.shape) < share
    return frame.mask(holes)


def fitted(frame, **parameters):
    defaults = {"latent_dim": 2, "max_iter": 30, "early_stopping": False, "random_state": 0}
    return VAETransformer(**defaults | parameters).fit(frame)


@pytest.fixture(scope="module")
def frame():
    return make_frame()


@pytest.fixture(scope="module")
def model(frame):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fitted(frame)


def test_the_likelihood_is_that_of_the_columns_kinds(model):
    parts = {
        name: (type(part).__name__, columns) for name, part, columns in model.likelihood_.parts
    }
    assert parts == {
        "numbers": ("Gaussian", [0, 1, 2]),
        "flags": ("Bernoulli", [3]),
        "categories": ("CodedCategorical", [4]),
    }
    assert model.n_features_in_ == 5
    assert model.feature_names_in_.tolist() == ["age", "gain", "weight", "owner", "job"]


def test_new_rows_are_frames_of_the_same_kind_with_values_that_occur(model, frame):
    drawn = model.sample(1000, random_state=0)
    pd.testing.assert_series_equal(drawn.dtypes, frame.dtypes)
    assert drawn["gain"].min() == 0
    assert 0.6 < (drawn["gain"] == 0).mean() < 0.8
    assert set(drawn["age"]) <= set(frame["age"])
    shares = [each["job"].value_counts(normalize=True, sort=False) for each in (drawn, frame)]
    np.testing.assert_allclose(*shares, atol=0.08)
    assert drawn["age"].corr(drawn["weight"]) > 0.5
    pd.testing.assert_frame_equal(drawn, model.sample(1000, random_state=0))


def test_decoded_rows_are_the_most_likely_ones(model, frame):
    back = model.inverse_transform(model.transform(frame))
    pd.testing.assert_series_equal(back.dtypes, frame.dtypes)
    assert (back["job"] == frame["job"]).mean() > 0.6
    assert abs(back["weight"].corr(frame["weight"])) > 0.8


def test_polars_goes_in_and_out():
    plain = make_frame().astype({"age": "int64", "owner": bool, "job": str})
    frame = pl.DataFrame(plain.to_dict("list")).with_columns(pl.col("job").cast(pl.Categorical))
    model = fitted(frame, max_iter=2)
    assert model.sample(5, random_state=0).schema == frame.schema
    assert model.impute(frame).equals(frame)


def test_missing_cells_are_filled_in_kind(frame):
    holes = with_holes(frame)
    model = fitted(holes)
    for filled in (model.impute(holes), model.impute(holes, sample=True, random_state=0)):
        pd.testing.assert_series_equal(filled.dtypes, frame.dtypes)
        assert not filled.isna().any().any()
        for name in frame:
            there = holes[name].notna()
            pd.testing.assert_series_equal(filled[name][there], holes[name][there])
    missing = holes["job"].isna()
    most_frequent = frame["job"].mode()[0]
    right = (model.impute(holes)["job"] == frame["job"])[missing].mean()
    assert right > (frame["job"][missing] == most_frequent).mean()
    assert np.isfinite(model.score_samples(holes)).all()


def test_an_unseen_category_is_missing_and_named_once(model, frame):
    odd = frame.astype({"job": object})
    odd.loc[3, "job"] = "pilot"
    odd = odd.astype({"job": "category"})
    with pytest.warns(
        UserWarning, match=r"categories that fit did not see: 'pilot' in"
    ) as record:
        codes = model.transform(odd)
    assert len(record) == 1
    unknown = frame.copy()
    unknown.loc[3, "job"] = pd.NA
    np.testing.assert_allclose(codes, model.transform(unknown))


def test_an_unseen_category_is_filled(model, frame):
    odd = frame.astype({"job": object})
    odd.loc[3, "job"] = "pilot"
    odd = odd.astype({"job": "category"})
    for options in ({}, {"sample": True, "random_state": 0}):
        with pytest.warns(UserWarning, match="fit did not see: 'pilot' in column 'job'"):
            filled = model.impute(odd, **options)
        assert filled["job"][3] in {"cook", "clerk", "chief"}
        pd.testing.assert_frame_equal(filled.drop(index=3), odd.drop(index=3))


def test_a_declared_level_that_does_not_occur_is_never_drawn(frame):
    levels = ["cook", "pilot", "clerk", "chief"]
    declared = frame.assign(job=frame["job"].cat.set_categories(levels))
    model = fitted(declared, max_iter=2)
    assert model.likelihood_.parts[2][1].n_levels == (3,)
    drawn = model.sample(2000, random_state=0)
    pd.testing.assert_series_equal(drawn.dtypes, declared.dtypes)
    assert "pilot" not in set(drawn["job"])
    new = declared.assign(job=pd.Categorical(["pilot"] * N_ROWS, levels, ordered=True))
    with pytest.warns(UserWarning, match="fit did not see: 'pilot'"):
        model.transform(new)
    # A later chunk may have what the first one only declares.
    chunks = VAETransformer(1, random_state=0).partial_fit(declared).partial_fit(new)
    assert np.isfinite(chunks.score(new))


def test_a_small_frame_with_gaps_at_the_defaults(frame):
    # The number of epochs is then found by cross-validation.
    model = VAETransformer(2, max_iter=2, random_state=0).fit(with_holes(frame))
    assert np.isfinite(model.best_validation_score_)


def test_the_start_is_better_than_a_random_one(frame):
    start, random = (
        fitted(frame, max_iter=0, init=init) for init in ("factor_analysis", "random")
    )
    assert start.score(frame) > random.score(frame) + 1


def test_a_density_of_a_column_sums_to_one(frame):
    model = fitted(frame, max_iter=5)
    alone = frame.iloc[:4].mask(np.ones((4, 5), dtype=bool))
    for name, values in {"job": ["cook", "clerk", "chief"], "owner": [True, False]}.items():
        rows = alone.copy()
        rows.loc[rows.index[: len(values)], name] = pd.array(values, dtype=frame[name].dtype)
        # Of a single value the posterior is wide: the bound needs many draws.
        scores = model.score_samples(rows, n_samples=2**14)[: len(values)]
        assert np.exp(scores).sum() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("stored", ["pickle", "skops"])
def test_a_stored_model_gives_the_same(stored, model, frame, tmp_path):
    if stored == "pickle":
        loaded = pickle.loads(pickle.dumps(model))
    else:
        skops.io.dump(model, tmp_path / "model.skops")
        loaded = skops.io.load(tmp_path / "model.skops", trusted=skvae.TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.score_samples(frame), model.score_samples(frame))
    pd.testing.assert_frame_equal(
        loaded.sample(5, random_state=0), model.sample(5, random_state=0)
    )


def test_parts_by_name_selector_and_position(frame):
    parts = [
        ("sizes", Gaussian(), ["weight", "gain"]),
        ("ages", "poisson", ["age"]),
        ("flags", "bernoulli", make_column_selector(dtype_include="boolean")),
        ("jobs", "categorical", ["job"]),
    ]
    model = fitted(frame, likelihood=Mixed(parts), max_iter=3)
    pd.testing.assert_series_equal(model.sample(3, random_state=0).dtypes, frame.dtypes)
    search = GridSearchCV(
        VAETransformer(1, likelihood=Mixed(parts), max_iter=1, early_stopping=False),
        {"likelihood__sizes__noise": ["per_feature", "isotropic"]},
        cv=2,
    )
    assert np.isfinite(search.fit(frame).best_score_)


@pytest.mark.parametrize("together", [True, False])
def test_a_flag_may_be_a_category(together, frame):
    parts = [("sizes", "gaussian", ["age", "gain", "weight"])]
    if together:
        parts += [("both", "categorical", ["owner", "job"])]
    else:
        parts += [("owner", "categorical", ["owner"]), ("job", "categorical", ["job"])]
    drawn = fitted(frame, likelihood=Mixed(parts), max_iter=2).sample(500, random_state=0)
    pd.testing.assert_series_equal(drawn.dtypes, frame.dtypes)
    assert abs(drawn["owner"].mean() - frame["owner"].mean()) < 0.1


def test_in_a_pipeline_and_with_validation_rows(frame):
    pipeline = make_pipeline(
        FunctionTransformer(), VAETransformer(1, max_iter=2, random_state=0)
    )
    assert pipeline.fit(frame).transform(frame).shape == (N_ROWS, 1)
    model = VAETransformer(1, max_iter=2, random_state=0).fit(frame, X_val=make_frame(1))
    assert np.isfinite(model.best_validation_score_)
    parts = VAETransformer(1, random_state=0).partial_fit(frame).partial_fit(make_frame(2))
    assert np.isfinite(parts.score(frame))


def test_codes_in_an_array_are_categories_where_they_are_listed():
    rng = np.random.RandomState(0)
    X = np.column_stack([rng.standard_normal(100), rng.randint(3, size=100)])
    model = fitted(X, max_iter=2, categorical_features=[1])
    drawn = model.sample(50, random_state=0)
    assert isinstance(drawn, np.ndarray)
    assert set(drawn[:, 1]) <= {0.0, 1.0, 2.0}
    assert type(fitted(X, max_iter=0).likelihood_) is Gaussian


def test_an_array_of_numbers_is_gaussian_to_the_last_bit(iris):
    auto, gaussian = (
        fitted(iris, likelihood=name, max_iter=3) for name in ("auto", "gaussian")
    )
    np.testing.assert_array_equal(auto.score_samples(iris), gaussian.score_samples(iris))


def test_a_mixed_part_names_its_own_columns(frame):
    inner = Mixed([("job", "categorical", ["job"]), ("owner", "bernoulli", ["owner"])])
    numbers = ("numbers", Gaussian(), ["age", "gain", "weight"])
    nested = Mixed([("kinds", inner, ["owner", "job"]), numbers])
    flat = Mixed([*inner.parts, numbers])
    scores = [fitted(frame, likelihood=each).score(frame) for each in (nested, flat)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    outside = Mixed([("a", "gaussian", ["age"]), ("b", "bernoulli", ["owner"])])
    with pytest.raises(ValueError, match=r"part 'kinds' .*age"):
        fitted(frame, likelihood=Mixed([("kinds", outside, ["owner", "job"]), numbers]))


REFUSED = {
    "gaussian": "column 'job' of X has categories, which the Gaussian likelihood",
    "two parts": "'age'",
    "no part": "'owner'",
    "unknown": "height",
    "numbers among categories": "'age' of X has numbers, and 'job' has categories",
}


@pytest.mark.parametrize("case", REFUSED)
def test_parts_that_do_not_fit_are_refused_by_name(case, frame):
    numbers = ["age", "gain", "weight"]
    likelihood = {
        "gaussian": "gaussian",
        "two parts": Mixed(
            [
                ("a", Gaussian(), [*numbers, "owner"]),
                ("b", "poisson", ["age"]),
                ("c", "categorical", ["job"]),
            ]
        ),
        "no part": Mixed([("a", Gaussian(), numbers), ("c", "categorical", ["job"])]),
        "unknown": Mixed([("a", Gaussian(), [*numbers, "height"])]),
        "numbers among categories": Mixed(
            [
                ("a", Gaussian(), ["gain", "weight", "owner"]),
                ("c", "categorical", ["age", "job"]),
            ]
        ),
    }[case]
    with pytest.raises(ValueError, match=REFUSED[case]):
        fitted(frame, likelihood=likelihood)


def test_other_columns_than_in_fit_are_refused_and_an_earlier_fit_stays(model, frame):
    before = model.score(frame)
    with pytest.raises(ValueError, match="should match those that were passed during fit"):
        model.transform(frame[["gain", "age", "weight", "owner", "job"]])
    with pytest.raises(ValueError, match="yet now missing:\n- job"):
        model.transform(frame.drop(columns="job"))
    with pytest.raises(ValueError, match="In column 'job' of X: it has dates"):
        model.fit(frame.assign(job=pd.Timestamp("2020-01-01")))
    assert model.score(frame) == before
