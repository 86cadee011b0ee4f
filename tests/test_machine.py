"""Devices, dtypes, threads and memory."""

import threading

import numpy as np
import pytest
import torch
from callback_cases import Recorder
from pretend_cuda import CUDA, pretended_cuda
from sklearn.base import clone

from skvae import AutoencoderTransformer, VAETransformer, machine
from skvae.machine import (
    cuda_float32,
    limit_threads,
    resolve_device,
    training_dtype,
)
from skvae.model.modules import Conditional
from skvae.networks import MLP, ConvNet
from skvae.posteriors import POSTERIORS

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "auto"])
def test_devices_that_are_there(device):
    resolved = resolve_device(device)
    assert resolved.type == (
        "cuda" if device == "auto" and torch.cuda.is_available() else "cpu"
    )


def test_a_gpu_has_its_number():
    with pretended_cuda():
        assert {resolve_device(name) for name in ("auto", "cuda", "cuda:0")} == {CUDA}


@pytest.mark.parametrize(
    "device", ["gpu", "", "cpu:", "cpu:x", "cuda:-1", "cuda:x", "cuda:\u00b2", "xla"]
)
def test_unknown_devices_are_refused_with_the_names_in_use(device):
    with pytest.raises(ValueError, match=r"Unknown device .* Use 'auto', 'cpu', 'cuda'"):
        resolve_device(device)


def test_a_missing_cuda_device_says_how_many_there_are():
    with pytest.raises(ValueError, match=f"torch finds {torch.cuda.device_count()} CUDA"):
        resolve_device("cuda:99")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("n_elements", "threads"), [(10, 1), (2**22, 2)])
def test_only_small_work_is_kept_on_one_thread(n_elements, threads):
    with limit_threads(n_elements):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_threads_come_back_after_an_error():
    with pytest.raises(KeyError), limit_threads(10):
        raise KeyError
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_the_threads_come_back_between_epochs(quick, iris):
    seen = []

    class Watch(Recorder):
        def on_fit_task_end(self, estimator, context):
            seen.append(torch.get_num_threads())

    quick().set_callbacks(Watch()).fit(iris)
    assert seen == [2] * 4


# -- bfloat16 -------------------------------------------------------------------------


def test_float32_needs_no_other_dtype():
    assert training_dtype("float32", torch.device("cpu")) is None


@pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])
def test_bfloat16_without_its_instructions_is_refused_before_training(
    estimator, monkeypatch, quick, iris
):
    monkeypatch.setattr(machine, "_cpu_has_bfloat16", lambda: False)
    model = quick(estimator).fit(iris)
    before = model.transform(iris)
    with pytest.raises(ValueError, match=r"no bfloat16 instructions.*precision='float32'"):
        model.set_params(precision="bfloat16").fit(iris)
    np.testing.assert_array_equal(model.transform(iris), before)


@pytest.fixture
def bfloat16(monkeypatch):
    # torch emulates it on a processor that has no instructions.
    monkeypatch.setattr(machine, "_cpu_has_bfloat16", lambda: True)


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("early_stopping", [False, True, "cv"])
@pytest.mark.parametrize("estimator", [VAETransformer, AutoencoderTransformer])
def test_a_model_trained_in_bfloat16_is_a_rougher_one_in_float32(
    estimator, early_stopping, quick, iris
):
    settings = {"max_iter": 20, "early_stopping": early_stopping, "device": "cpu"}
    fine = quick(estimator, **settings).fit(iris)
    rough = quick(estimator, precision="bfloat16", **settings).fit(iris)
    assert rough.loss_curve_ != fine.loss_curve_
    parameters = rough._fitted.module.parameters()
    assert {p.dtype for p in parameters} == {torch.float32}
    assert rough.score(iris) == pytest.approx(fine.score(iris), abs=0.3)
    again = clone(rough).fit(iris)
    np.testing.assert_array_equal(again.transform(iris), rough.transform(iris))


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("network", [MLP((8,), batch_norm=True), ConvNet((4,))], ids=str)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_every_network_and_posterior_trains_in_bfloat16(network, posterior, quick, digits):
    model = quick(
        network=network,
        posterior=posterior,
        image_shape=(8, 8),
        precision="bfloat16",
        device="cpu",
    ).fit(digits[:300])
    assert np.isfinite(model.loss_curve_).all()


# -- what CUDA makes of float32 --------------------------------------------------------


def cuda_settings():
    backends = torch.backends
    parts = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)
    return tuple(part.fp32_precision for part in parts)


def older_settings():
    """Reading them raises an error where they say something else than `cuda_settings`."""
    backends = torch.backends
    matmul = torch.get_float32_matmul_precision()
    return matmul, backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32


@pytest.fixture
def float32_settings():
    """Put back what a test changes."""
    matmul = torch.backends.mkldnn.matmul
    before, older, on_cpu = cuda_settings(), older_settings(), matmul.fp32_precision
    yield
    torch.set_float32_matmul_precision(older[0])
    torch.backends.cudnn.allow_tf32 = older[2]
    parts = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    for part, precision in zip((*parts, matmul), (*before, on_cpu), strict=True):
        part.fp32_precision = precision


def test_float32_is_exact_on_cuda_and_torch_settings_come_back():
    before = cuda_settings()
    with cuda_float32(tf32=True):
        assert set(cuda_settings()) == {"tf32"}
        with cuda_float32(), cuda_float32(tf32=True):
            assert set(cuda_settings()) == {"ieee"}
        assert set(cuda_settings()) == {"tf32"}
    assert cuda_settings() == before


@pytest.mark.usefixtures("float32_settings")
@pytest.mark.parametrize("products", ["highest", "high", "medium"])
@pytest.mark.parametrize("cudnn", [True, False])
def test_the_settings_can_be_read_by_their_older_names(products, cudnn):
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32 = cudnn
    on_cpu = torch.backends.mkldnn.matmul
    before = (cuda_settings(), older_settings(), on_cpu.fp32_precision)
    with cuda_float32():
        assert older_settings() == ("highest", False, False)
    with cuda_float32(tf32=True):
        assert older_settings() == ("high", True, True)
    assert (cuda_settings(), older_settings(), on_cpu.fp32_precision) == before


@pytest.mark.usefixtures("float32_settings")
def test_settings_that_contradict_each_other_are_left_so():
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    with pytest.raises(RuntimeError, match="mix of the legacy and new"):
        older_settings()
    before = cuda_settings()
    with cuda_float32():
        assert set(cuda_settings()) == {"ieee"}
    assert cuda_settings() == before


def test_a_failed_fit_puts_them_back_too(monkeypatch, quick, iris):
    before = cuda_settings()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match="latent_dim"):
        quick(device="cpu", latent_dim=0).fit(iris)
    assert cuda_settings() == before


def test_settings_come_back_when_threads_overlap():
    before, inside, leave = cuda_settings(), threading.Event(), threading.Event()

    def other():
        with cuda_float32():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with cuda_float32():
        thread.start()
        assert inside.wait(60)
    assert set(cuda_settings()) == {"ieee"}
    leave.set()
    thread.join()
    assert cuda_settings() == before


def test_training_sets_them_where_there_is_cuda(monkeypatch, quick, iris):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    seen = set()
    forward = Conditional.forward

    def note(self, x):
        seen.update([*cuda_settings(), older_settings()])
        return forward(self, x)

    monkeypatch.setattr(Conditional, "forward", note)
    quick(device="cpu").fit(iris)
    assert seen == {"ieee", ("highest", False, False)}


def test_tf32_without_cuda_is_refused_before_training(quick, iris):
    with pytest.raises(ValueError, match=r"device cpu has no TF32.*precision='float32'"):
        quick(device="cpu", precision="tf32").fit(iris)


# -- memory ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "score_samples"])
def test_a_device_without_memory_says_what_to_lower(method, monkeypatch, quick, iris):
    model = quick(warm_start=True).fit(iris)
    before = model.get_params(), model.history_

    def full(*args):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Conditional, "forward", full)
    with pytest.raises(MemoryError, match=r"Lower batch_size.*CUDA out of memory"):
        getattr(model, method)(iris)
    assert (model.get_params(), model.history_) == before
