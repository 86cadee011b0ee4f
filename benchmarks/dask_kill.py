"""Kill workers of a Dask cluster at random moments of a fit: it must end, and fit again.

Each trial starts a fit on two workers and kills one or both (SIGKILL) at a random moment of
the time that such a fit takes: while chunks are placed, the group forms or the training runs.
The fit must raise an error that names a killed worker, or finish if the kill came too late or
so early that Dask computed the lost chunks again. Then a short fit must work.
"""

import argparse
import os
import random
import signal
import statistics
import threading
import time
import warnings

from distributed import Client, LocalCluster

_EPOCHS = 100


class Killer(threading.Thread):
    """Kills workers after a while.

    Attributes
    ----------
    when : float or None
        The time of the kill.
    """

    def __init__(self, seconds, pids):
        super().__init__()
        self.seconds, self.pids, self.when = seconds, pids, None

    def run(self):
        time.sleep(self.seconds)
        self.when = time.monotonic()
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)


def processes(client):
    """Return the process of each of two workers, once both are there and ready."""
    pids = {}
    while len(pids) < 2:
        # A worker that was killed is on the list for a moment.
        pids = client.run(_ready, on_error="ignore")
        time.sleep(0.1)
    return pids


def _ready():
    import skvae.dask.workers  # noqa: F401

    return os.getpid()


def trial(client, fit, rng, longest):
    """Return what came of one kill, and the seconds from it to the end of the fit."""
    pids = processes(client)
    victims = rng.sample(sorted(pids), rng.choice([1, 1, 2]))
    killer = Killer(rng.uniform(0, longest), [pids[address] for address in victims])
    killer.start()
    try:
        fit(_EPOCHS)
        outcome = "finished"
    except RuntimeError as error:
        if not any(address in str(error) for address in victims):
            raise
        outcome = "named"
    end = time.monotonic()
    killer.join()
    return outcome, len(victims), killer.seconds, max(0.0, end - killer.when)


def main():
    """Run the trials and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # Not above: a worker imports this file when it starts, and must not take long.
    import dask.array as da
    from _machine import describe_machine

    import skvae.dask
    from skvae import VAETransformer

    print(describe_machine())
    rng = random.Random(options.seed)
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    )
    warnings.simplefilter("ignore")
    delays = []
    with cluster, Client(cluster) as client:

        def fit(epochs):
            # New rows, else those that were lost would all be on the worker that is left.
            X = da.random.normal(size=(2000, 20), chunks=(250, 20))
            estimator = VAETransformer(max_iter=epochs, early_stopping=False)
            return skvae.dask.fit(estimator, X)

        processes(client)
        fit(2)
        start = time.monotonic()
        fit(_EPOCHS)
        whole = time.monotonic() - start
        print(f"a fit takes {whole:.1f} s")
        print("trial  killed  after  outcome   seconds to the end  next fit")
        for number in range(1, options.trials + 1):
            outcome, n_killed, moment, seconds = trial(client, fit, rng, whole)
            start = time.monotonic()
            assert fit(2).n_iter_ == 2
            again = time.monotonic() - start
            delays += [seconds] if outcome == "named" else []
            print(
                f"{number:5d}  {n_killed:6d}  {moment:4.1f}s  {outcome:8}  {seconds:17.1f}s  "
                f"{again:7.1f}s",
                flush=True,
            )
    print(
        f"{len(delays)} of {options.trials} fits named the worker, in "
        f"{statistics.median(delays):.1f} s (median), at most {max(delays):.1f} s"
    )


if __name__ == "__main__":
    main()
