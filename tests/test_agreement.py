"""What is compared between ranks; the rest is in test_group.py."""

import numpy as np
import pytest
import torch

from skvae import VAETransformer
from skvae.alone import ALONE
from skvae.estimators.agreement import fingerprint, stopping_in

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


class Pair:
    size = 2


@pytest.fixture(scope="module")
def vae(quick, iris):
    return quick(max_iter=1).fit(iris)


def test_equal_fits_have_equal_fingerprints_wherever_they_were_fitted(vae, quick, iris):
    again = quick(max_iter=1, verbose=False).fit(iris)
    again.device_ = "cuda:1"
    assert fingerprint(vars(again)) == fingerprint(vars(vae))


@pytest.mark.parametrize("part", ["weights", "moments", "history"])
def test_one_bit_changes_the_fingerprint(part, vae, quick, iris):
    other = quick(max_iter=1).fit(iris)
    if part == "weights":
        weight = next(other._fitted.module.parameters())
        weight.view(-1)[0] = torch.nextafter(weight.view(-1)[0], torch.tensor(9.0))
    elif part == "moments":
        next(iter(other._moments.values()))["exp_avg"].flat[0] += 1e-3
    else:
        loss = other.history_["loss"]
        loss[0] = np.nextafter(loss[0], 9)
    assert fingerprint(vars(other)) != fingerprint(vars(vae))


def test_early_stopping_in_a_group():
    assert stopping_in(Pair, "auto") is True
    for given in (True, False):
        assert stopping_in(Pair, given) is given
    assert stopping_in(ALONE, "auto") == "auto"
    assert stopping_in(ALONE, "cv") == "cv"
    with pytest.raises(ValueError, match="is not done in a group"):
        stopping_in(Pair, "cv")


def test_a_process_alone_exchanges_nothing():
    array = np.arange(3)
    assert ALONE.sum(array)[0] is array
    assert ALONE.gather(array)[0] is array
    assert ALONE.place(5) == (0, 5)
    assert VAETransformer(max_iter=0).fit(np.eye(5), group=None).n_iter_ == 0
