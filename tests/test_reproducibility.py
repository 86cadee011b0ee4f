"""The same seed gives the same bits, and nothing global is touched."""

import gc
import random
import signal
import subprocess
import sys
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same, outputs
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_info

from skvae import AutoencoderTransformer, VAETransformer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MODES = [
    {"early_stopping": "cv"},
    {"early_stopping": True, "batch_size": 20},
    {"early_stopping": False, "init": "random", "n_samples": 2},
    {"early_stopping": False, "likelihood": "bernoulli"},
    {"early_stopping": True, "likelihood": "continuous_bernoulli"},
    {"estimator": AutoencoderTransformer, "noise": 0.1, "early_stopping": "cv"},
    {"estimator": AutoencoderTransformer, "noise": 0.3, "corruption": "masking"},
]
each_mode = pytest.mark.parametrize(
    "mode",
    MODES,
    ids=lambda mode: "-".join(getattr(v, "__name__", str(v)) for v in mode.values()),
)

SCRIPT = """
import hashlib, warnings
from sklearn.datasets import load_iris
from test_reproducibility import MODES, small
from helpers import outputs
warnings.simplefilter("ignore")
X = load_iris().data / 10
for mode in MODES:
    model = small(3, **mode).fit(X).partial_fit(X[:40])
    for name, values in outputs(model, X[:9]).items():
        if name != "names":
            print(mode, name, hashlib.sha256(values.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module", name="X")
def unit_iris(iris):
    return iris / 10


def small(random_state=0, *, estimator=VAETransformer, **parameters):
    return estimator(max_iter=3, random_state=random_state, **parameters)


# -- the same bits ---------------------------------------------------------------------


@each_mode
def test_the_same_seed_gives_the_same_bits_in_one_process(mode, X):
    expected = outputs(small(**mode).fit(X), X[:9])
    np.random.rand(7), torch.rand(7)  # what others draw does not matter
    model = small(**mode)
    for _ in range(2):
        assert_same(outputs(model.fit(X), X[:9]), expected)


def test_the_same_seed_gives_the_same_bits_in_two_processes():
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{SCRIPT}"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first, second = (run.communicate()[0] for run in runs)
    assert all(run.returncode == 0 for run in runs)
    assert len(first.splitlines()) > 10 * len(MODES)
    assert first == second


def test_a_random_state_object_is_its_seed_and_moves_on(X):
    by_seed = outputs(small(5, early_stopping=False).fit(X), X[:9])
    model = small(np.random.RandomState(5), early_stopping=False)
    assert_same(outputs(clone(model).fit(X), X[:9]), by_seed)
    assert_same(outputs(model.fit(X), X[:9]), by_seed)
    again = model.fit(X).transform(X[:9])
    assert not np.array_equal(again, by_seed["transform"])


@pytest.mark.parametrize(("one", "other"), [(0, 1), (None, None)])
def test_other_seeds_and_none_give_other_bits(one, other, X):
    codes = [small(seed, init="random", early_stopping=False).fit(X) for seed in (one, other)]
    assert not np.array_equal(codes[0].transform(X), codes[1].transform(X))


def test_samples_repeat_by_their_own_random_state(X):
    model = small().fit(X)
    np.testing.assert_array_equal(
        model.sample(4, random_state=1), model.sample(4, random_state=np.random.RandomState(1))
    )
    rng = np.random.RandomState(1)
    assert not np.array_equal(
        model.sample(4, random_state=rng), model.sample(4, random_state=rng)
    )
    assert not np.array_equal(model.sample(4), model.sample(4))


def test_threads_of_one_process_do_not_disturb_each_other(X):
    expected = small().fit(X).transform(X)
    before = torch.get_num_threads()
    with warnings.catch_warnings():
        models = Parallel(n_jobs=4, backend="threading")(
            delayed(lambda: small().fit(X))() for _ in range(8)
        )
    for model in models:
        np.testing.assert_array_equal(model.transform(X), expected)
    assert torch.get_num_threads() == before


# -- nothing global is touched ---------------------------------------------------------------


def global_state():
    name, keys, *rest = np.random.get_state()
    return {
        "numpy": (name, keys.tobytes(), *rest),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "python": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "blas": [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()],
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "tf32": (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "numpy errors": np.geterr(),
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
    }


def failed_fit(model, X):
    with pytest.raises(ValueError, match="latent_dim"):
        model.set_params(latent_dim=0).fit(X)


METHODS = {
    "fit": lambda model, X: model.fit(X),
    "fit with validation rows": lambda model, X: model.fit(X, X_val=X),
    "fit without a seed": lambda model, X: model.set_params(random_state=None).fit(X),
    "random start": lambda model, X: model.set_params(init="random").fit(X),
    "failed fit": failed_fit,
    "partial_fit": lambda model, X: model.partial_fit(X),
    "fit_transform": lambda model, X: model.fit_transform(X),
    "transform": lambda model, X: model.transform(X),
    "latent_posterior": lambda model, X: model.latent_posterior(X),
    "inverse_transform": lambda model, X: model.inverse_transform(X[:, :2]),
    "sample": lambda model, X: model.sample(5),
    "sample with a seed": lambda model, X: model.sample(5, random_state=0),
    "score_samples": lambda model, X: model.score_samples(X),
    "score": lambda model, X: model.score(X),
    "elbo": lambda model, X: model.elbo(X),
    "clone": lambda model, X: clone(model),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
@pytest.mark.parametrize(
    "mode", [{}, MODES[1], MODES[3]], ids=["defaults", "hold-out", "bernoulli"]
)
def test_nothing_global_is_changed(mode, method, X):
    model = small(**mode).fit(X)
    before = global_state()
    method(model, X)
    assert global_state() == before


@pytest.mark.parametrize(
    "method", ["fit", "fit with validation rows", "partial_fit", "transform", "score"]
)
@pytest.mark.parametrize("mode", MODES[-2:], ids=["gaussian", "masking"])
def test_an_autoencoder_changes_nothing_global(mode, method, X):
    test_nothing_global_is_changed(mode, METHODS[method], X)


def test_a_wide_start_draws_from_no_global_generator():
    # ARPACK draws a random vector where it is not given one.
    X = np.random.RandomState(0).randn(300, 250)
    before = global_state()
    VAETransformer(max_iter=0).fit(X)
    assert global_state() == before


SETTINGS = {
    "default dtype": (torch.set_default_dtype, torch.float64, torch.float32),
    "deterministic": (torch.use_deterministic_algorithms, True, False),
    "no gradients": (torch.set_grad_enabled, False, True),
    "one thread": (torch.set_num_threads, 1, torch.get_num_threads()),
}


@pytest.mark.parametrize(("set_to", "value", "back"), SETTINGS.values(), ids=list(SETTINGS))
def test_the_callers_settings_of_torch_neither_break_nor_change_a_fit(set_to, value, back, X):
    expected = outputs(small().fit(X), X[:9])
    set_to(value)
    try:
        actual = outputs(small().fit(X), X[:9])
    finally:
        set_to(back)
    for name, values in expected.items():
        if name == "names":
            continue
        # One thread may sum in another order.
        np.testing.assert_allclose(actual[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


# -- many fits leave nothing behind: a short form of benchmarks/soak.py --------------------


@pytest.fixture(scope="module")
def soak():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import soak
    finally:
        sys.path.remove(str(BENCHMARKS))
    return soak


def test_fits_leave_no_file_thread_figure_or_model(soak):
    kinds = len(soak.KINDS)
    for number in range(kinds):
        soak.fit_once(number)
    gc.collect()
    before = soak.left_behind()
    remains = []
    for number in range(kinds, 4 * kinds):
        model = soak.fit_once(number)
        remains += [weakref.ref(model), weakref.ref(model._fitted.module)]
        del model
    gc.collect()
    # Another test's leftovers may go meanwhile.
    assert all(count <= before[name] for name, count in soak.left_behind().items())
    assert not [reference for reference in remains if reference() is not None]
