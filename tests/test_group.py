"""One model, trained by two processes on their own rows."""

import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import group_checks as g
import joblib
import numpy as np
import pytest
import torch
from group_checks import DIGITS, IRIS, STARTS, same, start, starts
from ranks import Ranks

import skvae.group
from skvae import AutoencoderTransformer, VAETransformer
from skvae.estimators.fitting import Training
from skvae.model.objectives import elbo
from skvae.training.steps import Steps, make_optimizer

pytestmark = pytest.mark.filterwarnings("ignore:.*:sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def ranks():
    with Ranks() as both:
        yield both


# -- as one process would ------------------------------------------------------------------


def losses_of_one_process(model, X, counts):
    """Return the losses per epoch of one process on the batches and draws of several ranks."""
    training = Training(model, X)
    setup, rows = training.setup, training.setup.rows
    module = training.start(rows).train()
    n_steps = -(-len(rows) // setup.plan.batch_size)
    steps = Steps(make_optimizer(module, setup.plan), setup.plan, setup.plan.epochs * n_steps)
    streams = [replace(setup.streams, rank=rank) for rank in range(len(counts))]
    orders, draws = ([each.generator(name) for each in streams] for name in ("order", "draws"))
    first, losses = np.cumsum([0, *counts[:-1]]), []
    for _ in range(setup.plan.epochs):
        parts = zip(first, counts, orders, strict=True)
        parts = [
            (start + torch.randperm(n, generator=order)).tensor_split(n_steps)
            for start, n, order in parts
        ]
        total = 0.0
        for batch in zip(*parts, strict=True):
            eps = [
                torch.randn(1, len(p), 2, generator=g)
                for p, g in zip(batch, draws, strict=True)
            ]
            x = rows[torch.cat(batch)]
            loss = -elbo(module, x, torch.cat(eps, dim=1)).value.mean()
            module.zero_grad()
            loss.backward()
            steps.step()
            total += loss.item() * len(x)
        losses.append(total / len(rows) - training.log_jacobians.training)
    return losses


@pytest.mark.parametrize("share", [0.5, 0.31, 0.003])
def test_the_losses_are_those_of_one_process_on_the_same_batches(share, ranks):
    X = DIGITS[:1000]
    (_, first), (_, second) = ranks.run(same, X, share, {"batch_size": 64})
    np.testing.assert_array_equal(first, second)
    cut = round(share * len(X))
    model = VAETransformer(max_iter=3, early_stopping=False, random_state=0, batch_size=64)
    model._validate(X, reset=True, training=True)
    expected = losses_of_one_process(model, X, [cut, len(X) - cut])
    np.testing.assert_allclose(first, expected, rtol=1e-5)


def test_the_starts_are_those_of_all_rows_in_one_process(ranks):
    first, second = ranks.run(starts)
    worst = {}
    for name, (parameters, X) in STARTS.items():
        expected = start(parameters, X, VAETransformer.fit)
        for key, values in expected.items():
            np.testing.assert_array_equal(first[name][key], second[name][key])
            actual, values = (each.astype(float) for each in (first[name][key], values))
            scale = np.abs(values).max(initial=1e-30)
            worst[name, key] = np.abs(actual - values).max(initial=0.0) / scale
    assert max(worst.values()) < 1e-6, {
        key: value for key, value in worst.items() if value > 1e-6
    }


@pytest.mark.parametrize("early_stopping", ["auto", False])
@pytest.mark.parametrize("build", [VAETransformer, AutoencoderTransformer])
def test_both_ranks_have_the_same_bits_and_again_the_same(build, early_stopping, ranks):
    parameters = {"early_stopping": early_stopping, "max_iter": 2}
    runs = [ranks.run(same, IRIS, 0.4, parameters, build) for _ in range(2)]
    assert len({digest for run in runs for digest, _ in run}) == 1


@pytest.mark.parametrize("case", ["per_feature", "frame", "sparse", "gaps", "mixed", "codes"])
def test_a_rank_may_have_no_validation_rows(case, ranks):
    (first, expected), (second, _) = ranks.run(g.validated_on_0, case)
    assert first == second == pytest.approx(expected, abs=0.3)


def test_validation_rows_on_no_rank_are_refused(ranks):
    ranks.run(g.without_validation_rows)


# -- agreement, and errors on every rank -----------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "parameters", "message"),
    [
        (g.infinite_on_1, {}, "Input X contains infinity"),
        (g.outside_on_1, {"likelihood": "poisson"}, "needs whole numbers, but feature 0"),
        (g.other_columns_on_1, {}, "has another number of columns than rank 0: 3"),
        (g.other_names_on_1, {}, "has other names of columns than rank 0"),
        (g.one_row_on_1, {}, "Found array with 1 sample"),
        (g.shard, {"early_stopping": "cv"}, "is not done in a group: use True"),
        (g.shard, {"network": g.Failing()}, "the rows of this rank are odd"),
    ],
)
def test_an_error_of_one_rank_is_raised_on_both(rows, parameters, message, ranks):
    first, second = ranks.run(g.earlier_fit_stays, parameters, IRIS, rows)
    assert message in first
    assert message in second
    assert "rank 1" in first.lower() or first == second


@pytest.mark.parametrize(
    ("name", "value"),
    [("latent_dim", 3), ("batch_size", 7), ("network", g.Failing()), ("random_state", 5)],
)
def test_another_parameter_is_named_on_both_ranks(name, value, ranks):
    errors = ranks.run(g.other_parameter_on_1, name, value)
    assert all(f"ValueError: Rank 1 of 2 has another {name} than rank 0" in e for e in errors)


def test_a_fitted_model_on_one_rank_only_is_named(ranks):
    errors = ranks.run(g.continues_on_1)
    assert all("Rank 1 of 2 continues a fitted model, and rank 0 has none" in e for e in errors)


def test_a_search_a_missing_group_and_other_objects_are_refused(ranks):
    ranks.run(g.in_search)
    with pytest.raises(ValueError, match="start the processes, for example with torchrun"):
        VAETransformer().fit(IRIS, group="world")
    with pytest.raises(TypeError, match="None, 'world' or a torch"):
        VAETransformer().fit(IRIS, group="all")


# -- interruptions, callbacks, and trainings that go on --------------------------------------


@pytest.mark.parametrize("early_stopping", [True, False])
def test_ctrl_c_on_one_rank_ends_the_training_of_both_in_the_same_state(early_stopping, ranks):
    network = g.Failing("interrupt", steps=8)
    (first, n_iter, texts), second = ranks.run(g.interrupted, network, early_stopping)
    assert second == (first, n_iter, texts)
    assert n_iter < 50
    assert any("Training interrupted by user" in text for text in texts)


def test_a_second_ctrl_c_on_one_rank_raises_on_both(ranks):
    first, second = ranks.run(g.earlier_fit_stays, {"network": g.Failing("interrupt twice")})
    assert (
        first == "GroupError: On rank 1 of 2: the training was interrupted (KeyboardInterrupt)."
    )
    assert second.startswith("KeyboardInterrupt")


def test_callbacks_run_on_rank_0_and_stop_both(ranks):
    own, other = ranks.run(g.with_callback)
    assert own[:2] == other[:2]
    (n_epochs, n_calls, _), (_, n_others, kept) = own[1:], other[1:]
    assert n_epochs == 2
    assert n_calls > 2
    assert n_others == 0
    assert len(kept) == 1


def test_rank_0_writes_a_checkpoint_from_which_groups_of_any_size_go_on(ranks, tmp_path):
    (written, n_iter, first), (other, _, second) = ranks.run(g.checkpoint, str(tmp_path))
    assert (written, other, n_iter) == (True, False, 6)
    assert first == second
    alone = joblib.load(tmp_path / "rank0.joblib").set_params(warm_start=True).fit(IRIS)
    assert alone.n_iter_ == 9


def test_partial_fit_in_a_group(ranks):
    (first, losses), (second, _) = ranks.run(g.partial_fits)
    assert first == second
    assert losses[1] < losses[0]


def test_without_a_seed_both_have_that_of_rank_0(ranks):
    first, second = ranks.run(g.in_subgroup)
    assert first == second


# -- lost ranks ------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "size", "timeout"), [("kill", 3, 60), ("stop", 2, 10)])
def test_a_lost_rank_is_named_on_all_others(action, size, timeout):
    with Ranks(size, timeout) as some:
        some.run(g.fit_quick, IRIS)
        start = time.monotonic()
        some.start(g.earlier_fit_stays, {"network": g.Failing(action)})
        errors = some.results([rank for rank in range(size) if rank != 1])
        assert time.monotonic() - start < 40
    message = f"GroupError: Rank 1 of {size} was lost in the training"
    assert all(error.startswith(message) for error in errors)


# -- the example of the documentation --------------------------------------------------------


def test_the_script_of_the_documentation_runs_under_torchrun(tmp_path):
    block = skvae.group.__doc__.partition("train.py``::")[2].partition("\n\nOn a Slurm")[0]
    (tmp_path / "train.py").write_text(textwrap.dedent(block))
    np.save(tmp_path / "rows.npy", IRIS)
    torchrun = "-m torch.distributed.run --standalone --nproc-per-node 2 train.py"
    subprocess.run(
        [sys.executable, *torchrun.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=300,
        capture_output=True,
    )
    assert np.load(tmp_path / "codes.npy").shape == (75, 2)
