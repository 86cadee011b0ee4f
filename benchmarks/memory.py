"""What `fit` needs beyond the data: peak memory of a process for each kind of data.

    python benchmarks/memory.py

One process a case, one epoch with held-out rows, everything else at its default. The peak is
that of the resident set (`ru_maxrss`), read before and after `fit`. A file's pages count in it
while the system has room for them: what the process itself may allocate is limited there.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from _machine import describe_machine
from _results import Table, add_option, save
from _table import print_header, print_row
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skvae import VAETransformer

WIDTH = 784
COLUMNS = ["X", "shape", "as float32, MB", "fit adds, MB", "copies", "whole peak, MB"]
SPARSE_SHAPE, DENSITY = (100_000, 10_000), 0.001
OWN_MEMORY = 2**30  # bytes that a process may allocate beside the file


def fill(X):
    """Random numbers, in place and by blocks: their making must not be the peak."""
    rng = np.random.default_rng(0)
    for start in range(0, len(X), 4096):
        block = X[start : start + 4096]
        block[:] = rng.random(block.shape, dtype=np.float32)
    return X


def mapped(n_rows):
    with tempfile.NamedTemporaryFile() as file:
        block = fill(np.empty((n_rows // 100, WIDTH), np.float32))
        for _ in range(100):
            block.tofile(file)
        file.flush()
        resource.setrlimit(resource.RLIMIT_DATA, (OWN_MEMORY, OWN_MEMORY))
        return np.memmap(file.name, np.float32, "r", shape=(100 * len(block), WIDTH))


def sparse_rows(n_rows):
    rng = np.random.default_rng(0)
    X = sparse.random_array(
        SPARSE_SHAPE, density=DENSITY, format="csr", dtype=np.float32, rng=rng
    )
    X.data[:] = 1 + rng.poisson(1.0, X.nnz)
    return X


def binary(n_rows):
    X = sparse_rows(n_rows)
    X.data[:] = 1
    return X


CASES = {
    "float64": lambda n: fill(np.empty((n, WIDTH))),
    "float32": lambda n: fill(np.empty((n, WIDTH), np.float32)),
    "float32, a file, 1 GiB of own memory": lambda n: mapped(4 * n),
    "sparse": sparse_rows,
    "sparse, Bernoulli": binary,
    "sparse, Poisson": sparse_rows,
}
LIKELIHOODS = {"sparse, Bernoulli": "bernoulli", "sparse, Poisson": "poisson"}


def peak():
    """Largest resident set so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(case, n_rows):
    """Fit one case and print its figures as JSON."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    likelihood = LIKELIHOODS.get(case, "gaussian")
    model = VAETransformer(
        likelihood=likelihood, max_iter=1, early_stopping=True, random_state=0, device="cpu"
    )
    model.fit(np.eye(50, dtype=np.float32))  # what is loaded at the first use
    X = CASES[case](n_rows)
    before = peak()
    model.fit(X)
    print(json.dumps({"shape": X.shape, "before": before, "after": peak()}))


def run(case, n_rows):
    command = [sys.executable, __file__, "--case", case, "--rows", str(n_rows)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=256_000)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    add_option(parser)
    args = parser.parse_args()
    if args.case is not None:
        measure(args.case, args.rows)
        return
    print(describe_machine())
    print_header(COLUMNS)
    rows = []
    for case in args.only:
        figures = run(case, args.rows)
        size = 4 * np.prod(figures["shape"]) / 1e6
        added = (figures["after"] - figures["before"]) / 1e6
        shape = " x ".join(f"{side:,}" for side in figures["shape"])
        sizes = (f"{size:,.0f}", f"{added:,.0f}", f"{added / size:.2f}")
        rows.append([case, shape, *sizes, f"{figures['after'] / 1e6:,.0f}"])
        print_row(rows[-1])
    save(__file__, [Table("Peak memory of a fit", COLUMNS, rows)], args.save)


if __name__ == "__main__":
    main()
