"""Estimators of any parameters on rows of any kind: they work, or say what is wrong.

Each case draws an estimator (parameters, now and then a bad one) and rows (values, shape,
container) and calls its methods. Either the outputs are finite, of the right shape and
dtype, or a ValueError or TypeError names the parameter or the column:

    python benchmarks/fuzz.py --cases 10000 --seed 0
    python benchmarks/fuzz.py --seed 0 --only 1234

A case is known by seed and number. The last lines count how the cases ended; the exit
status is 1 if one failed.
"""

import argparse
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from typing import NamedTuple

import numpy as np
from _fuzz_data import draw_rows
from _fuzz_models import ANY, SUITED, draw_estimator
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from skvae import VAETransformer

# Words by which a message names what it is about; the parameters' names come to them.
_WORDS = ("X", "Z", "sizes", r"feature \d+")


class Result(NamedTuple):
    """How a case ended: "works", "refused" or "FAILED", with what to say of it."""

    outcome: str
    what: str


def run_case(seed, number):
    """Run one case.

    Returns
    -------
    description : str
    result : Result
    """
    rng = np.random.default_rng((seed, number))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values, n_features, rows, X = draw_rows(rng)
    estimator, bad = draw_estimator(rng, n_features, SUITED.get(values, ANY))
    description = f"{estimator!r} on {rows}".replace("\n", "")
    streamed = rng.random() < 0.25
    try:
        with warnings.catch_warnings():
            _expect_warnings()
            problem = _use(estimator, X, streamed, rng)
    except (ValueError, TypeError) as error:
        return description, _classify_error(estimator, error, bad)
    except Exception:
        return description, Result("FAILED", traceback.format_exc())
    if bad and not problem:
        problem = f"the bad {bad} was accepted"
    return description, Result("FAILED" if problem else "works", problem)


def _expect_warnings():
    """Ignore warnings that are meant for users; raise all others."""
    warnings.simplefilter("error")
    for category in (ConvergenceWarning, DataConversionWarning, UserWarning):
        warnings.simplefilter("ignore", category)


def _classify_error(estimator, error, bad):
    """Whether the message names a parameter, the bad one if there is one, or a column."""
    message = f"{type(error).__name__}: {error}"
    parameters = {key.rpartition("__")[2] for key in estimator.get_params()}
    names = "|".join([*_WORDS, *parameters])
    if re.search(rf"\b({names})\b", str(error)):
        return Result("refused", re.sub(r"[-\d][\d.e+-]*", "#", message)[:70])
    return Result("FAILED", "the message names nothing: " + message)


def _use(estimator, X, streamed, rng):
    """Fit and ask every method; return what is wrong, or None."""
    fit = estimator.partial_fit if streamed else estimator.fit
    fit(X)
    n, d, k = np.shape(X)[0], estimator.n_features_in_, int(estimator.latent_dim)
    Z = np.asarray(estimator.transform(X))
    expected = {
        "transform": (Z, (n, k)),
        "inverse_transform": (estimator.inverse_transform(Z), (n, d)),
        "score_samples": (estimator.score_samples(X), (n,)),
    }
    if isinstance(estimator, VAETransformer):
        mean, spread = estimator.latent_posterior(X)
        expected |= {
            "elbo": (estimator.elbo(X).value, (n,)),
            "latent mean": (mean, (n, k)),
            "latent spread": (spread, (n, k) if spread.ndim == 2 else (n, k, k)),
        }
        sampled = estimator.sample(3, random_state=int(rng.integers(9)))
        expected["sample"] = (sampled, (3, d))
    single = isinstance(X, np.ndarray) and X.dtype == np.float32
    for name, (table, shape) in expected.items():
        # Rows are a frame if those of the fit were one with other columns than numbers.
        array = table if isinstance(table, np.ndarray) else np.asarray(table, dtype=np.float64)
        dtype = np.float32 if single and name != "sample" else np.float64
        problem = _problem(name, array, shape, dtype)
        if problem:
            return problem
    if not np.isfinite(estimator.score(X)):
        return "score is not finite"
    return None


def _problem(name, array, shape, dtype):
    if array.shape != shape:
        return f"{name} has shape {array.shape}, not {shape}"
    if array.dtype not in (dtype, np.float32 if dtype == np.float64 else dtype):
        return f"{name} has dtype {array.dtype}"
    if not np.isfinite(array).all():
        return f"{name} is not finite: {array[~np.isfinite(array)][0]}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone, and say how it ended")
    args = parser.parse_args()
    numbers = range(args.cases) if args.only is None else [args.only]
    counts, reasons, start = Counter(), Counter(), time.perf_counter()
    for number in numbers:
        description, (outcome, what) = run_case(args.seed, number)
        counts[outcome] += 1
        if outcome == "refused":
            reasons[what] += 1
        if outcome == "FAILED" or args.only is not None:
            print(f"case {number} of seed {args.seed}: {outcome}\n  {description}\n  {what}")
    for what, count in reasons.most_common():
        print(f"{count:6d}  {what}")
    seconds = time.perf_counter() - start
    total = ", ".join(f"{name} {counts[name]}" for name in ("works", "refused", "FAILED"))
    print(f"{sum(counts.values())} cases of seed {args.seed} in {seconds:.0f} s: {total}")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
