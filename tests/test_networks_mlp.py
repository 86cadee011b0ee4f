"""Batch normalisation and dropout in fully connected networks."""

import pickle

import numpy as np
import pytest
import torch

from skvae.networks import MLP

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")

REGULARISED = {
    "batch_norm": MLP((16,), batch_norm=True),
    "dropout": MLP((16,), dropout=0.2),
    "both": MLP((16,), batch_norm=True, dropout=0.2),
}
each_network = pytest.mark.parametrize("network", REGULARISED.values(), ids=list(REGULARISED))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(network, n_in=6, n_out=5):
    return network.build_encoder(n_in, n_out, None, generator())


def rows(n=9, n_in=6):
    return torch.randn(n, n_in, generator=generator(1))


@each_network
def test_the_global_generator_is_not_touched(network, iris, quick):
    before = torch.get_rng_state()
    quick(network=network).fit(iris).transform(iris)
    assert torch.equal(torch.get_rng_state(), before)


@each_network
def test_the_same_seed_gives_the_same_bits_twice(network, iris, quick):
    first, second = (quick(network=network).fit(iris) for _ in range(2))
    np.testing.assert_array_equal(first.transform(iris), second.transform(iris))
    assert first.loss_curve_ == second.loss_curve_


@each_network
def test_rows_do_not_depend_on_their_batch(network, iris, quick):
    vae = quick(network=network).fit(iris)
    alone = np.concatenate([vae.transform(row[None]) for row in iris])
    np.testing.assert_allclose(alone, vae.transform(iris), rtol=1e-9, atol=1e-9)


@each_network
@pytest.mark.parametrize("batch_size", [7, 149])
def test_a_last_batch_of_one_row_trains(network, batch_size, iris, quick):
    n = 7 * 21 + 1 if batch_size == 7 else 150
    vae = quick(network=network, batch_size=batch_size).fit(iris[:n])
    assert np.isfinite(vae.loss_curve_).all()


@each_network
def test_the_closed_form_start_holds(network, iris, quick):
    start = quick(max_iter=0).fit(iris).score(iris)
    assert quick(network=network, max_iter=0).fit(iris).score(iris) == pytest.approx(start)


@each_network
def test_copies_of_a_fitted_model_agree(network, iris, quick):
    vae = quick(network=network).fit(iris)
    restored = pickle.loads(pickle.dumps(vae))
    np.testing.assert_array_equal(restored.transform(iris), vae.transform(iris))


@each_network
def test_a_fitted_model_continues(network, iris, quick):
    vae = quick(network=network, warm_start=True).fit(iris).fit(iris).partial_fit(iris)
    assert vae.n_iter_ == 7
    assert np.isfinite(vae.loss_curve_).all()


# -- batch normalisation --------------------------------------------------------------


def test_hidden_units_are_normalised_before_their_activation():
    body = build(MLP((16,), "identity", batch_norm=True)).train()
    hidden = body.hidden(100 + 7 * rows())
    torch.testing.assert_close(hidden.mean(0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(hidden.var(0, correction=0), torch.ones(16), atol=1e-3, rtol=0)


def test_a_batch_of_one_row_is_normalised_as_in_inference():
    body = build(MLP((16,), batch_norm=True)).train()
    body(rows())
    before = {name: value.clone() for name, value in body.named_buffers()}
    one = rows(1)
    expected = build(MLP((16,), batch_norm=True))
    expected.load_state_dict(body.state_dict())
    torch.testing.assert_close(body(one), expected.eval()(one))
    assert all(part.training for part in body.modules())
    for name, value in body.named_buffers():
        assert torch.equal(value, before[name]), name


# -- dropout --------------------------------------------------------------------------


def test_dropout_is_only_in_training():
    plain, body = build(MLP((16,))), build(MLP((16,), dropout=0.2))
    x = rows()
    body.eval()
    assert torch.equal(body(x), body(x))
    body.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(body(x), plain.eval()(x))
    body.train()
    assert not torch.equal(body(x), body(x))


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(share):
    n = 5000
    body = build(MLP((16,), dropout=share)).train()
    dropout = body.hidden[-1]
    ones = torch.ones(n, 16)
    kept = dropout(ones)
    n_kept = (kept != 0).double()
    # Five standard errors of a share among independent draws.
    error = 5 * (share * (1 - share) / n_kept.numel()) ** 0.5
    assert abs(n_kept.mean() - (1 - share)) < error
    torch.testing.assert_close(kept[kept != 0], ones[kept != 0] / (1 - share))


def test_each_step_and_each_layer_drops_other_units():
    body = build(MLP((16, 16), dropout=0.5)).train()
    first, second = (layer for layer in body.hidden if hasattr(layer, "seed"))
    ones = torch.ones(50, 16)
    assert not torch.equal(first(ones), first(ones))
    assert not torch.equal(first(ones), second(ones))


@pytest.mark.parametrize("dropout", [1.0, -0.1, "half", None])
def test_a_bad_share_is_refused_by_name(dropout, iris, quick):
    with pytest.raises(ValueError, match="'dropout' parameter of MLP must be"):
        quick(network=MLP((8,), dropout=dropout)).fit(iris)


def test_a_state_restores_the_draws_of_dropout():
    first, second = (build(MLP((16,), dropout=0.5)).train() for _ in range(2))
    first(rows())
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(rows()), first(rows()))
