"""The files that benchmarks write say where their figures come from."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STORED = sorted(BENCHMARKS.glob("results/*.json"))


@pytest.fixture(scope="module")
def results():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _results
    finally:
        sys.path.remove(str(BENCHMARKS))
    return _results


def check(path):
    """Check the file of a script."""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["command"].startswith(f"python benchmarks/{path.stem}.py")
    assert {"Python", "skvae", "torch", "scikit-learn"} <= set(found["versions"])
    assert all(found[key] for key in ("date", "machine", "commit"))
    assert found["tables"]
    for table in found["tables"]:
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_saved_file_has_its_sources(results, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script.py", "--seeds", "2", "--save"])
    table = results.Table("Scores", ["data", "PCA", "VAE"], [["iris", -3.7, [-3.2, -3.4]]])
    path = results.save("script.py", [table], folder=tmp_path)
    check(path)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["command"] == "python benchmarks/script.py --seeds 2"
    assert found["tables"] == [table._asdict()]


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_file_is_of_a_script(path):
    assert (BENCHMARKS / f"{path.stem}.py").exists()
    check(path)
