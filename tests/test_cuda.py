"""Estimators on a CUDA device: as on the CPU, and back."""

import pickle
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from helpers import printed_without_cuda
from model_cases import each_model, options_of, rows_for
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skvae import AutoencoderTransformer, VAEImputer, VAEOutlierDetector, VAETransformer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@each_model
def test_a_start_is_that_of_the_cpu_and_a_training_is_finite(names, quick):
    options, X = options_of(names), rows_for(names[1])
    on_cpu, on_cuda = (
        quick(latent_dim=2, device=name, max_iter=0, **options).fit(X)
        for name in ("cpu", "cuda")
    )
    for method in ("transform", "score_samples"):
        found, wanted = (getattr(model, method)(X) for model in (on_cuda, on_cpu))
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
    trained = quick(latent_dim=2, device="cuda", **options).fit(X)
    assert trained.device_.startswith("cuda")
    codes = trained.transform(X)
    for result in (codes, trained.inverse_transform(codes), trained.score_samples(X)):
        assert np.isfinite(result).all()
    assert trained.sample(5, random_state=0).shape == (5, X.shape[1])
    np.testing.assert_array_equal(trained.transform(X), codes)


def with_gaps(X, seed=0):
    return np.where(np.random.RandomState(seed).uniform(size=X.shape) < 0.3, np.nan, X)


def test_rows_with_gaps_agree_with_the_cpu(quick, iris):
    X = with_gaps(iris)
    on_cpu, on_cuda = (quick(device=name, max_iter=0).fit(X) for name in ("cpu", "cuda"))
    for method in ("transform", "score_samples", "impute"):
        found, wanted = (getattr(model, method)(X) for model in (on_cuda, on_cpu))
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
    filled = quick(device="cuda").fit(X).impute(X)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])


@pytest.mark.parametrize("gaps", [False, True])
def test_default_fits_are_as_good_as_on_the_cpu(gaps):
    X = load_iris().data
    train = with_gaps(X[::2]) if gaps else X[::2]

    def score(device):
        # Of one seed it has a standard deviation of 0.05 nats.
        models = [VAETransformer(2, device=device, random_state=seed) for seed in range(3)]
        return np.mean([model.fit(train).score(X[1::2]) for model in models])

    assert abs(score("cpu") - score("cuda")) < 0.1


def test_every_estimator_fits(iris):
    X = with_gaps(iris)
    filled = VAEImputer(device="cuda", random_state=0).fit_transform(X)
    assert np.isfinite(filled).all()
    outliers = VAEOutlierDetector(device="cuda", random_state=0).fit(iris)
    assert set(outliers.predict(iris)) <= {-1, 1}
    encoder = AutoencoderTransformer(2, device="cuda", random_state=0).fit(iris)
    assert encoder.transform(iris).shape == (150, 2)


def test_a_search_over_a_pipeline(iris):
    pipeline = make_pipeline(MinMaxScaler(), VAETransformer(device="cuda", max_iter=20))
    search = GridSearchCV(pipeline, {"vaetransformer__latent_dim": [1, 2]}, cv=2).fit(iris)
    assert search.best_estimator_.transform(iris).ndim == 2


@pytest.mark.parametrize("store", ["pickle", "skops"])
def test_models_move_to_a_machine_without_cuda_and_back(store, quick, iris, tmp_path):
    on_cuda = quick(device="auto").fit(iris)
    path = tmp_path / "model"
    if store == "pickle":
        path.write_bytes(pickle.dumps(on_cuda))
        load = f"pickle.load(open({str(path)!r}, 'rb'))"
    else:
        skops.io.dump(on_cuda, path)
        kinds = f"skops.io.get_untrusted_types(file={str(path)!r})"
        load = f"skops.io.load({str(path)!r}, trusted={kinds})"
    code = (
        "import pickle, numpy as np, skops.io\n"
        "from sklearn.datasets import load_iris\n"
        f"model = {load}\n"
        "X = load_iris().data\n"
        f"np.save({str(tmp_path / 'codes.npy')!r}, model.transform(X))\n"
        f"pickle.dump(model, open({str(tmp_path / 'back')!r}, 'wb'))\n"
        "model.partial_fit(X)\n"
        "print(model.device_)"
    )
    assert printed_without_cuda(code) == "cpu"
    codes = on_cuda.transform(iris)
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), codes, atol=1e-4)
    back = pickle.loads((tmp_path / "back").read_bytes())
    np.testing.assert_allclose(back.transform(iris), codes, atol=1e-4)
    back.partial_fit(iris)


def test_rows_that_do_not_fit_the_device_are_streamed(quick, digits, monkeypatch):
    options = {"device": "cuda", "early_stopping": False, "latent_dim": 2}
    resident = quick(**options).fit(digits)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 2**40))
    streamed = quick(**options).fit(digits)
    np.testing.assert_allclose(streamed.history_["loss"], resident.history_["loss"], rtol=1e-4)


def test_a_full_device_says_what_to_reduce(quick, digits):
    free = torch.cuda.mem_get_info()[0]
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 0.5 * free / total))
    try:
        with pytest.raises(MemoryError, match="Lower batch_size, n_samples"):
            quick(device="cuda", n_samples=10**7, objective="iwae").fit(digits)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    quick(device="cuda").fit(digits)


def test_one_rank_of_a_group_on_nccl_trains_as_without_a_group():
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np, torch.distributed as dist\n"
        "from sklearn.datasets import load_digits\n"
        "from skvae import VAETransformer\n"
        "X = load_digits().data\n"
        "options = dict(max_iter=5, early_stopping=False, random_state=0, device='cuda')\n"
        "alone = VAETransformer(2, **options).fit(X)\n"
        "dist.init_process_group('nccl', store=dist.HashStore(), rank=0, world_size=1)\n"
        "joined = VAETransformer(2, **options).fit(X, group='world')\n"
        "losses = alone.history_['loss'], joined.history_['loss']\n"
        "np.testing.assert_allclose(*losses, rtol=1e-4)\n"
        "dist.destroy_process_group()\n"
        "print('same')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip().endswith("same"), run.stderr


def test_a_frame_of_mixed_columns_with_gaps(quick):
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "length": rng.standard_normal(120),
            "colour": pd.Categorical(rng.choice(["red", "green"], 120)),
            "sold": rng.choice([True, False], 120),
        }
    )
    frame.loc[::7, "length"] = np.nan
    frame.loc[::5, "colour"] = None
    on_cpu, on_cuda = (quick(device=name, max_iter=0).fit(frame) for name in ("cpu", "cuda"))
    found, wanted = (model.score_samples(frame) for model in (on_cuda, on_cpu))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
    trained = quick(device="cuda").fit(frame)
    assert not trained.impute(frame).isna().any(axis=None)
    assert list(trained.sample(5, random_state=0).dtypes) == list(frame.dtypes)


@pytest.mark.parametrize("name", ["encoder_module", "decoder_module"])
def test_exported_modules_are_on_the_device(name, quick, iris):
    model = quick(device="cuda").fit(iris)
    given = iris if name == "encoder_module" else model.transform(iris)
    wanted = model.transform(iris) if given is iris else model.inverse_transform(given)
    module = getattr(model, name)()
    found = module(torch.tensor(given, device="cuda"))
    np.testing.assert_allclose(found.cpu(), wanted, rtol=1e-4, atol=1e-4)


def test_an_interrupt_keeps_what_was_trained(digits):
    class Interrupt:
        def setup(self, estimator, context):
            pass

        teardown = on_fit_task_begin = setup

        def on_fit_task_end(self, estimator, context, **others):
            if context.task_name == "epoch" and context.task_id == 1:
                signal.raise_signal(signal.SIGINT)

    vae = VAETransformer(2, device="cuda", early_stopping=False, max_iter=9, random_state=0)
    with pytest.warns(UserWarning, match="nterrupt"):
        vae.set_callbacks(Interrupt()).fit(digits)
    assert 0 < vae.n_iter_ < 9
    assert np.isfinite(vae.score(digits))
