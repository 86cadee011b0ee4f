"""The Python blocks of README and CONTRIBUTING run, and the files that they name exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")
}
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name, text in TEXTS.items()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
]


def test_there_are_blocks():
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS)
def test_block_runs(block):
    exec(compile(block, "<documentation>", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("name", TEXTS)
def test_named_files_exist(name):
    folders = "docs|tests|benchmarks|examples|skvae"
    files = re.findall(rf"(?<![\w/])(?:{folders})/[\w/]+\.\w+", TEXTS[name])
    assert files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_contributing_names_every_module_once():
    tree = re.search(r"```\nskvae/\n(.*?)```", TEXTS["CONTRIBUTING.md"], re.DOTALL)[1]
    modules = [path for path in (ROOT / "skvae").rglob("*.py") if path.stem != "__init__"]
    shown = [path.name for path in modules if path.parent.name != "display"]
    assert sorted(re.findall(r"\w+\.py", tree)) == sorted(shown)
