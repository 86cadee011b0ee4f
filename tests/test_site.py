"""The built site in a browser: nothing fails, nothing is fetched, nothing scrolls sideways.

Needs playwright (``pip install playwright``), Chromium and ``make -C docs html``.
"""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = (
    "index.html",
    "guide/likelihoods.html",
    "gallery/index.html",
    "gallery/plot_latent_space.html",
    "api/generated/skvae.VAETransformer.html",
    "benchmarks/index.html",
    "coming_from/keras.html",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.skipif(not (SITE / "index.html").exists(), reason="needs the built site"),
]


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address():
    """Serve the site; yield its address. Pages from files may not fetch each other."""
    handler = partial(QuietHandler, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    """Return a function that opens a page, and returns it and what went wrong with it."""
    contexts = []

    def open_in(name, width=1280, scheme="light"):
        viewport = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme))
        page, problems = contexts[-1].new_page(), []
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        page.on("request", lambda request: problems.extend(remote(request.url)))
        page.goto(f"{address}/{name}")
        page.wait_for_load_state("load")
        return page, problems

    def remote(url):
        return [] if url.startswith((address, "data:")) else [f"remote: {url}"]

    yield open_in
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_sound(open_page, name, width):
    page, problems = open_page(name, width)
    assert problems == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Empty texts are those of pictures beside their title.
    assert page.locator("article img:not([alt])").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible(open_page, scheme):
    page, _ = open_page("index.html", scheme=scheme)
    luminances = page.evaluate(
        """() => [getComputedStyle(document.querySelector('article p')).color,
                  getComputedStyle(document.body).backgroundColor]
             .map(c => c.match(/[\\d.]+/g).slice(0, 3).map(Number)
                        .map(v => v / 255)
                        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
             .map(([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b)"""
    )
    low, high = sorted(luminances)
    # The contrast that WCAG asks for at its highest level.
    assert (high + 0.05) / (low + 0.05) >= 7


def test_search_finds_the_guide(open_page):
    page, problems = open_page("search.html?q=latent")
    page.wait_for_selector("#search-results li")
    links = page.locator("#search-results li a").evaluate_all("a => a.map(x => x.href)")
    assert any("/guide/" in link for link in links)
    assert problems == []
