"""Some of the cases of benchmarks/fuzz.py: they work, or an error names what is wrong."""

import sys
from collections import Counter
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def run_case():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from fuzz import run_case
    finally:
        sys.path.remove(str(BENCHMARKS))
    return run_case


@pytest.mark.parametrize("part", range(6))
def test_fuzz(part, run_case):
    counts = Counter()
    for number in range(50 * part, 50 * part + 50):
        description, (outcome, what) = run_case(0, number)
        assert outcome != "FAILED", f"case {number} of seed 0: {description}\n{what}"
        counts[outcome] += 1
    # Neither half of the claim is empty.
    assert counts["works"] > 10
    assert counts["refused"] > 10
