import os
import re

import pytest
from built import BROWSER_FLAGS, BROWSERS, HTML, Visit, find_browser


def skip_or_fail(reason):
    """Skip, except in continuous integration, where nothing may be left out unseen."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def html():
    """The folder of the built pages."""
    if not (HTML / "index.html").exists():
        skip_or_fail("there is no built book: run `make book` first")
    return HTML


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        executable = find_browser(driver)
        if executable is None:
            skip_or_fail(f"no browser is installed (looked for {', '.join(BROWSERS)})")
        browser = driver.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        yield browser
        browser.close()


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
