"""Columns of several kinds: the parameters of the parts, their columns and their support."""

import numpy as np
import pytest
from mixed_cases import N_LEVELS, N_NUMBERS, mixed_likelihood, mixed_table
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.model_selection import GridSearchCV

from skvae import AutoencoderTransformer, VAETransformer
from skvae.likelihoods import Gaussian, Likelihood, Mixed

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def table():
    return mixed_table()


# -- parameters -----------------------------------------------------------------------


def test_parameters_nest():
    mixed = mixed_likelihood(Gaussian("isotropic"))
    params = VAETransformer(likelihood=mixed).get_params()
    assert params["likelihood__numbers__noise"] == "isotropic"
    assert params["likelihood__categories__n_levels"] == N_LEVELS
    vae = VAETransformer(likelihood=mixed).set_params(likelihood__numbers__noise=0.5)
    assert vae.likelihood.get_params()["numbers"].noise == 0.5
    mixed.set_params(numbers="poisson")
    assert mixed.get_params()["numbers"] == "poisson"
    assert mixed.parts[1][2] == slice(0, N_NUMBERS)


def test_a_nested_parameter_turns_a_name_into_an_object():
    mixed = mixed_likelihood("gaussian").set_params(numbers__noise=0.5)
    assert mixed.get_params()["numbers"].noise == 0.5
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        mixed.set_params(numbers__nonsense=1)


def test_a_clone_shares_no_part():
    mixed = mixed_likelihood(Gaussian())
    copied = clone(mixed)
    copied.set_params(numbers__noise=0.5)
    assert mixed.get_params()["numbers__noise"] == "auto"
    assert repr(clone(mixed)) == repr(mixed)


def test_a_grid_search_reaches_inside(table):
    vae = VAETransformer(likelihood=mixed_likelihood(), max_iter=1, random_state=0)
    grid = {"likelihood__numbers__noise": [0.1, 2.0]}
    search = GridSearchCV(vae, grid, cv=2).fit(table[:60])
    assert search.best_params_ == {"likelihood__numbers__noise": 2.0}


# -- columns --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns",
    [
        [0, 1],
        slice(0, 2),
        [-4, -3],
        [True, True, False, False],
        np.array([True, True, False, False]),
        lambda X: [0, 1],
    ],
)
def test_columns_are_positions_slices_masks_or_callables(columns):
    mixed = Mixed([("a", "gaussian", columns), ("b", "bernoulli", [2, 3])])
    resolved = mixed.resolve_columns(np.zeros((3, 4)))
    assert [part[2] for part in resolved.parts] == [[0, 1], [2, 3]]
    assert isinstance(resolved.parts[1][1], Likelihood)


def test_columns_of_a_frame_have_names():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"age": [1.0, 2.0], "rich": [True, False], "n": [1, 2]})
    mixed = Mixed([("a", "gaussian", ["n", "age"]), ("b", "bernoulli", ["rich"])])
    assert [part[2] for part in mixed.resolve_columns(frame).parts] == [[2, 0], [1]]


def test_a_column_selector_selects():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"age": [1.0, 2.0], "rich": [True, False], "n": [1, 2]})
    flags = make_column_selector(dtype_include=bool)
    numbers = make_column_selector(dtype_exclude=bool)
    mixed = Mixed([("a", "gaussian", numbers), ("b", "bernoulli", flags)])
    assert [part[2] for part in mixed.resolve_columns(frame).parts] == [[0, 2], [1]]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("a", [0, 1]), ("b", [1, 2, 3])], "feature 1 of X is in the parts 'a' and 'b'"),
        ([("a", [0, 0]), ("b", [1, 2, 3])], "feature 0 of X is in the parts 'a' and 'a'"),
        ([("a", [0, 1]), ("b", [3])], "feature 2 of X is in no part"),
        ([("a", slice(None)), ("b", [])], "The part 'b' .* has no columns"),
        ([("a", [0, 1]), ("b", [2, 4])], "In the part 'b' .*"),
        ([("a", [0, 1]), ("b", ["age"])], "In the part 'b' .*only supported for dataframes"),
        ([("a", [0, 1]), ("a", [2, 3])], "not unique"),
        ([("a__b", [0, 1]), ("c", [2, 3])], "must not contain __"),
        ([("parts", [0, 1]), ("c", [2, 3])], "conflict with constructor"),
        ([], "at least one"),
    ],
)
def test_parts_that_are_no_partition_are_refused_by_name(parts, message):
    mixed = Mixed([(name, "gaussian", columns) for name, columns in parts])
    X = np.random.RandomState(0).standard_normal((20, 4))
    with pytest.raises(ValueError, match=message):
        VAETransformer(likelihood=mixed).fit(X)


def test_columns_are_named_as_the_table_names_them():
    mixed = Mixed([("a", "gaussian", [0])])
    with pytest.raises(ValueError, match="'rich' of X is in no part"):
        mixed.resolve_columns(np.zeros((2, 2)), ["age", "rich"])


@pytest.mark.parametrize(
    ("part", "kind", "message"),
    [
        ("no such", ValueError, "part 'a' .*: Unknown likelihood 'no such'"),
        (3, TypeError, "part 'a' .*: The 'likelihood' parameter"),
        (Gaussian(noise=-1), ValueError, "part 'a' .*: The 'noise' parameter"),
    ],
)
def test_a_part_that_is_no_likelihood_is_refused_by_name(part, kind, message):
    with pytest.raises(kind, match=message):
        Mixed([("a", part, [0])]).check()
    with pytest.raises(ValueError, match=r"tuples \(name, likelihood, columns\)"):
        Mixed([("a", "gaussian")]).check()


# -- the support ----------------------------------------------------------------------


def test_values_outside_a_parts_support_name_the_column_of_the_table(table):
    likelihood = mixed_likelihood().for_data(table)
    for column, message in ((4, "feature 4"), (6, "feature 6"), (7, "feature 7")):
        X = table.copy()
        X[5, column] = -3.0
        with pytest.raises(ValueError, match=message):
            likelihood.check_support(X)
    with pytest.raises(ValueError, match="'h' of X"):
        likelihood.check_support(X, np.array(list("abcdefgh"), dtype=object))
    assert likelihood.check_support(table) is table


def test_only_parts_that_can_are_clipped(table):
    likelihood = mixed_likelihood().for_data(table)
    X = table.copy()
    X[5, 4] = 1.5
    with pytest.warns(UserWarning, match="Bernoulli"):
        clipped = likelihood.clip(X)
    assert clipped[5, 4] == 1.0
    assert X[5, 4] == 1.5
    assert likelihood.clip(table) is table


def test_codes_cannot_be_corrupted(table):
    model = AutoencoderTransformer(likelihood=mixed_likelihood(), noise=0.1)
    with pytest.raises(ValueError, match=r"noise=0\.1 cannot be added"):
        model.fit(table)
    model.set_params(noise=0.0, max_iter=2, random_state=0).fit(table)
    assert np.isfinite(model.score(table))
