"""Encoder and decoder as torch modules in the units of the data."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from export_cases import (
    QUICK,
    assert_close,
    each_export,
    exported,
    fitted,
    frame_of_kinds,
    repeated,
)
from mixed_cases import mixed_likelihood, mixed_table
from model_cases import SMALL, each_model, rows_for
from sklearn.datasets import load_wine
from sklearn.exceptions import NotFittedError

from skvae import VAETransformer
from skvae.likelihoods import coded

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")
ROWS = ({0: torch.export.Dim("rows")},)


@pytest.fixture
def quick(quick):
    return partial(quick, device=QUICK["device"])


@pytest.fixture(scope="module")
def wine():
    return load_wine().data


@pytest.fixture(scope="module")
def vae(wine):
    return fitted(VAETransformer(**QUICK), wine)


# -- the same as transform and inverse_transform ---------------------------------------------


@each_model
def test_modules_of_every_model_give_what_the_methods_give(names, quick):
    network, likelihood, posterior = names
    X = rows_for(likelihood).astype(np.float32)
    model = quick(
        network=SMALL.get(network, network),
        likelihood=likelihood,
        posterior=posterior,
        image_shape=(8, 8),
    ).fit(X)
    codes = model.transform(X)
    assert_close(model.encoder_module()(torch.tensor(X)).numpy(), codes, codes)
    rows = model.inverse_transform(codes)
    assert_close(model.decoder_module()(torch.tensor(codes)).numpy(), rows, rows)


@each_export
def test_exported_programs_take_any_number_of_rows(name):
    for module, inputs, expected in exported(name):
        program = torch.export.export(
            module, (torch.tensor(inputs[:2]),), dynamic_shapes=ROWS
        ).module()
        for n in (1, 3, 1000):
            rows, results = repeated(inputs, expected, n)
            actual = program(torch.tensor(rows)).numpy()
            assert_close(actual, results, expected)


@pytest.mark.parametrize("offset", [0.0, 1e5, -1e5])
@pytest.mark.parametrize("marginals", [None, "normal"])
def test_columns_far_from_zero_keep_their_digits(offset, marginals, wine, quick):
    X = wine + offset
    model = quick().set_params(likelihood__marginals=marginals).fit(X)
    codes = model.transform(X)
    # float64 rows lose none.
    assert_close(model.encoder_module()(torch.tensor(X)).numpy(), codes, codes)
    rows = model.decoder_module()(torch.tensor(codes)).numpy()
    expected = model.inverse_transform(codes)
    # Means in float32 may be rounded to the next whole number.
    whole = (wine == np.rint(wine)).all(axis=0) & (marginals is not None)
    np.testing.assert_allclose(rows[:, ~whole], expected[:, ~whole], rtol=1e-6)
    errors = np.abs(rows - expected)[:, whole]
    assert errors.max(initial=0) <= 1
    assert (errors > 0).sum() <= 0.01 * errors.size


def test_a_module_in_float64_agrees_with_rows_in_float64(vae, wine):
    codes = vae.transform(wine)
    own = vae.encoder_module().double()(torch.tensor(wine))
    assert own.dtype == torch.float64
    np.testing.assert_allclose(own, codes, rtol=1e-6, atol=1e-6)
    rows = vae.decoder_module().double()(torch.tensor(codes))
    np.testing.assert_allclose(rows, vae.inverse_transform(codes), rtol=1e-6)


def test_rows_and_codes_may_have_any_dtype(vae, wine):
    encoder, whole = vae.encoder_module(), wine.round()
    expected = encoder(torch.tensor(whole, dtype=torch.float32))
    for dtype in (torch.int64, torch.int16, torch.float64):
        codes = encoder(torch.tensor(whole).to(dtype))
        torch.testing.assert_close(codes, expected, rtol=1e-4, atol=1e-5)
    assert vae.decoder_module()(expected.double()).dtype == torch.float32


# -- values that the model does not take -------------------------------------------------------


@pytest.mark.parametrize("likelihood", [None, mixed_likelihood()])
def test_codes_of_rows_with_a_missing_value_are_nan(likelihood, vae, wine, quick):
    X = wine
    if likelihood is not None:
        X = mixed_table()
        vae = quick(likelihood=likelihood).fit(X)
    gaps = X.copy()
    gaps[::3, 0] = np.nan
    codes = vae.encoder_module()(torch.tensor(gaps)).numpy()
    np.testing.assert_array_equal(np.isnan(codes).any(axis=1), np.isnan(gaps).any(axis=1))
    whole = ~np.isnan(gaps).any(axis=1)
    assert_close(codes[whole], vae.transform(X)[whole], codes[whole])


@pytest.mark.parametrize("likelihood", ["bernoulli", mixed_likelihood()])
def test_values_are_clipped_as_in_transform(likelihood, quick):
    X = mixed_table()
    X = X[:, 3:5] if likelihood == "bernoulli" else X
    model = quick(likelihood=likelihood).fit(X)
    # Of the mixed table a number too, which has no bounds.
    flag = 0 if likelihood == "bernoulli" else 3
    beyond = X + 0.2 * np.isin(np.arange(X.shape[1]), (0, flag))
    with pytest.warns(UserWarning, match="were clipped"):
        codes = model.transform(beyond)
    assert_close(model.encoder_module()(torch.tensor(beyond)).numpy(), codes, codes)


def test_units_beyond_float32_are_refused(wine, quick):
    model = quick(max_iter=0).fit(wine * 1e40)
    with pytest.raises(ValueError, match=r"beyond the range of float32.*StandardScaler"):
        model.encoder_module()
    model = quick(max_iter=0).fit(wine * 1e-60)
    with pytest.raises(ValueError, match="beyond the range of float32"):
        model.encoder_module()


# -- frames ------------------------------------------------------------------------------------


def test_frames_of_categories_are_matrices_of_their_codes(quick):
    X = frame_of_kinds()
    model = quick().fit(X)
    encoder, decoder = model.encoder_module(), model.decoder_module()
    assert encoder.categories == [None, None, None, list("wvzyx")]
    rows = X.assign(category=X["category"].cat.codes).to_numpy(dtype=np.float64)
    codes = model.transform(X)
    own = encoder(torch.tensor(rows))
    assert_close(own.numpy(), codes, codes)
    decoded, means = model.inverse_transform(codes), decoder(own).numpy()
    np.testing.assert_allclose(means[:, 0], decoded["number"], rtol=1e-4)
    np.testing.assert_array_equal(means[:, 1], decoded["count"])
    np.testing.assert_array_equal(means[:, 2] > 0.5, decoded["flag"])
    np.testing.assert_array_equal(means[:, 3], decoded["category"].cat.codes)
    wrong = np.repeat(rows[:1], 3, axis=0)
    wrong[:, 3] = -1, 5, 1.5
    assert encoder(torch.tensor(wrong)).isnan().all()


def test_an_export_leaves_nothing_behind_in_the_model(quick):
    X = frame_of_kinds()
    model = quick().fit(X)
    codes, rows = model.transform(X), torch.zeros(2, 4)
    coded._kept_layout.cache_clear()
    torch.export.export(model.encoder_module(), (rows,), dynamic_shapes=ROWS)
    np.testing.assert_array_equal(model.transform(X), codes)


# -- plain modules -----------------------------------------------------------------------------


def test_modules_are_copies_in_inference_mode(vae, wine):
    codes = vae.transform(wine)
    for module in (vae.encoder_module(), vae.decoder_module()):
        assert not any(part.training for part in module.modules())
        assert not any(p.requires_grad for p in module.parameters())
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.zero_()
    np.testing.assert_array_equal(vae.transform(wine), codes)
    np.testing.assert_array_equal(
        vae.encoder_module()(torch.tensor(wine)),
        pickle.loads(pickle.dumps(vae)).encoder_module()(torch.tensor(wine)),
    )


@each_export
def test_codes_have_a_gradient_with_respect_to_rows(name):
    for module, inputs, _ in exported(name):
        x = torch.tensor(inputs[:5], requires_grad=True)
        module(x).sum().backward()
        assert x.grad.isfinite().all()
        assert (x.grad != 0).any()


def test_modules_need_a_fit():
    for method in ("encoder_module", "decoder_module"):
        with pytest.raises(NotFittedError, match="VAETransformer"):
            getattr(VAETransformer(), method)()
