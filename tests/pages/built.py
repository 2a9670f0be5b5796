"""The chapters, the pages built from them, and what it takes to open one in a browser."""

import shutil
from pathlib import Path

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


def find_browser(driver):
    """Where a browser is: one of this machine, or that of `playwright install`; else `None`."""
    fetched = driver.chromium.executable_path
    found = [*map(shutil.which, BROWSERS), fetched if Path(fetched).exists() else None]
    return next(filter(None, found), None)


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
