"""CITATION.cff has the version of the package."""

import re
from pathlib import Path

import skvae


def test_version_is_that_of_the_package():
    text = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", text, flags=re.MULTILINE) == [skvae.__version__]
