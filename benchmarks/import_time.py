"""How much longer the imports of a program take with skvae than without.

Without it the program imports scikit-learn (``sklearn``, ``sklearn.base`` and
``sklearn.utils``: what any user of an estimator has) and torch. Prints the medians of
several processes, in turn with and without, and the modules that take longest.

    python benchmarks/import_time.py [--runs 15]
"""

import argparse
import os
import statistics
import subprocess
import sys

from _machine import describe_machine
from _results import Table, add_option, save

_WITHOUT = "import sklearn, sklearn.base, sklearn.utils, torch"
_WITH = f"{_WITHOUT}, skvae"
_TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
_N_MODULES = 12
# An installed package has been compiled: the first run does so.
_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def seconds(imports):
    """Return how long a fresh process takes for its imports."""
    command = [sys.executable, "-c", _TIMED.format(imports)]
    return float(_run(command).stdout)


def modules():
    """Return milliseconds and name of each module that skvae adds, with what it imports."""
    command = [sys.executable, "-X", "importtime", "-c", f"{_WITHOUT}\nimport skvae"]
    rows = [
        line.split("|") for line in _run(command).stderr.splitlines() if line.count("|") == 2
    ][1:]
    names = [name.strip() for _, _, name in rows]
    added = rows[names.index("torch") + 1 :]
    return sorted(((int(time) / 1000, name.strip()) for _, time, name in added), reverse=True)


def _run(command):
    return subprocess.run(command, capture_output=True, check=True, text=True, env=_ENVIRONMENT)


def main():
    """Print the two medians, their difference, and what it consists of."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    add_option(parser)
    args = parser.parse_args()
    runs = args.runs
    print(describe_machine())
    # In turn, so that what else the machine does weighs on both.
    pairs = [(seconds(_WITHOUT), seconds(_WITH)) for _ in range(runs + 1)][1:]
    without, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
    added = statistics.median(b - a for a, b in pairs)
    print(f"scikit-learn and torch: {without:.3f} s; with skvae: {whole:.3f} s")
    print(f"skvae adds {added:.3f} s (medians of {runs} processes)")
    print("\nms     module, with what it is first to import (-X importtime adds to them)")
    slowest = [[f"{ms:.1f}", name] for ms, name in modules()[:_N_MODULES]]
    for row in slowest:
        print("{:>6s} {}".format(*row))
    columns = ["scikit-learn and torch", "with skvae", "skvae adds"]
    row = [f"{seconds:.3f}" for seconds in (without, whole, added)]
    tables = [
        Table(f"Seconds of the imports, medians of {runs} processes", columns, [row]),
        Table("Modules that take longest", ["ms", "module"], slowest),
    ]
    save(__file__, tables, args.save)


if __name__ == "__main__":
    main()
