"""Pictures of tokens and curves, in colours that read on light and dark pages alike."""

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Any
from xml.etree import ElementTree

import numpy as np
from keras import ops
from PIL import Image

from smallvit.layers.windows import window_partition

PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#9467bd")
"""Seven hues that colour-blind readers can tell apart (six of them Okabe and Ito's)."""

INK = "currentColor"
"""Lines and letters take the colour of the text around the picture."""


class Picture:
    """An SVG that shows itself in a notebook and tells screen readers what it shows.

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


def with_alt(svg: str, alt: str) -> str:
    """Markup that screen readers take for one image with this text."""
    return svg.replace(" ", f' role="img" aria-label="{escape(alt)}" ', 1)


def draw_windows(
    windows: np.ndarray,
    origins: Sequence[tuple[float, float]],
    colours: Sequence[int],
    cell: float = 30,
) -> str:
    """Draw windows of numbered tokens, each where and in the colour that it is told.

    Args:
        windows: array `(num_windows, Mh, Mw)`; its values are written into the tokens.
        origins: `(x, y)` of each window's top left corner, in pixels.
        colours: place of each window's colour in `PALETTE`, counted round.
        cell: side of a token, in pixels.

    Returns:
        SVG markup.
    """
    _, rows, columns = windows.shape
    places = [(i, j) for i in range(rows) for j in range(columns)]
    right, down = columns * cell, rows * cell
    parts = []
    for (x, y), colour, window in zip(origins, colours, windows, strict=True):
        fill = PALETTE[colour % len(PALETTE)]
        parts.append(f'<g transform="translate({x:g} {y:g})" fill="{fill}">')
        parts += [_square(j * cell, i * cell, cell) for i, j in places]
        parts += [_text((j + 0.5) * cell, (i + 0.5) * cell, window[i, j]) for i, j in places]
        parts.append(f'<path d="M0 0H{right:g}V{down:g}H0Z" fill="none" stroke-width="2"/></g>')
    style = (
        f'stroke="{INK}" stroke-opacity=".9" stroke-width=".5" fill-opacity=".4" '
        f'font-size="{min(13, cell * 0.42):g}" font-family="sans-serif" text-anchor="middle"'
    )
    width = max(x for x, _ in origins) + right
    height = max(y for _, y in origins) + down
    return svg_document("".join(parts), width, height, style)


def draw_partition(
    grid: np.ndarray, window_size: int, gap: float = 0, columns: int | None = None
) -> str:
    """Draw a grid of numbered tokens as `window_partition` cuts it.

    Args:
        grid: array `(height, width)` of the tokens' numbers; the window divides it.
        window_size: side of a window, in tokens.
        gap: space between windows, in pixels.
        columns: windows in a row of the drawing; by default as many as in the grid.

    Returns:
        SVG markup.
    """
    windows = ops.convert_to_numpy(window_partition(grid[None, :, :, None], window_size))[..., 0]
    rows_there, columns_there = (side // window_size for side in grid.shape)
    columns = columns or columns_there
    cell = 30
    step = cell * window_size + gap
    origins = [(n % columns * step, n // columns * step) for n in range(len(windows))]
    return draw_windows(windows, origins, colour_by_place(rows_there, columns_there), cell)


def draw_strip(numbers: np.ndarray, colours: Sequence[int]) -> str:
    """Draw numbers as they lie in memory, in one row, each in its colour.

    Args:
        numbers: array `(n,)`.
        colours: place of each number's colour in `PALETTE`, counted round.

    Returns:
        SVG markup.
    """
    cell = 34
    origins = [(cell * place, 0) for place in range(len(numbers))]
    return draw_windows(numbers[:, None, None], origins, colours, cell)


def colour_by_place(rows: int, columns: int) -> list[int]:
    """A palette index for each window of a grid, so that no two neighbours share a colour."""
    return [2 * row + column for row in range(rows) for column in range(columns)]


def draw_heat(values: np.ndarray, window_size: int, shift: int, cell: float = 24) -> str:
    """Draw a grid of tokens, darker where `values` is larger, with windows outlined over it.

    Args:
        values: array `(height, width)`, from 0 to 1.
        window_size: side of a window, in tokens.
        shift: how far the windows are shifted down and right, in tokens.
        cell: side of a token, in pixels.

    Returns:
        SVG markup.
    """
    height, width = values.shape
    cells = "".join(
        _square(j * cell, i * cell, cell, f'fill-opacity="{0.05 + 0.85 * values[i, j]:.2f}"')
        for i in range(height)
        for j in range(width)
    )
    down, right = height * cell, width * cell
    lines = [f"M0 {i * cell:g}H{right:g}" for i in _edges(height, window_size, shift)]
    lines += [f"M{j * cell:g} 0V{down:g}" for j in _edges(width, window_size, shift)]
    path = f'<path d="{"".join(lines)}" fill="none" stroke-width="2.5" stroke-opacity="1"/>'
    style = f'fill="{PALETTE[4]}" stroke="{INK}" stroke-opacity=".35" stroke-width=".5"'
    return svg_document(cells + path, right, down, style)


def draw_photo(photo: np.ndarray, window_size: int, gap: int) -> str:
    """Draw a photograph cut into windows that stand a little apart.

    Args:
        photo: uint8 array `(height, width, 3)`; the window divides it.
        window_size: side of a window, in pixels.
        gap: space between windows, in pixels.

    Returns:
        SVG markup with the pixels inside.
    """
    height, width, _ = photo.shape
    rows, columns = height // window_size, width // window_size
    canvas = np.zeros((height + (rows - 1) * gap, width + (columns - 1) * gap, 4), "uint8")
    for row in range(rows):
        for column in range(columns):
            top, left = row * window_size, column * window_size
            y, x = top + row * gap, left + column * gap
            window = photo[top : top + window_size, left : left + window_size]
            canvas[y : y + window_size, x : x + window_size, :3] = window
            canvas[y : y + window_size, x : x + window_size, 3] = 255
    down, right, _ = canvas.shape
    return svg_document(_image(canvas), right, down, "")


def draw_quincunx(photos: np.ndarray, labels: Sequence[str], box: tuple[int, int, int]) -> str:
    """Draw a photograph and four others around it, with the same square marked in all.

    Args:
        photos: uint8 array `(5, height, width, 3)`: the middle, then the corners in reading order.
        labels: what is written under each.
        box: left, top and side of the square, in pixels.

    Returns:
        SVG markup with the pixels inside.
    """
    _, height, width, _ = photos.shape
    gap, line = 12, 26
    across, down = (width + gap) / 2, height + line
    left, top, side = box
    mark = f'fill="none" stroke="{PALETTE[0]}" stroke-width="3"'
    parts = []
    places = [(1, 1), (0, 0), (2, 0), (0, 2), (2, 2)]
    for (column, row), photo, label in zip(places, photos, labels, strict=True):
        parts.append(f'<g transform="translate({column * across:g} {row * down:g})">')
        parts += [_image(photo), _square(left, top, side, mark)]
        parts.append(_text(width / 2, height + line / 2, label) + "</g>")
    style = 'font-size="14" font-family="sans-serif" text-anchor="middle"'
    return svg_document("".join(parts), 2 * across + width, 3 * down, style)


def draw_coverage(counts: np.ndarray, patch_size: int, cell: float = 22) -> str:
    """Draw how often each pixel of a small image is seen, and the patch in the image's middle.

    Args:
        counts: integer array `(height, width)`, from 0 to 9; zeros are left blank.
        patch_size: side of a patch, in pixels; an odd number of patches fits each side.
        cell: side of a pixel in the drawing.

    Returns:
        SVG markup.
    """
    height, width = counts.shape
    down, right = height * cell, width * cell
    parts = []
    for count in np.unique(counts[counts > 0]):
        squares = (
            f"M{j * cell:g} {i * cell:g}h{cell:g}v{cell:g}h-{cell:g}z"
            for i, j in np.argwhere(counts == count)
        )
        opacity = min(0.75, 0.1 + 0.15 * count)
        parts.append(f'<path d="{"".join(squares)}" fill-opacity="{opacity:.2f}" stroke="none"/>')
    for pixels, thickness in ((1, 0.3), (patch_size, 1)):
        lines = [f"M0 {i * cell:g}H{right:g}" for i in range(0, height + 1, pixels)]
        lines += [f"M{j * cell:g} 0V{down:g}" for j in range(0, width + 1, pixels)]
        parts.append(f'<path d="{"".join(lines)}" stroke-width="{thickness}"/>')
    for i, row in enumerate(counts):
        seen = np.flatnonzero(row)
        places = " ".join(f"{(j + 0.5) * cell:g}" for j in seen)
        if places:
            digits = "".join(str(row[j]) for j in seen)
            parts.append(
                f'<text x="{places}" y="{(i + 0.5) * cell:g}" dy=".35em" fill="{INK}" '
                f'stroke="none">{digits}</text>'
            )
    top, left = (height - patch_size) // 2 * cell, (width - patch_size) // 2 * cell
    outline = f'fill="none" stroke="{PALETTE[0]}" stroke-width="3.5"'
    parts.append(_square(left, top, patch_size * cell, outline))
    style = (
        f'fill="{PALETTE[1]}" stroke="{INK}" '
        'font-size="12" font-family="sans-serif" text-anchor="middle"'
    )
    return svg_document("".join(parts), right, down, style)


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
    return ElementTree.tostring(root, encoding="unicode").replace("#000000", INK)


def svg_document(content: str, width: float, height: float, attributes: str) -> str:
    """Wrap markup in an SVG that is drawn at its size, or smaller where there is less room."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {width + 4:g} {height + 4:g}" '
        f'width="{width + 4:g}" style="max-width: 100%; height: auto" {attributes}>'
        f"{content}</svg>"
    )


def once(content: str, attributes: str = "") -> str:
    """A part without groups that many frames of a figure share; `explore` stores it once."""
    return f'<g class="once" {attributes}>{content}</g>'


def _image(pixels: np.ndarray) -> str:
    """A uint8 array `(height, width, 3 or 4)` as an SVG image, stored with a little loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width, _ = pixels.shape
    return f'<image width="{width}" height="{height}" href="data:image/webp;base64,{data}"/>'


def _square(x: float, y: float, side: float, attributes: str = "") -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" {attributes}/>'


def _text(x: float, y: float, content: object) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" dy=".35em" fill="{INK}" fill-opacity="1" stroke="none">'
        f"{escape(str(content))}</text>"
    )


def _edges(size: int, window_size: int, shift: int) -> list[int]:
    """Where along an axis the borders of windows lie, the image's own among them."""
    inner = range(shift, size, window_size)
    return sorted({0, size, *inner})
