"""Several fits at once: in threads, in processes, and after a fork."""

import os
import subprocess
import sys
import threading
import time
import warnings
from multiprocessing import get_all_start_methods

import numpy as np
import pytest
import torch
from helpers import assert_same, outputs
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.utils.parallel import Parallel, delayed
from torch import nn

from skvae import AutoencoderTransformer, VAETransformer
from skvae.machine import limit_threads
from skvae.networks import ConvNet, ModuleNetwork

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_new_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


# -- threads ---------------------------------------------------------------------------


def test_a_thread_that_begins_during_small_work_has_all_its_threads():
    with limit_threads(10):
        assert torch.get_num_threads() == 1
        assert in_new_thread(torch.get_num_threads) == 2


def test_a_fit_in_a_thread_leaves_the_number_of_its_threads(quick, iris):
    def numbers():
        before = torch.get_num_threads()
        quick().fit(iris)
        return before, torch.get_num_threads()

    assert in_new_thread(numbers) == (2, 2)
    assert torch.get_num_threads() == 2


def random_net(n_in, n_out):
    first = nn.Linear(n_in, 4)
    time.sleep(0.01)  # another thread's draws would come between
    return nn.Sequential(first, nn.Tanh(), nn.Linear(4, n_out))


# The second makes steps that torch shares among its threads, the others do not.
FITS = {
    "small": lambda X: VAETransformer(max_iter=3, random_state=0).fit(X[:100]),
    "large": lambda X: VAETransformer(
        batch_size=600, max_iter=1, early_stopping=True, random_state=0
    ).fit(X),
    "conv": lambda X: VAETransformer(
        network=ConvNet(channels=(4,)), image_shape=(8, 8), max_iter=2, random_state=0
    ).fit(X[:100]),
    "noise": lambda X: AutoencoderTransformer(noise=0.1, max_iter=2, random_state=0).fit(
        X[:100]
    ),
    "modules": lambda X: VAETransformer(
        network=ModuleNetwork(random_net, random_net),
        max_iter=2,
        early_stopping=False,
        random_state=0,
    ).fit(X[:100]),
}


def test_fits_in_threads_give_the_bits_of_fits_alone(digits):
    alone = [outputs(fit(digits), digits[:9]) for fit in FITS.values()]
    state = torch.get_rng_state()
    models = Parallel(n_jobs=2, backend="threading")(
        delayed(fit)(digits) for fit in FITS.values()
    )
    for model, expected in zip(models, alone, strict=True):
        assert_same(outputs(model, digits[:9]), expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_factories_in_threads_do_not_draw_from_each_others_seed(digits):
    alone = FITS["modules"](digits).transform(digits[:9])
    state = torch.get_rng_state()
    models = Parallel(n_jobs=4, backend="threading")(
        delayed(FITS["modules"])(digits) for _ in range(4)
    )
    for model in models:
        np.testing.assert_array_equal(model.transform(digits[:9]), alone)
    assert torch.equal(torch.get_rng_state(), state)


# -- processes -------------------------------------------------------------------------


def test_a_search_in_processes_gives_the_scores_of_one_in_this(quick, iris):
    search = GridSearchCV(
        quick(), {"latent_dim": [1, 2]}, cv=KFold(2, shuffle=True, random_state=0)
    )
    alone = search.fit(iris).cv_results_
    with warnings.catch_warnings():
        # Of the workers: the filters of this process are not theirs.
        warnings.simplefilter("ignore")
        shared = search.set_params(n_jobs=2).fit(iris).cv_results_
    for name in ("split0_test_score", "split1_test_score", "mean_test_score"):
        np.testing.assert_array_equal(shared[name], alone[name])


SCRIPT = """
import multiprocessing, sys, warnings
import torch
from sklearn.datasets import load_digits
from skvae import VAETransformer

def score(set_threads=True):
    warnings.simplefilter("ignore")
    if set_threads:
        torch.set_num_threads(2)
    X = load_digits().data[:1500]
    # Steps that torch shares, and others.
    model = VAETransformer(max_iter=1, batch_size=1000, early_stopping=True, random_state=0)
    model.fit(X).partial_fit(X)
    return model.transform(X), model.score_samples(X[:50]).tolist(), torch.get_num_threads()

def worker(queue, *args):
    codes, scores, threads = score(*args)
    queue.put((codes.tolist(), scores, threads))

if __name__ == "__main__":
    # The parent has used torch's threads, in a parallel loop and in a product.
    codes, scores, threads = score()
    torch.rand(2**20).exp()
    for method in sys.argv[1:]:
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        # A daemon: one that hangs is ended with its parent.
        process = context.Process(target=worker, args=(queue, method == "spawn"), daemon=True)
        process.start()
        # Only a hang takes so long.
        theirs = queue.get(timeout=120)
        process.join()
        assert process.exitcode == 0
        assert theirs[2] == threads == 2, theirs[2]
        # One thread may sum in another order.
        assert abs(codes - theirs[0]).max() < 1e-3
        assert max(abs(a - b) for a, b in zip(scores, theirs[1])) < 1e-2
    print("done")
"""


def test_workers_of_a_parent_that_used_its_threads_do_not_hang(tmp_path):
    methods = [name for name in ("fork", "spawn") if name in get_all_start_methods()]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, str(script), *methods],
        # Threads that wait in a loop take the processor from others of a busy machine.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_WAIT_POLICY": "passive",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.stdout.strip() == "done", run.stderr
