"""Drawings of windows: how a grid is partitioned, and what is seen through it."""

from collections.abc import Sequence

import numpy as np
from keras import ops

from smallvit.book.drawings.svg import INK, PALETTE, stroke, svg_document, text
from smallvit.book.drawings.tokens import Scale, draw_grid
from smallvit.layers.windows import window_partition


def window_numbers(height: int, width: int, window_size: int, shift: int = 0) -> np.ndarray:
    """The number of the window that each token lies in.

    Args:
        height: rows of the grid.
        width: columns of the grid.
        window_size: side of a window, in tokens.
        shift: how far the windows are shifted down and right, in tokens; those at the edges are
            then smaller.

    Returns:
        Integer array `(height, width)`.
    """
    rows, columns = ((np.arange(n) - shift) // window_size for n in (height, width))
    rows, columns = rows - rows.min(), columns - columns.min()
    return rows[:, None] * (columns.max() + 1) + columns


def draw_windows(
    windows: np.ndarray,
    origins: Sequence[tuple[float, float]],
    colours: Sequence[int],
    cell: float = 30,
) -> str:
    """Draw windows of numbered tokens, each in its own place and colour.

    Args:
        windows: array `(num_windows, Mh, Mw)`; its values are written into the tokens.
        origins: `(x, y)` of each window's top left corner, in pixels.
        colours: place of each window's colour in `PALETTE`, modulo its length.
        cell: side of a token, in pixels.
    """
    _, rows, columns = windows.shape
    right, down = columns * cell, rows * cell
    parts = []
    for (x, y), colour, window in zip(origins, colours, windows, strict=True):
        fill = PALETTE[colour % len(PALETTE)]
        lines = [f"M0 {i * cell:g}h{right:g}" for i in range(rows)]
        lines += [f"M{j * cell:g} 0v{down:g}" for j in range(columns)]
        parts.append(
            f'<g transform="translate({x:g} {y:g})"><path d="M0 0h{right:g}v{down:g}h-{right:g}z" '
            f'fill="{fill}" fill-opacity=".4" stroke="{INK}" stroke-width="2"/>'
            + stroke("".join(lines), INK, 0.5)
        )
        parts += [
            text((j + 0.5) * cell, (i + 0.5) * cell, number)
            for (i, j), number in np.ndenumerate(window)
        ]
        parts.append("</g>")
    width = max(x for x, _ in origins) + right
    height = max(y for _, y in origins) + down
    return svg_document("".join(parts), width, height)


def draw_partition(
    grid: np.ndarray, window_size: int, gap: float = 0, columns: int | None = None
) -> str:
    """Draw a grid of numbered tokens as `window_partition` cuts it.

    Args:
        grid: array `(height, width)` of the tokens' numbers; the window divides it.
        window_size: side of a window, in tokens.
        gap: space between windows, in pixels.
        columns: windows in a row of the drawing; by default as many as in the grid.
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
        colours: index of each number's colour in `PALETTE`, modulo its length.
    """
    cell = 34
    origins = [(cell * place, 0) for place in range(len(numbers))]
    return draw_windows(numbers[:, None, None], origins, colours, cell)


def colour_by_place(rows: int, columns: int) -> list[int]:
    """A palette index for each window of a grid, so that no two neighbours share a colour."""
    return [2 * row + column for row in range(rows) for column in range(columns)]


def draw_coverage(counts: np.ndarray, patch_size: int, cell: float = 22) -> str:
    """Draw how often each pixel of a small image is seen, with the patch in its middle outlined.

    Args:
        counts: integer array `(height, width)`; zeros are pale.
        patch_size: side of a patch, in pixels; an odd number of patches fits each side.
        cell: side of a pixel in the drawing.
    """
    middle = [(side - patch_size) // 2 for side in counts.shape]
    return draw_grid(
        counts,
        Scale(0, 5),
        texts=np.where(counts > 0, counts, None),
        windows=window_numbers(*counts.shape, patch_size),
        boxes=[(*middle, patch_size, patch_size)],
        cell=cell,
    )
