"""Draw README's picture, two frames of the landing page's figure: `python tools/draw_readme.py`."""

import re
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "book" / "_ext"))

from page_parts import draw_hearing, tell_hearing  # noqa: E402

PICTURE = ROOT / "book" / "_static" / "readme.svg"
SIDE, GAP, CAPTION = 316, 44, 64  # of a frame, between frames, and below them, in pixels
FRAMES = [{"blocks": 2, "shifted": "no"}, {"blocks": 2, "shifted": "yes"}]


def draw():
    """Return the picture as SVG: on a ground of its own, legible on light and on dark pages."""
    width, height = len(FRAMES) * (SIDE + GAP) + GAP, SIDE + GAP + CAPTION
    parts = [f'<rect width="{width}" height="{height}" rx="12" fill="#f6f8fa"/>']
    for number, choices in enumerate(FRAMES):
        frame = re.sub(r"^<svg[^>]*>|</svg>$", "", draw_hearing(**choices))
        first, second = re.fullmatch(r"(.*), (the outlined .*)", tell_hearing(**choices)).groups()
        parts.append(
            f'<g transform="translate({GAP + number * (SIDE + GAP)} {GAP})">{frame}'
            f'<text x="{SIDE / 2:g}" y="{SIDE + 22}">{escape(first)},</text>'
            f'<text x="{SIDE / 2:g}" y="{SIDE + 40}">{escape(second)}</text></g>'
        )
    style = 'font-family="sans-serif" font-size="13" text-anchor="middle"'
    colour = 'fill="#1a2430" color="#1a2430"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" {style} {colour}>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
