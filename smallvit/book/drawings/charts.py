"""Matplotlib figures in the book's colours."""

import io
from typing import Any
from xml.etree import ElementTree

from smallvit.book.drawings.svg import INK, PALETTE


def subplots(width: float = 6, height: float = 3.4) -> tuple[Any, Any]:
    """A Matplotlib figure and its axes, in this book's colours; sizes in inches."""
    from matplotlib import cycler, pyplot

    with pyplot.rc_context({"axes.prop_cycle": cycler(color=PALETTE)}):
        return pyplot.subplots(figsize=(width, height), layout="constrained")


def figure_to_svg(figure: Any) -> str:
    """Turn a Matplotlib figure into SVG whose black lines and letters take the text's colour."""
    import matplotlib
    from matplotlib import pyplot

    settings = {"svg.fonttype": "none", "svg.hashsalt": "smallvit"}
    buffer = io.StringIO()
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(buffer.getvalue())
    for metadata in root.findall("{http://www.w3.org/2000/svg}metadata"):
        root.remove(metadata)
    root.set("style", f"fill: {INK}; max-width: 100%; height: auto")
    # Charts of one size share the name of a clip path; in a hidden frame it would clip all away.
    for clip in root.iter("{http://www.w3.org/2000/svg}clipPath"):
        clip.set("visibility", "visible")
    return ElementTree.tostring(root, encoding="unicode").replace("#000000", INK)
