"""A model that is trained where a Dask cluster holds the rows is an ordinary estimator."""

import os
import pickle
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd
from dask_cases import after, kill, time_limit
from distributed import wait

import skvae.dask
from skvae import AutoencoderTransformer, VAEImputer, VAETransformer

pytestmark = [
    pytest.mark.xdist_group("dask"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture
def client(dask_client):
    with time_limit(dask_client):
        yield dask_client


@pytest.fixture(name="X")
def two_chunks(client, digits):
    """Return rows on both workers, 900 on one and 300 on the other."""
    first, second = sorted(client.nthreads())
    blocks = [(digits[:900], first), (digits[900:1200], second)]
    futures = [client.scatter(rows, workers=[place], hash=False) for rows, place in blocks]
    parts = [
        da.from_delayed(part, shape, float)
        for part, shape in zip(futures, [(900, 64), (300, 64)], strict=True)
    ]
    return persisted(da.concatenate(parts))


def persisted(X):
    X = X.persist()
    wait(X)
    return X


def holders(client, X):
    return {worker for workers in client.who_has(X).values() for worker in workers}


def test_the_start_is_that_of_all_rows(X, client, digits, quick):
    assert len(holders(client, X)) == 2
    model = skvae.dask.fit(quick(max_iter=0), X)
    expected = quick(max_iter=0).fit(digits[:1200])
    assert_allclose(model.noise_variance_, expected.noise_variance_, rtol=1e-6)
    assert_allclose(model.score(digits[1200:]), expected.score(digits[1200:]), rtol=1e-6)


def test_the_result_is_a_plain_estimator_and_repeats(X, client, digits, quick):
    estimator = quick()
    model, again = skvae.dask.fit(estimator, X), skvae.dask.fit(estimator, X, client)
    assert not estimator.__sklearn_is_fitted__()
    assert_array_equal(model.transform(digits), again.transform(digits))
    stored = pickle.dumps(model)
    assert b"distributed" not in stored
    assert_array_equal(pickle.loads(stored).transform(digits), model.transform(digits))
    codes = skvae.dask.transform(model, X)
    assert_allclose(codes.compute(), model.transform(digits[:1200]), rtol=1e-6, atol=1e-6)


def test_workers_stop_early_together(X, quick):
    model = skvae.dask.fit(quick(max_iter=40, early_stopping=True, n_iter_no_change=1), X)
    assert len(model.validation_scores_) == model.n_iter_ < 40


def test_warm_start_goes_on(X, quick):
    model = skvae.dask.fit(quick(warm_start=True), X)
    more = skvae.dask.fit(model, X)
    assert (model.n_iter_, more.n_iter_) == (3, 6)
    assert more.loss_curve_[:3] == model.loss_curve_


def frame():
    rng = np.random.RandomState(0)
    job = pd.Categorical(rng.choice(["cook", "nurse"], 400), ["cook", "nurse", "pilot"])
    flag = rng.random_sample(400) > 0.5
    return pd.DataFrame({"age": 40 + 10 * rng.standard_normal(400), "job": job, "paid": flag})


def test_dataframes_keep_names_and_kinds(client, quick):
    table = frame()
    X = dd.from_pandas(table, npartitions=4)
    # The last partition becomes empty.
    X = X.map_partitions(lambda part: part[part.index < 300])
    model = skvae.dask.fit(quick(), X)
    assert model.feature_names_in_.tolist() == ["age", "job", "paid"]
    decoded = skvae.dask.inverse_transform(model, skvae.dask.transform(model, X)).compute()
    assert decoded.dtypes.tolist() == table.dtypes.tolist()


def test_unknown_categories_are_joined(client, quick):
    table = frame().assign(job=np.repeat(["cook", "nurse", "cook", "pilot"], 100))
    X = dd.from_pandas(table, npartitions=4)
    X["job"] = X["job"].astype("category")
    assert not X["job"].cat.known
    model = skvae.dask.fit(quick(), X)
    decoded = model.inverse_transform(model.transform(table.astype({"job": "category"})))
    assert decoded["job"].cat.categories.tolist() == ["cook", "nurse", "pilot"]


def test_an_error_in_one_chunk_ends_the_fit(X, client, quick):
    bad = X.map_blocks(lambda rows: np.where(len(rows) == 300, np.nan, rows), dtype=float)
    with pytest.raises(ValueError, match="rank 1"):
        skvae.dask.fit(quick(AutoencoderTransformer), bad)
    skvae.dask.fit(quick(max_iter=1), X)


def test_what_cannot_be_trained_is_refused(client):
    X = da.ones((4, 2))
    for estimator in (make_pipeline(StandardScaler(), VAETransformer()), VAEImputer()):
        with pytest.raises(TypeError, match=type(estimator).__name__):
            skvae.dask.fit(estimator, X)
    with pytest.raises(TypeError, match="Dask array or dataframe"):
        skvae.dask.fit(VAETransformer(), np.ones((4, 2)))
    with pytest.raises(TypeError, match="asynchronous=False"):
        skvae.dask.fit(VAETransformer(), X, SimpleNamespace(asynchronous=True))


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_warnings_reach_the_client(X, quick):
    with pytest.warns(ConvergenceWarning, match="had not settled") as caught:
        skvae.dask.fit(quick(), X)
    assert {each.filename for each in caught} == {__file__}


def test_ctrl_c_returns_the_best_state(X, digits, quick):
    press = after(3, os.kill, os.getpid(), signal.SIGINT)
    with press, pytest.warns(UserWarning, match="interrupted by user"):
        model = skvae.dask.fit(quick(max_iter=100_000, early_stopping=True), X)
    assert 0 < model.n_iter_ < 100_000
    assert np.isfinite(model.score(digits))


def test_a_worker_that_is_killed_ends_the_fit(client, digits, quick):
    X = persisted(da.from_array(digits, chunks=(300, 64)))
    estimator, pids = quick(max_iter=100_000), client.run(os.getpid)
    victim = max(holders(client, X))
    with (
        after(2, kill, [pids[victim]]),
        pytest.raises(RuntimeError, match=re.escape(victim)),
    ):
        skvae.dask.fit(estimator, X)
    assert skvae.dask.fit(quick(max_iter=1), X).n_iter_ == 1


@pytest.mark.parametrize("kind", ["chunks", "array", "tensor", "frame"])
def test_validation_rows_of_any_place_are_all_used(kind, X, client, digits, quick):
    # The scores of mirrored rows are ten nats lower: a part of all has another mean.
    held_out = digits[1200:1500].copy()
    held_out[150:] = held_out[150:, ::-1]
    first = sorted(client.nthreads())[0]
    given = {
        # All on one worker: the other one has none.
        "chunks": da.from_delayed(
            client.scatter(held_out, workers=[first], hash=False), held_out.shape, float
        ),
        "array": held_out,
        "tensor": torch.from_numpy(held_out),
        "frame": pd.DataFrame(held_out),
    }[kind]
    rows = X if kind != "frame" else dd.from_dask_array(X, columns=range(64))
    model = skvae.dask.fit(quick(max_iter=4, early_stopping=True), rows, X_val=given)
    assert len(model.validation_scores_) == 4
    expected = model.elbo(held_out).value.mean()
    assert model.best_validation_score_ == pytest.approx(expected, abs=0.3)


def test_few_validation_rows_leave_a_worker_without(X, digits, quick):
    model = skvae.dask.fit(quick(early_stopping=True), X, X_val=digits[-1:].tolist())
    assert len(model.validation_scores_) == 3


@pytest.mark.parametrize(
    ("X_val", "message"),
    [
        (np.ones((0, 64)), "X_val must be a table of at least one row"),
        (da.ones((0, 64)), "X_val has no rows"),
        (np.ones((3, 5)), "X_val has 5 features, but X has 64"),
        (da.ones((3, 5)), "X_val has 5 features, but X has 64"),
        (da.ones(3), "X_val must have rows and columns"),
        (np.ones(64), r"X_val must be a table of at least one row, got shape \(64,\)"),
        (1, "X_val must be a table of at least one row"),
        ((np.ones((3, 64)), np.ones(3)), "X_val is a tuple of two"),
    ],
)
def test_unusable_validation_rows_are_named(X, X_val, message, quick):
    with pytest.raises(ValueError, match=message):
        skvae.dask.fit(quick(), X, X_val=X_val)


def test_partial_fit_goes_on_from_a_model_and_leaves_it(X, digits, quick):
    start = skvae.dask.partial_fit(quick(), X)
    before = start.transform(digits)
    more = skvae.dask.partial_fit(start, X)
    assert (start.n_iter_, more.n_iter_) == (1, 2)
    assert more.history_["loss"][1] < more.history_["loss"][0] == start.history_["loss"][0]
    assert_array_equal(start.transform(digits), before)


def test_ctrl_c_ends_partial_fit_without_a_result(X, client, quick):
    many = da.concatenate([X] * 100)
    press = after(2, os.kill, os.getpid(), signal.SIGINT)
    with press, pytest.raises(KeyboardInterrupt):
        skvae.dask.partial_fit(quick(batch_size=1), many)
    assert skvae.dask.partial_fit(quick(), X).n_iter_ == 1


def test_the_example_of_the_documentation_runs(client):
    code = re.search(r"::\n\n(.*?)\n\n\w", skvae.dask.__doc__, re.DOTALL)[1]
    names = {}
    address = "tcp://scheduler:8786"
    assert address in code
    exec(
        re.sub("^    ", "", code, flags=re.M).replace(address, client.scheduler.address), names
    )
    names["client"].close()


def test_a_search_on_the_workers_gives_the_same_scores(client, digits, quick):
    search = GridSearchCV(quick(), {"latent_dim": [1, 2]}, cv=2)
    expected = search.fit(digits[:200]).cv_results_["mean_test_score"]
    with joblib.parallel_config("dask"):
        scores = search.fit(digits[:200]).cv_results_["mean_test_score"]
    assert_array_equal(scores, expected)


def test_the_package_itself_imports_no_dask():
    code = "import skvae, sys; assert not {'dask', 'distributed'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
