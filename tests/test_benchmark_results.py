"""The files that benchmarks write say where their figures come from."""

import argparse
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STORED = sorted(BENCHMARKS.glob("results/*.json"))


EXTENSIONS = BENCHMARKS.parent / "docs" / "_ext"


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("_results")


@pytest.fixture
def directive(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    return importlib.import_module("benchmark_tables")


def save(results, folder, monkeypatch, *arguments):
    """Return the file that a script writes when it is given these arguments."""
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--data")
    results.add_option(parser)
    table = results.Table("Scores", ["data", "PCA", "VAE"], [["iris", -3.7, [-3.2, -3.4]]])
    return results.save("script.py", [table], parser.parse_args().save, folder=folder)


def script_of(path):
    """Return the name of the script that wrote a file."""
    return path.stem.partition("-")[0]


def check(path):
    """Check the file of a script."""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["command"].startswith(f"python benchmarks/{script_of(path)}.py")
    assert {"Python", "skvae", "torch", "scikit-learn"} <= set(found["versions"])
    assert all(found[key] for key in ("date", "machine", "commit"))
    assert found["tables"]
    for table in found["tables"]:
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_saved_file_has_its_sources(results, tmp_path, monkeypatch):
    path = save(results, tmp_path, monkeypatch, "--data", "wine, red", "--save")
    check(path)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == "script.json"
    assert found["command"] == "python benchmarks/script.py --data 'wine, red'"
    (table,) = found["tables"]
    assert table["title"] == "Scores"
    assert table["rows"] == [["iris", -3.7, [-3.2, -3.4]]]


@pytest.mark.parametrize("arguments", [["--save", "two"], ["--save=two"]])
def test_name_gives_a_file_of_its_own(results, tmp_path, monkeypatch, arguments):
    path = save(results, tmp_path, monkeypatch, *arguments, "--seeds", "2")
    check(path)
    assert path.name == "script-two.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["command"] == "python benchmarks/script.py --seeds 2"


def test_nothing_is_written_that_was_not_asked_for(results, tmp_path, monkeypatch):
    assert save(results, tmp_path, monkeypatch) is None
    assert not list(tmp_path.iterdir())


def test_name_that_is_a_path_is_refused_at_once(results, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        save(results, tmp_path, monkeypatch, "--save", "../elsewhere")
    assert "letters, digits" in capsys.readouterr().err


def test_numbers_of_numpy_are_written_as_numbers(results, tmp_path):
    row = [np.int64(3), np.float32(0.5), np.array([1.5, 2.5])]
    path = results.save("script.py", [("Scores", ["a", "b", "c"], [row])], "", folder=tmp_path)
    (table,) = json.loads(path.read_text(encoding="utf-8"))["tables"]
    assert table["rows"] == [[3, 0.5, [1.5, 2.5]]]


def test_section_shows_all_files_of_its_script(results, directive, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text('"""What it measures."""', encoding="utf-8")
    # Neither the file of a script whose name begins like this one's.
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "script_images.json").write_text("{}", encoding="utf-8")
    assert "*No results are stored yet.*" in directive.section_lines(script)
    for seeds, arguments in (("2", []), ("9", ["nine"])):
        save(
            results,
            tmp_path / "results",
            monkeypatch,
            *("--seeds", seeds, "--save", *arguments),
        )
    text = "\n".join(directive.section_lines(script))
    plain, named = (f"``python benchmarks/script.py --seeds {seeds}``" for seeds in "29")
    assert text.count(".. list-table:: Scores") == 2
    assert 0 < text.index(plain) < text.index(named)


def test_tables_of_one_file_are_shown_elsewhere(results, directive, tmp_path, monkeypatch):
    save(results, tmp_path / "results", monkeypatch, "--save", "one")
    text = "\n".join(directive.named_lines(tmp_path, ["script-one"]))
    assert text.startswith(".. list-table:: Scores")
    assert "``benchmarks/script.py two``" in directive.named_lines(tmp_path, ["script-two"])[0]


def test_tables_of_one_title_are_shown_as_one(results, directive, tmp_path, monkeypatch):
    for name in ("one", "two"):
        save(results, tmp_path / "results", monkeypatch, "--save", name)
    names = ["script-one", "script-two"]
    text = "\n".join(directive.named_lines(tmp_path, names, ["data", "VAE"]))
    assert text.count(".. list-table:: Scores") == text.count("iris") == 1
    assert "VAE" in text
    assert "PCA" not in text
    assert text.count("``python benchmarks/script.py``") == 2
    with pytest.raises(ValueError, match="no table has the columns"):
        directive.named_lines(tmp_path, names, ["dta"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345.6, "12346"),
        (-0.123456, "-0.1235"),
        ([2.0], "2"),
        ([7, 7], "7 (0)"),
        ([1.0, 3.0], "2.0 (1.4)"),
        ([0.87892, 0.87901, 0.87897], "0.87897 (0.00005)"),
        ([0.8781, 0.8801, 0.8797], "0.8793 (0.0011)"),
        ([0.8700, 0.8801, 0.8797], "0.8766 (0.0057)"),
        ([0.01700, 0.01704], "0.01702 (0.00003)"),
        ([5e-6, 6e-6], "5.5e-06 (7.1e-07)"),
        ([-1e9, -2e9], "-1.5e+09 (7.1e+08)"),
        ([-30.123, -30.456], "-30.29 (0.24)"),
    ],
)
def test_cell_shows_few_digits_and_no_exponent(directive, value, text):
    assert directive.cell(value) == text


def test_figures_in_readme_are_those_of_the_file():
    stored = (BENCHMARKS / "results" / "tabular.json").read_text(encoding="utf-8")
    (table,) = json.loads(stored)["tables"]
    of_two_codes = {row[0]: row[2:5] for row in table["rows"] if row[1] == 2}
    text = (BENCHMARKS.parent / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (\w+)[^|]*\| (\S+) \| (\S+) \| (\S+) \|$", text, re.MULTILINE)
    assert len(shown) >= 5
    for name, *figures in shown:
        means = np.mean(of_two_codes[name], axis=1)
        np.testing.assert_allclose(np.array(figures, float), means, rtol=2e-3)
    pca, analysis, vae = (np.mean([row[i] for row in table["rows"]], 1) for i in (2, 3, 4))
    above = np.sum(vae > np.maximum(pca, analysis))
    assert f"above both others in {above} of {len(vae)} cases" in text


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_file_is_of_a_script(path):
    assert (BENCHMARKS / f"{script_of(path)}.py").exists()
    check(path)
