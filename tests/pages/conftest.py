import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
BUILT = sorted(
    path.relative_to(HTML).with_suffix("").as_posix()
    for path in HTML.rglob("*.html")
    if "_static" not in path.parts and path != HTML / "index.html"
)
OPEN_DETAILS = "document.querySelectorAll('details').forEach(node => { node.open = true })"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]


def read_toc():
    """The documents named in the table of contents, root first, without suffix."""

    def walk(node):
        for key, value in node.items():
            if key in ("root", "file"):
                yield value
            elif isinstance(value, list):
                for child in value:
                    yield from walk(child)

    return list(walk(yaml.safe_load((ROOT / "_toc.yml").read_text())))


def notebooks():
    return [name for name in read_toc() if (ROOT / name).with_suffix(".ipynb").exists()]


def skip_or_fail(reason):
    """Skip, except in continuous integration, where nothing may be left out unseen."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def html():
    """The folder of the built pages."""
    folder = ROOT / "_build" / "html"
    if not (folder / "index.html").exists():
        skip_or_fail("there is no built book: run `make book` first")
    return folder


@pytest.fixture(scope="session")
def browser():
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        skip_or_fail(f"no browser is installed (looked for {', '.join(BROWSERS)})")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page in the browser, with what it complained about and asked for while it loaded."""

    def __init__(self, context, address):
        self.errors, self.requests = [], []
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda message: message.type == "error" and self.errors.append(message.text),
        )
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", lambda request: self.errors.append(f"failed: {request.url}"))
        self.page.goto(address)


@pytest.fixture(scope="module")
def open_page(html, browser):
    contexts = []

    def visit(name, query="", **options):
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}} | options)
        context.route(re.compile(r"^https?:"), lambda route: route.abort())
        contexts.append(context)
        return Visit(context, (HTML / name).with_suffix(".html").as_uri() + query)

    yield visit
    for context in contexts:
        context.close()
