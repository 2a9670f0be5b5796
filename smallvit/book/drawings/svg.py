"""The common ground of all drawings: colours, a document, a picture that shows itself."""

from html import escape

PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#9467bd")
"""Seven hues that colour-blind readers can tell apart (six of them Okabe and Ito's)."""

INK = "currentColor"
"""Lines and letters take the colour of the text around the picture."""

Box = tuple[int, int, int, int]
"""Top, left, height and width of a rectangle."""

LETTERS = f'font-family="sans-serif" font-size="13" text-anchor="middle" fill="{INK}"'


class Picture:
    """A drawing that a notebook shows, with a text alternative for screen readers.

    Args:
        svg: the markup.
        alt: what a reader who cannot see it should know.
    """

    def __init__(self, svg: str, alt: str):
        self.svg = svg
        self.alt = alt

    def _repr_html_(self) -> str:
        return with_alt(self.svg, self.alt)

    def __repr__(self) -> str:
        return f"<Picture: {self.alt}>"


def with_alt(markup: str, alt: str) -> str:
    """Markup that screen readers present as one image with this text."""
    return markup.replace(" ", f' role="img" aria-label="{escape(alt)}" ', 1)


def svg_document(content: str, width: float, height: float, attributes: str = LETTERS) -> str:
    """Wrap markup in an SVG of this size in pixels, or smaller if there is less room."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {width + 4:g} {height + 4:g}" '
        f'width="{width + 4:g}" style="max-width: 100%; height: auto" {attributes}>{content}</svg>'
    )


def panels(*drawings: str) -> str:
    """Drawings side by side, or one below another if there is less room, as one picture."""
    style = "display: flex; flex-wrap: wrap; gap: 1rem; justify-content: center; align-items: start"
    return f'<div class="panels" style="{style}">{"".join(drawings)}</div>'


def once(content: str, attributes: str = "") -> str:
    """A part, itself without groups, that frames of a figure may share: stored once."""
    return f'<g class="once" {attributes}>{content}</g>'


def stroke(path: str, colour: str, width: float, attributes: str = "") -> str:
    """Lines along a path."""
    return (
        f'<path fill="none" stroke="{colour}" stroke-width="{width:.3g}" d="{path}"{attributes}/>'
    )


def outline(x: float, y: float, width: float, height: float, pixel: float) -> str:
    """A box in black and white, which shows on every colour; `pixel` is the size of one."""
    box = f"M{x:.4g} {y:.4g}h{width:.4g}v{height:.4g}h-{width:.4g}z"
    return stroke(box, "#000", 5 * pixel) + stroke(box, "#fff", 2 * pixel)


def text(x: float, y: float, content: object, fill: str = INK, anchor: str = "middle") -> str:
    """A line of text, centred vertically on `y`."""
    more = "" if fill == INK else f' fill="{fill}"'
    more += "" if anchor == "middle" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.4g}" y="{y:.4g}" dy=".35em"{more}>{escape(str(content))}</text>'
