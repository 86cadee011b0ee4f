"""The code of the site's pages runs, and its API page has every public name."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILT = ("gallery", "generated", "_build", "_templates")
PAGES = [
    path
    for path in sorted(DOCS.rglob("*.rst"))
    if not set(BUILT) & set(path.relative_to(DOCS).parts)
]
WITH_CODE = [path for path in PAGES if ">>> " in path.read_text(encoding="utf-8")]
MODULES = (
    "skvae",
    "skvae.callbacks",
    "skvae.display",
    "skvae.likelihoods",
    "skvae.metrics",
    "skvae.networks",
    "skvae.posteriors",
)
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def name_of(page):
    return page.relative_to(DOCS).as_posix()


def test_there_are_pages_with_code():
    assert len(WITH_CODE) >= 20


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
# Whether a short training has settled may differ between processors.
@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_code_of_page_runs(page):
    results = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_files_exist(page):
    text = page.read_text(encoding="utf-8")
    files = re.findall(r"\b(?:tests|benchmarks|examples|skvae|docs)/[\w/]+\.[a-z]+\b", text)
    built = ("docs/_build", "benchmarks/results")
    assert [f for f in files if not f.startswith(built) and not (ROOT / f).exists()] == []


@pytest.mark.parametrize("module", MODULES)
def test_api_page_has_every_public_name(module):
    page = (DOCS / "api" / "index.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"^(?:   |\.\. py:data:: )(\w+)$", page, flags=re.MULTILINE))
    public = set(import_module(module).__all__) - {"__version__"}
    assert sorted(public - listed) == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_have_alternative_texts(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    pictures = [i for i, line in enumerate(lines) if re.match(r"\.\. (figure|image)::", line)]
    for i in pictures:
        options = "\n".join(lines[i + 1 : i + 4])
        assert ":alt: " in options, f"{lines[i]} has no alternative text"
