"""Load each built page as a first visitor would, and print what it costs: `make measure`.

A page comes from a server on this machine into a browser that has kept nothing. Figures are
interactive figures: expected counts the chapter's calls of `explore`, found those in the page,
answering those of which every choice changes the frame. The times are seconds from the request
until the largest thing in view was painted, and until the first figure could be moved; on a page
without figures, until the page had loaded.
"""

import functools
import http.server
import json
import re
import sys
import threading

from built import BROWSER_FLAGS, BROWSERS, HTML, ROOT, Visit, find_browser, read_toc
from playwright.sync_api import sync_playwright

READY = """() => {
    const choice = document.querySelector('figure.explorer .explorer-choice');
    if (choice ? choice.checkVisibility() : document.readyState === 'complete')
        return performance.now() / 1000;
}"""
LARGEST_PAINT = """() => new Promise(resolve => new PerformanceObserver(list =>
    resolve(list.getEntries().at(-1).startTime / 1000)
).observe({type: 'largest-contentful-paint', buffered: true}))"""
ANSWERS = """figure => [...figure.querySelectorAll('.explorer-choice')].every(choice => {
    const shown = () => [...figure.querySelectorAll('.explorer-frame')]
        .findIndex(frame => frame.checkVisibility({visibilityProperty: true}));
    const before = shown(), input = choice.querySelector('input[type=range], input:not(:checked)');
    if (input.type === 'range') input.value = input.value === input.max ? input.min : input.max;
    else input.checked = true;
    input.dispatchEvent(new Event('input', {bubbles: true}));
    return shown() !== before;
})"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, *arguments):
        """Say nothing."""


def expected_figures(name):
    """How many interactive figures the source of a page asks for."""
    path = (ROOT / name).with_suffix(".ipynb")
    if not path.exists():
        return path.with_suffix(".md").read_text().count("{hearing-figure}")
    cells = json.loads(path.read_text())["cells"]
    code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return len(re.findall(r"(?<!def )\bexplore\(", code))


def measure(browser, address, name):
    """One page's figures, as a row of the table."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    weights = []
    context.on("response", lambda response: weights.append(response.request.sizes()))
    visit = Visit(context, f"{address}/{name}.html")
    page = visit.page
    ready = page.wait_for_function(READY).json_value()
    paint = page.evaluate(LARGEST_PAINT)
    page.wait_for_load_state("networkidle")
    figures = page.locator("figure.explorer").all()
    answering = sum(figure.evaluate(ANSWERS) for figure in figures)
    elsewhere = [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))]
    weight = sum(sizes["responseBodySize"] for sizes in weights)
    context.close()
    return (
        f"{name:42}{weight / 1000:8.0f}{paint:8.2f}{ready:8.2f}{expected_figures(name):10}"
        f"{len(figures):7}{answering:11}{len(elsewhere):11}{len(visit.errors):8}"
    )


def main():
    """Print a row for each page of the table of contents."""
    handler = functools.partial(QuietHandler, directory=HTML)
    server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(
        f"{'page':42}{'kB':>8}{'paint s':>8}{'ready s':>8}{'expected':>10}{'found':>7}"
        f"{'answering':>11}{'elsewhere':>11}{'errors':>8}"
    )
    with sync_playwright() as driver:
        executable = find_browser(driver) or sys.exit(f"Install one of {', '.join(BROWSERS)}.")
        browser = driver.chromium.launch(executable_path=executable, args=BROWSER_FLAGS)
        for name in read_toc():
            print(measure(browser, f"http://localhost:{server.server_port}", name), flush=True)


if __name__ == "__main__":
    main()
