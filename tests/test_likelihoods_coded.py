"""Categories that are coded by integers are the one-hot encoded ones, in fewer columns."""

import numpy as np
import pytest
import torch

from skvae.data.missing import IncompleteRows
from skvae.data.units import Units
from skvae.likelihoods import Categorical, CodedCategorical

SIZES = (3, 4)


def coded_rows(n=300):
    rng = np.random.RandomState(0)
    return torch.as_tensor(
        np.c_[rng.randint(3, size=n), rng.choice(4, n, p=[0.6, 0.2, 0.15, 0.05])]
    ).double()


def one_hot(rows):
    return torch.cat([torch.eye(n)[rows[:, j].long()] for j, n in enumerate(SIZES)], dim=1)


@pytest.fixture
def coded():
    return CodedCategorical(SIZES)


@pytest.fixture
def raw():
    return torch.randn(300, 7, generator=torch.Generator().manual_seed(0)).double()


def test_the_probabilities_are_those_of_the_one_hot_encoded_categories(coded, raw):
    rows = coded_rows()
    p = coded.head(Units.identity(2))(raw)
    q = Categorical(SIZES).head(Units.identity(7))(raw)
    torch.testing.assert_close(p.log_prob(rows), q.log_prob(one_hot(rows).double()))
    torch.testing.assert_close(p.mean, q.mean)
    torch.testing.assert_close(p.variance, q.variance)
    assert p.event_shape == (2,)


def test_a_missing_category_adds_nothing(coded, raw):
    rows, missing = coded_rows(), torch.zeros(300, 2, dtype=torch.bool)
    missing[::2, 0], missing[::3, 1] = True, True
    p = coded.head(Units.identity(2))(raw)
    values = rows.masked_fill(missing, 0.0)
    each = p.base_dist.log_prob(rows)
    expected = torch.where(missing, 0.0, each).sum(1)
    found = p.log_prob(IncompleteRows(values, missing, values, None))
    torch.testing.assert_close(found, expected)


def test_the_encoder_is_given_indicators(coded):
    rows = coded_rows(20)
    torch.testing.assert_close(coded.input_transform()(rows), one_hot(rows).double())
    rows[3, 1] = torch.nan
    found = coded.input_transform()(rows)[3]
    assert found.isnan().tolist() == [False] * 3 + [True] * 4


def test_the_start_gives_the_frequencies(coded):
    rows = coded_rows()
    centre = coded.start(coded.head(Units.identity(2)), rows)
    mean = coded.head(Units.identity(2))(centre[None]).mean[0]
    np.testing.assert_allclose(mean, one_hot(rows).mean(0), atol=1 / len(rows))


def test_draws_are_codes_of_the_right_frequencies(coded, raw):
    p = coded.head(Units.identity(2))(raw[:1].expand(40_000, -1))
    drawn = coded.draw(p, np.random.RandomState(0))
    assert drawn.shape == (40_000, 2)
    found = one_hot(torch.as_tensor(drawn)).mean(0).numpy()
    error = np.sqrt(p.variance[0].numpy() / len(drawn))
    assert (np.abs(found - p.mean[0].numpy()) < 5 * error).all()


def test_a_row_of_means_has_the_most_likely_codes(coded):
    mean = torch.tensor([[0.2, 0.5, 0.3, 0.1, 0.1, 0.1, 0.7]])
    assert coded.collapse(mean).tolist() == [[1.0, 3.0]]


def test_one_number_of_levels_is_that_of_each_column(raw):
    p = CodedCategorical(3).head(Units.identity(2))(raw[:, :6])
    q = CodedCategorical((3, 3)).head(Units.identity(2))(raw[:, :6])
    rows = coded_rows().clamp(max=2)
    torch.testing.assert_close(p.log_prob(rows), q.log_prob(rows), rtol=0, atol=0)


@pytest.mark.parametrize("value", [-1.0, 3.0, 0.5, 2.9999999])
def test_other_values_than_codes_are_refused_by_column(coded, value):
    X = np.array([[0.0, 1.0], [value, 3.0], [np.nan, np.nan]])
    for check in (coded.check_support, coded.clip):
        with pytest.raises(ValueError, match=r"codes 0 to 2, or NaN, but feature 0 of X"):
            check(X)
    with pytest.raises(ValueError, match="'colour' of X"):
        coded.check_support(X, ["colour", "size"])


def test_codes_and_gaps_pass_untouched(coded):
    X = np.array([[0.0, 3.0], [2.0, np.nan]])
    assert coded.check_support(X) is X
    assert coded.clip(X) is X


@pytest.mark.parametrize("n_levels", [0, (3, 0), (), (2.5,), -1])
def test_numbers_of_levels_are_positive_integers(n_levels):
    with pytest.raises(ValueError, match="n_levels"):
        CodedCategorical(n_levels).check()


def test_there_is_one_number_for_each_column(coded):
    with pytest.raises(ValueError, match="one number for each of 3 columns"):
        coded.check_support(np.zeros((2, 3)))
