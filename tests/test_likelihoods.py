"""p(x|z): every likelihood is a distribution over rows, and says so in its messages."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from likelihood_cases import (
    BOUNDED,
    MOVES,
    N_FEATURES,
    bounded,
    each_case,
    raw_outputs,
    started_head,
)
from scipy.integrate import quad

from skvae.data.units import Units
from skvae.likelihoods import LIKELIHOODS, Categorical

EPS32 = torch.finfo(torch.float32).eps
# Five standard errors: with fixed seeds and some dozens of numbers, no chance failure.
Z = 5.0


# -- distributions over rows ----------------------------------------------------------


@each_case
def test_the_density_of_each_row_has_mass_one(case):
    _, head, _ = case.example(n_features=1)
    p = head.double()(raw_outputs(head, n=3))
    if p.support.is_discrete:
        total = (
            p.log_prob(case.values(p)[:, None].expand(-1, 3, -1)).exp().sum(0).detach().numpy()
        )
    else:
        low, high = case.likelihood.support
        total = []
        for i in range(3):
            mean, spread = p.mean[i, 0].item(), 40 * p.stddev[i, 0].item()
            # Tails, which may be heavy, in pieces of their own.
            ends = [max(low, mean - spread), mean, min(high, mean + spread)]
            points = [low, *ends, high]

            def density(v, i=i):
                return p.log_prob(torch.full((3, 1), v, dtype=torch.float64))[i].exp().item()

            total.append(sum(quad(density, *piece)[0] for piece in pairwise(points)))
    # quad's own tolerance is 1.5e-8 a piece.
    np.testing.assert_allclose(total, 1, atol=5e-8)


@each_case
def test_a_distribution_covers_a_whole_row(case):
    X, head, units = case.example()
    p = head(raw_outputs(head).float())
    assert p.event_shape == p.mean.shape[1:] == (X.shape[1],)
    assert p.log_prob(torch.as_tensor(units.to_model(X[:5], np.float32))).shape == (5,)


@each_case
def test_raw_outputs_may_have_leading_axes(case):
    X, head, units = case.example()
    raw = raw_outputs(head).float()
    x = torch.as_tensor(units.to_model(X[:5], np.float32))
    several = head(torch.stack([raw, raw - 1])).log_prob(x)
    each = torch.stack([head(raw).log_prob(x), head(raw - 1).log_prob(x)])
    torch.testing.assert_close(several, each)


@each_case
def test_float32_and_float64_give_the_same_density(case):
    X, head, units = case.example()
    x, raw = torch.as_tensor(units.to_model(X[:5])), raw_outputs(head)
    single = head(raw.float()).log_prob(x.float()).double()
    double = head.double()(raw).log_prob(x)
    # A few roundings of inputs and of squares (relative to the scale of the noise).
    torch.testing.assert_close(single, double, rtol=50 * EPS32, atol=50 * EPS32)


@each_case
@pytest.mark.parametrize("raw", [-1e3, -30.0, 30.0, 1e3])
def test_extreme_raw_outputs_give_finite_densities_and_gradients(case, raw):
    X, head, units = case.example()
    raw = torch.full((5, head.n_raw), raw, requires_grad=True)
    log_prob = head(raw).log_prob(torch.as_tensor(units.to_model(X[:5], np.float32)))
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert raw.grad.isfinite().all()


@each_case
def test_gradients_reach_every_raw_output_and_parameter(case):
    X, head, units = case.example()
    raw = raw_outputs(head).float().requires_grad_()
    head(raw).log_prob(torch.as_tensor(units.to_model(X[:5], np.float32))).sum().backward()
    assert (raw.grad != 0).all()
    for name, parameter in head.named_parameters():
        assert parameter.grad.any(), name


# -- draws ----------------------------------------------------------------------------


def draws(case, n=20_000):
    """Return a distribution of one row and `n` draws from it."""
    head, _ = case.frozen_head()
    p = head.double()(raw_outputs(head, n=1).expand(n, -1))
    return p, head.draw(p, np.random.RandomState(0))


@each_case
def test_draws_have_the_mean_of_the_distribution(case):
    p, x = draws(case)
    mean, variance = p.mean[0].numpy(), p.variance[0].numpy()
    assert (np.abs(x.mean(0) - mean) < Z * np.sqrt(variance / len(x))).all()


@each_case
def test_draws_have_the_variance_of_the_distribution(case):
    p, x = draws(case)
    squares = (x - p.mean[0].numpy()) ** 2
    error = squares.std(0) / np.sqrt(len(x))
    assert (np.abs(squares.mean(0) - p.variance[0].numpy()) < Z * error + 1e-12).all()


@each_case
def test_draws_lie_in_the_support_and_keep_shape_and_dtype(case):
    head, units = case.frozen_head()
    low, high = case.likelihood.support
    for dtype in (torch.float32, torch.float64):
        p = head.to(dtype)(raw_outputs(head, n=200, scale=5).to(dtype))
        x = head.draw(p, np.random.RandomState(0))
        assert x.shape == tuple(p.mean.shape)
        assert x.dtype == p.mean.numpy().dtype
        X = units.to_data(x)
        assert (low <= X).all()
        assert (high >= X).all()


@each_case
def test_draws_repeat_with_the_generator_and_leave_the_global_ones(case):
    head, _ = case.frozen_head()
    p = head(raw_outputs(head).float())
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second, other = (head.draw(p, np.random.RandomState(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


# -- the start ------------------------------------------------------------------------


@each_case
def test_the_start_gives_the_mean_of_the_data(case):
    X, head, units = case.example()
    assert head.centre.shape == (head.n_raw,)
    mean = units.to_data(head(head.centre[None].float()).mean.detach().numpy())[0]
    # Half a pseudo-count keeps a logit finite; it moves a mean by 1/n, or by its n-th part.
    atol = max(1.0, X.mean(axis=0).max() if np.isfinite(case.likelihood.support[0]) else 0)
    np.testing.assert_allclose(mean, X.mean(axis=0), atol=atol / len(X), rtol=1e-5)


@pytest.mark.parametrize("level", [0.002, 0.5, 0.998])
@pytest.mark.parametrize(
    "likelihood",
    # A single column of categories is constant.
    [lk for lk in BOUNDED if not isinstance(lk, Categorical)],
    ids=lambda lk: type(lk).__name__,
)
def test_the_start_follows_a_mean_close_to_the_edge_of_the_support(likelihood, level):
    # A picture's margin: its pixels are rarely anything but black.
    low, high = likelihood.support
    X = torch.full((5000, 1), low + level * min(high - low, 1))
    head = started_head(likelihood, X, Units.identity(1))
    mean = head(head.centre[None].float()).mean.item()
    assert mean == pytest.approx(X[0, 0].item(), abs=1 / len(X))


@bounded
def test_the_start_is_finite_where_the_data_never_leave_the_edge(likelihood):
    for edge in likelihood.support:
        if np.isfinite(edge):
            head = started_head(likelihood, torch.full((50, 2), edge), Units.identity(2))
            assert head.centre.isfinite().all()
            assert head(head.centre[None].float()).mean.isfinite().all()


@each_case
def test_a_new_head_takes_over_the_state_of_another(case):
    # From the units alone: what is known of the rows is in the state.
    X, head, units = case.example()
    torch.nn.init.constant_(next(head.parameters(), torch.zeros(1)), 0.3)
    restored = case.likelihood.head(units)
    restored.load_state_dict(head.state_dict())
    x, raw = torch.as_tensor(units.to_model(X[:5], np.float32)), raw_outputs(head).float()
    assert torch.equal(restored(raw).log_prob(x), head(raw).log_prob(x))


# -- the support ----------------------------------------------------------------------


@each_case
def test_example_rows_pass_untouched_and_without_a_warning(case):
    X = case.rows(case.likelihood, 50, N_FEATURES)
    case.likelihood.check_support(X)
    assert case.likelihood.clip(X) is X


@bounded
def test_the_edges_belong_to_the_support(likelihood):
    X = np.array([[edge for edge in likelihood.support if np.isfinite(edge)]])
    likelihood.check_support(X)
    assert likelihood.clip(X) is X


@bounded
def test_values_outside_the_support_name_the_worst_column_and_its_range(likelihood):
    low, _ = likelihood.support
    X = np.array([[low - 0.25, low, low], [low, low - 2.5, low]])
    message = f"ranges from {low - 2.5:g} to {low:g}"
    with pytest.raises(ValueError, match=f"feature 1 of X {message}") as error:
        likelihood.check_support(X)
    assert type(likelihood).__name__ in str(error.value)
    assert likelihood.remedy in str(error.value)
    with pytest.raises(ValueError, match=f"'b' of X {message}"):
        likelihood.check_support(X, np.array(["a", "b", "c"], dtype=object))


def test_values_above_the_support_are_refused_too():
    with pytest.raises(ValueError, match=r"feature 0 of X ranges from 0.5 to 1\.01"):
        LIKELIHOODS["bernoulli"]().check_support(np.array([[0.5], [1.01]]))


@pytest.mark.parametrize(
    "likelihood", [lk for lk in MOVES if not MOVES[lk]], ids=lambda lk: type(lk).__name__
)
def test_counts_and_categories_have_no_nearest_value_and_are_refused(likelihood):
    for value in (0.5, -1.0):
        with pytest.raises(ValueError, match=type(likelihood).__name__):
            likelihood.clip(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, value]]))


@pytest.mark.parametrize(
    "likelihood", [lk for lk in MOVES if MOVES[lk]], ids=lambda lk: type(lk).__name__
)
def test_clip_moves_values_to_the_edge_and_warns_once(likelihood):
    low, _ = likelihood.support
    X = np.array([[low, low - 1e-9], [low - 3.0, low]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clipped = likelihood.clip(X)
    np.testing.assert_array_equal(clipped, low)
    assert X[1, 0] == low - 3.0
    (warning,) = caught
    # A billionth outside is rounding.
    assert "1 of the 4 values" in str(warning.message)
    assert type(likelihood).__name__ in str(warning.message)
