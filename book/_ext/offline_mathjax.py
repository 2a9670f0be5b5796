"""Typeset formulas with a MathJax that lies in the built book.

The files come from the ``sphinx-mathjax-offline`` distribution. Of its 24 MB
only the combined script and the fonts are copied. Its own Sphinx extension
copies everything, and is not used.
"""

import importlib.metadata
from pathlib import Path

from sphinx.util.fileutil import copy_asset

DISTRIBUTION = "sphinx-mathjax-offline"
SCRIPT = "tex-chtml-full.js"
FONTS = "output/chtml/fonts/woff-v2"


def find_mathjax():
    """Return the folder in which the distribution installed MathJax."""
    files = importlib.metadata.files(DISTRIBUTION) or []
    script = next(file for file in files if file.name == SCRIPT)
    return Path(script.locate()).parent


def copy_mathjax(app, exception):
    """Copy script and fonts beside the other static files of an HTML build."""
    if exception is None and app.builder.format == "html":
        target = Path(app.outdir, "_static", "mathjax")
        source = find_mathjax()
        copy_asset(source / SCRIPT, target)
        copy_asset(source / FONTS, target / FONTS)


def setup(app):
    """Register the extension with Sphinx."""
    app.setup_extension("sphinx.ext.mathjax")
    app.config.mathjax_path = f"mathjax/{SCRIPT}"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
