"""Drawings of photographs and of small images, enlarged so that each pixel is a square."""

import base64
import io
from collections.abc import Sequence
from numbers import Integral

import numpy as np
from PIL import Image

from smallvit.book.drawings.svg import INK, PALETTE, Box, once, outline, stroke, svg_document, text
from smallvit.layers.sizes import Size, to_pair

_GAP = 14
_LINE = 30  # Room for a label, in pixels.
_LETTERS = f'font-size="17" font-family="sans-serif" text-anchor="middle" fill="{INK}"'


def draw_photo(photo: np.ndarray, window_size: int, gap: int) -> str:
    """Draw a photograph cut into windows that stand a little apart.

    Args:
        photo: uint8 array `(height, width, 3)`; the window divides it.
        window_size: side of a window, in pixels.
        gap: space between windows, in pixels.
    """
    height, width, _ = photo.shape
    rows, columns, step = height // window_size, width // window_size, window_size + gap
    opaque = np.dstack([photo, np.full((height, width), 255, "uint8")])
    windows = opaque.reshape(rows, window_size, columns, window_size, 4)
    canvas = np.pad(windows, ((0, 0), (0, gap), (0, 0), (0, gap), (0, 0)))
    down, right = rows * step - gap, columns * step - gap
    canvas = canvas.reshape(rows * step, columns * step, 4)[:down, :right]
    return svg_document(image(canvas), right, down, "")


def draw_quincunx(photos: np.ndarray, labels: Sequence[str], box: tuple[int, int, int]) -> str:
    """Draw a photograph and four others around it, with the same square outlined in all.

    Args:
        photos: uint8 array `(5, height, width, 3)`: the middle, then the corners in reading order.
        labels: what is written under each.
        box: top, left and side of the square, in pixels.
    """
    order, (top, left, side) = [1, 2, 0, 3, 4], box
    photos, labels = [photos[n] for n in order], [labels[n] for n in order]
    return draw_images(photos, labels, (2, 1, 2), scale=1, boxes=[(top, left, side, side)] * 5)


def draw_images(
    images: Sequence[np.ndarray],
    labels: Sequence[str],
    columns: int | Sequence[int] | None = None,
    scale: float = 4,
    boxes: Sequence[Box | None] | None = None,
) -> str:
    """Draw small images in rows, each above its label.

    Args:
        images: uint8 arrays `(height, width, 3)`; one may be larger than another.
        labels: what is written under each.
        columns: images per row, or a number for each row; by default all in one. Shorter rows of
            a sequence are centred.
        scale: side of a pixel in the drawing.
        boxes: `(top, left, height, width)` of a rectangle to outline in each image, in its pixels,
            or `None` for none.
    """
    columns = columns or len(images)
    if isinstance(columns, Integral):
        columns = [columns] * -(-len(images) // columns)
    wide = scale * max(image.shape[1] for image in images)
    tall = scale * max(image.shape[0] for image in images)
    places = [
        ((n + (max(columns) - count) / 2) * (wide + _GAP), row * (tall + _LINE))
        for row, count in enumerate(columns)
        for n in range(count)
    ]
    parts = []
    for n, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        x, y = places[n]
        left = x + (wide - scale * pixels.shape[1]) / 2
        top = y + tall - scale * pixels.shape[0]
        parts.append(f'<g transform="translate({left:g} {top:g}) scale({scale:g})">')
        parts.append(image(pixels, sharp=scale > 1))
        if boxes and boxes[n]:
            y0, x0, high, across = boxes[n]
            parts.append(outline(x0, y0, across, high, 1 / scale))
        parts.append("</g>" + text(x + wide / 2, y + tall + _LINE / 2, label))
    width, height = max(columns) * (wide + _GAP) - _GAP, len(columns) * (tall + _LINE)
    return svg_document("".join(parts), width, height, _LETTERS)


def draw_patches(
    pixels: np.ndarray,
    patch_size: Size,
    *,
    query: tuple[int, int] | None = None,
    numbered: bool = False,
    pick: str | None = None,
    width: float = 320,
) -> str:
    """Draw a small image with lines between its patches.

    Args:
        pixels: uint8 array `(height, width, 3)`; the patch divides it.
        patch_size: height and width of a patch, in pixels.
        query: `(row, column)` of the patch to outline.
        numbered: whether each patch carries its number in reading order.
        pick: name of the `grid` choice of `explore` that a click on a patch sets.
        width: of the drawing, in pixels.
    """
    (tall, wide), (down, right, _) = to_pair(patch_size, "patch_size"), pixels.shape
    rows, columns, unit = down // tall, right // wide, right / width
    lines = [f"M0 {i}h{right}" for i in range(0, down + 1, tall)]
    lines = "".join(lines + [f"M{j} 0v{down}" for j in range(0, right + 1, wide)])
    parts = [image(pixels, sharp=True)]
    parts.append(once(stroke(lines, "#000", 1.5 * unit) + stroke(lines, "#fff", 0.5 * unit)))
    if numbered:
        numbers = [
            text((j + 0.5) * wide, (i + 0.5) * tall, i * columns + j)
            for i, j in np.ndindex(rows, columns)
        ]
        letters = f'font-size="{14 * unit:g}" stroke-width="{3 * unit:g}"'
        halo = 'fill="#fff" stroke="#000" paint-order="stroke"'
        parts.append(once("".join(numbers), f"{letters} {halo}"))
    if query is not None:
        parts.append(outline(query[1] * wide, query[0] * tall, wide, tall, unit))
    if pick:
        area = f'data-pick="{pick} {rows} {columns}" style="cursor: pointer"'
        parts.append(f'<rect width="{right}" height="{down}" fill="transparent" {area}/>')
    content = f'<g transform="scale({1 / unit:g})">{"".join(parts)}</g>'
    return svg_document(content, width, down / unit, _LETTERS)


def draw_mixture(
    images: Sequence[np.ndarray], names: Sequence[str], share: float, scale: float = 4
) -> str:
    """Draw two images, what was mixed from them, and the weight that each has in the label.

    Args:
        images: three uint8 arrays `(height, width, 3)`: the first, the second, the mixture.
        names: the classes of the first and of the second.
        share: weight of the first class in the label, 0 to 1; the second has the rest.
        scale: side of a pixel in the drawing.
    """
    height, width, _ = images[0].shape
    across, down, bar = scale * width, scale * height, 18
    parts = []
    for n, pixels in enumerate(images):
        parts.append(f'<g transform="translate({n * (across + _GAP):g} 0) scale({scale:g})">')
        parts.append(image(pixels, sharp=True) + "</g>")
    right = 3 * across + 2 * _GAP
    top = down + _GAP
    for x, length, colour in ((0, share, PALETTE[0]), (share, 1 - share, PALETTE[4])):
        size = f'width="{length * right:g}" height="{bar}"'
        parts.append(f'<rect x="{x * right:g}" y="{top:g}" {size} fill="{colour}"/>')
    below = top + bar + _LINE / 2
    parts.append(text(0, below, f"{names[0]} {share:.3f}", anchor="start"))
    parts.append(text(right, below, f"{names[1]} {1 - share:.3f}", anchor="end"))
    return svg_document("".join(parts), right, top + bar + _LINE, _LETTERS)


def image(pixels: np.ndarray, sharp: bool = False) -> str:
    """A uint8 array as an SVG image, stored with a little loss unless it is tiny.

    Args:
        pixels: uint8 array `(height, width, 3 or 4)`.
        sharp: whether pixels stay squares when the drawing is enlarged.
    """
    buffer = io.BytesIO()
    # What is lost is colour at full resolution, which shows where there are few pixels.
    quality = {"lossless": True} if pixels.size < 1000 else {"quality": 90 if sharp else 80}
    Image.fromarray(pixels).save(buffer, "WEBP", **quality)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width, _ = pixels.shape
    style = ' style="image-rendering: pixelated"' if sharp else ""
    return f'<image width="{width}" height="{height}"{style} href="data:image/webp;base64,{data}"/>'
