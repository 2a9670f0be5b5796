"""Pictures of small images, enlarged so that each of their pixels is a square."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image

from smallvit.book.drawings import INK, PALETTE, svg_document

Box = tuple[int, int, int, int]

_GAP = 14
_LINE = 30  # Room for a label, in pixels.
_LETTERS = f'font-size="17" font-family="sans-serif" fill="{INK}"'


def draw_images(
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    columns: int | None = None,
    scale: float = 4,
    boxes: Sequence[Box | None] | None = None,
) -> str:
    """Draw small images in rows, each standing on its label.

    Args:
        images: uint8 arrays `(height, width, 3)`; one may be larger than another.
        labels: what is written under each.
        columns: images in a row; by default all of them.
        scale: side of a pixel in the drawing.
        boxes: `(top, left, height, width)` of a rectangle to outline in each image, in its pixels,
            or `None` for none.

    Returns:
        SVG markup with the pixels inside.
    """
    columns = columns or len(images)
    rows = -(-len(images) // columns)
    wide = scale * max(image.shape[1] for image in images)
    tall = scale * max(image.shape[0] for image in images)
    parts = []
    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        x, y = n % columns * (wide + _GAP), n // columns * (tall + _LINE)
        left = x + (wide - scale * image.shape[1]) / 2
        top = y + tall - scale * image.shape[0]
        box = boxes[n] if boxes else None
        parts.append(f'<g transform="translate({left:g} {top:g}) scale({scale:g})">')
        parts.append(_pixels(image) + (_outline(box, scale) if box else "") + "</g>")
        parts.append(_label(x + wide / 2, y + tall + _LINE / 2, label))
    width, height = columns * (wide + _GAP) - _GAP, rows * (tall + _LINE)
    return svg_document("".join(parts), width, height, _LETTERS)


def draw_mixture(
    images: Sequence[np.ndarray], names: Sequence[str], share: float, scale: float = 4
) -> str:
    """Draw two images, what was mixed from them, and the weight that each has in the label.

    Args:
        images: three uint8 arrays `(height, width, 3)`: the first, the second, the mixture.
        names: the classes of the first and of the second.
        share: weight of the first class in the label, 0 to 1; the second has the rest.
        scale: side of a pixel in the drawing.

    Returns:
        SVG markup with the pixels inside.
    """
    height, width, _ = images[0].shape
    across, down, bar = scale * width, scale * height, 18
    parts = []
    for n, image in enumerate(images):
        parts.append(f'<g transform="translate({n * (across + _GAP):g} 0) scale({scale:g})">')
        parts.append(_pixels(image) + "</g>")
    right = 3 * across + 2 * _GAP
    top = down + _GAP
    for x, length, colour in ((0, share, PALETTE[0]), (share, 1 - share, PALETTE[4])):
        size = f'width="{length * right:g}" height="{bar}"'
        parts.append(f'<rect x="{x * right:g}" y="{top:g}" {size} fill="{colour}"/>')
    below = top + bar + _LINE / 2
    parts.append(_label(0, below, f"{names[0]} {share:.3f}", "start"))
    parts.append(_label(right, below, f"{names[1]} {1 - share:.3f}", "end"))
    return svg_document("".join(parts), right, top + bar + _LINE, _LETTERS)


def _pixels(image: np.ndarray) -> str:
    """A uint8 array `(height, width, 3)` as an SVG image that stays sharp when it is enlarged."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=90)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width, _ = image.shape
    return (
        f'<image width="{width}" height="{height}" style="image-rendering: pixelated" '
        f'href="data:image/webp;base64,{data}"/>'
    )


def _outline(box: Box, scale: float) -> str:
    top, left, height, width = box
    return (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="none" '
        f'stroke="{PALETTE[0]}" stroke-width="{3 / scale:g}"/>'
    )


def _label(x: float, y: float, content: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" dy=".35em" text-anchor="{anchor}">{escape(content)}</text>'
