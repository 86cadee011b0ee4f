"""Functions on the workers of a Dask cluster that form a group. Nothing here may hang."""

import os
import signal
import socket
import threading
import time
from contextlib import suppress

import numpy as np
import pytest
import torch

pytest.importorskip("distributed")

import dask.array as da
from dask_cases import SECONDS, after, kill, time_limit, two_ranks, warm_up
from distributed import Client, wait

from skvae.dask.placement import compute_chunks, ranks_of, rows_of
from skvae.dask.runs import _Run, run_in_group
from skvae.dask.workers import torch_threads

pytestmark = pytest.mark.xdist_group("dask")


@pytest.fixture
def client(dask_client):
    with time_limit(dask_client):
        yield dask_client


@pytest.fixture
def ranks(client):
    return two_ranks(client)


def total(chunks, group, should_stop):
    """Return the number of rows of all ranks, and some facts."""
    n_rows = torch.tensor([float(sum(len(chunk) for chunk in chunks))])
    group.allreduce([n_rows]).wait()
    return n_rows.item(), group.rank(), os.getpid(), torch.get_num_threads()


def steps(chunks, group, should_stop):
    """Do steps until a rank is asked to stop; return their number."""
    stop, n_steps = torch.zeros(1), 0
    while not stop:
        stop.fill_(should_stop())
        group.allreduce([stop]).wait()
        n_steps += 1
        time.sleep(0.01)
    return n_steps


def run(client, ranks, function, timeout=SECONDS):
    return run_in_group(client, ranks, function, timeout=timeout)


def check_usable(client, ranks):
    assert [result[0] for result in run(client, ranks, total)] == [5.0, 5.0]


def test_ranks_are_in_order_and_each_on_its_worker(client, ranks):
    results = run(client, ranks, total)
    assert [result[:2] for result in results] == [(5.0, 0), (5.0, 1)]
    pids = client.run(os.getpid)
    assert [result[2] for result in results] == [pids[rank.address] for rank in ranks]


def test_threads_are_those_of_the_worker_during_the_run():
    before = torch.get_num_threads()
    with torch_threads(before + 2):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before


def test_the_usual_port_may_be_busy(client, ranks):
    with socket.socket() as taken:
        with suppress(OSError):
            taken.bind(("", 29500))
        check_usable(client, ranks)


def test_a_killed_worker_is_named(client, ranks):
    address = ranks[0].address
    pid, start = client.run(os.getpid)[address], time.monotonic()
    with after(0.5, kill, [pid]), pytest.raises(RuntimeError, match=f"lost {address}:"):
        run(client, ranks, steps)
    assert time.monotonic() - start < 10
    warm_up(client)
    check_usable(client, two_ranks(client))


def test_a_worker_that_is_killed_before_it_begins_is_named(client, ranks):
    address, start = ranks[1].address, time.monotonic()
    pid = client.run(os.getpid)[address]
    busy = client.submit(time.sleep, SECONDS, workers=[address])
    with after(1, kill, [pid]), pytest.raises(RuntimeError, match=f"lost {address}:"):
        run(client, ranks, steps)
    busy.cancel()
    assert run(client, ranks[:1], total)[0][0] == 2.0
    assert time.monotonic() - start < 20


def test_a_result_that_is_lost_with_its_worker_is_not_waited_for(client, ranks):
    run = _Run(client, ranks[:1], SECONDS)
    pid = client.run(os.getpid)[ranks[0].address]
    run.tasks = [client.submit(os.getpid, workers=[ranks[0].address], pure=False)]
    wait(run.tasks)
    kill([pid])
    with pytest.raises(RuntimeError, match=f"lost {ranks[0].address}:"):
        run._result(run.tasks[0])
    run.end()


def test_a_busy_worker_is_waited_for_until_the_timeout(client, ranks):
    busy = [
        client.submit(time.sleep, 2.5, key=f"busy-{rank.address}", workers=[rank.address])
        for rank in ranks
    ]
    with pytest.raises(RuntimeError, match="did not begin within 1 seconds"):
        run(client, ranks, total, timeout=1)
    busy[0].cancel()
    check_usable(client, ranks)


def test_a_stopped_worker_is_named_at_the_timeout(client, ranks):
    pid = client.run(os.getpid)[ranks[1].address]
    start = time.monotonic()
    try:
        stopped = pytest.raises(RuntimeError, match=f"lost {ranks[1].address}:")
        with after(0.5, os.kill, pid, signal.SIGSTOP), stopped:
            run(client, ranks, steps, timeout=4)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert 4 < time.monotonic() - start < 15
    check_usable(client, ranks)


def test_the_first_error_ends_all_ranks(client, ranks):
    def fail(chunks, group, should_stop):
        if group.rank() == 1:
            raise KeyError("no such thing")
        return steps(chunks, group, should_stop)

    start = time.monotonic()
    with pytest.raises(KeyError, match="no such thing"):
        run(client, ranks, fail)
    check_usable(client, ranks)
    assert time.monotonic() - start < 5


def test_two_runs_at_once_do_not_mix(client, ranks):
    def count(chunks, group, should_stop, value):
        time.sleep(0.3 * group.rank())
        tensor = torch.tensor([value])
        group.allreduce([tensor]).wait()
        return tensor.item()

    results = {}

    def start(value):
        results[value] = run_in_group(client, ranks, count, value, timeout=SECONDS)

    threads = [threading.Thread(target=start, args=(value,)) for value in (1.0, 10.0, 100.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {value: [2 * value] * 2 for value in (1.0, 10.0, 100.0)}


def test_a_client_that_is_gone_frees_the_workers(client, ranks):
    other = Client(client.scheduler.address, set_as_default=False)

    def start():
        with suppress(Exception):
            run(other, ranks, steps)

    thread = threading.Thread(target=start)
    thread.start()
    time.sleep(1)
    other.close()
    thread.join()
    check_usable(client, ranks)


def test_the_first_ctrl_c_asks_the_ranks_to_end(client, ranks):
    with after(0.5, os.kill, os.getpid(), signal.SIGINT):
        n_steps = run(client, ranks, steps)
    assert n_steps[0] == n_steps[1] > 5


def test_the_second_ctrl_c_raises(client, ranks):
    def slow(chunks, group, should_stop):
        steps(chunks, group, should_stop)
        time.sleep(1.5)

    press = os.kill, os.getpid(), signal.SIGINT
    with after(0.5, *press), after(1.0, *press), pytest.raises(KeyboardInterrupt):
        run(client, ranks, slow)
    check_usable(client, ranks)


def placed(client, X):
    """Return the number of chunks of each rank."""
    return [len(rank.chunks) for rank in ranks_of(client, compute_chunks(client, rows_of(X)))]


def test_a_worker_without_rows_is_no_rank(client):
    assert placed(client, da.zeros((5, 2), chunks=(5, 2))) == [1]


def test_empty_chunks_are_left_out(client):
    X = da.concatenate([da.ones((4, 2)), da.zeros((0, 2)), da.ones((3, 2))])
    assert sum(placed(client, X)) == 2
    with pytest.raises(ValueError, match="X has no rows"):
        placed(client, X[:0])


def test_chunks_get_whole_rows(client):
    X = da.ones((6, 4), chunks=(3, 2))
    chunks = compute_chunks(client, rows_of(X))
    assert [chunk.result().shape for chunk in chunks] == [(3, 4), (3, 4)]


def test_numbers_of_rows_may_be_unknown(client):
    X = da.arange(12, chunks=3).reshape(12, 1)
    assert sum(placed(client, X[X[:, 0] > 5])) == 2


def test_the_error_of_a_chunk_is_raised(client):
    def fail(block):
        raise OSError("the file is gone")

    X = da.ones((4, 2), chunks=(2, 2)).map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(OSError, match="the file is gone"):
        placed(client, X)


@pytest.mark.parametrize(
    ("X", "error"),
    [(np.ones((3, 2)), TypeError), (da.ones(3), ValueError), (da.ones((2, 2, 2)), ValueError)],
)
def test_other_collections_are_refused(X, error):
    with pytest.raises(error, match="X must"):
        rows_of(X)
