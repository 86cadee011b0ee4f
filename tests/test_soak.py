"""Many fits in one process leave nothing behind: a short form of benchmarks/soak.py."""

import gc
import sys
import weakref
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def soak():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import soak
    finally:
        sys.path.remove(str(BENCHMARKS))
    return soak


def test_fits_leave_no_file_thread_figure_or_model(soak):
    kinds = len(soak.KINDS)
    for number in range(kinds):
        soak.fit_once(number)
    gc.collect()
    before = soak.left_behind()
    remains = []
    for number in range(kinds, 4 * kinds):
        model = soak.fit_once(number)
        remains += [weakref.ref(model), weakref.ref(model._fitted.module)]
        del model
    gc.collect()
    assert soak.left_behind() == before
    assert not [reference for reference in remains if reference() is not None]
