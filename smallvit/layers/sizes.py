"""Sizes and counts: an `int` for a square, or `(height, width)`. Nothing here assumes a square."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

Size = int | Sequence[int]

GRID = "batch, height, width, channels"
SEQUENCE = "batch, num_tokens, channels"


def to_count(value: Any, name: str, minimum: int = 1) -> int:
    """Return a count as an `int`.

    Args:
        value: an integer, NumPy's included.
        name: what to call it in the error message.
        minimum: the smallest value allowed.

    Raises:
        ValueError: if `value` is no integer (`True` is none), or smaller than `minimum`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}; got {value!r}.")
    return int(value)


def to_pair(size: Size, name: str = "size", minimum: int = 1) -> tuple[int, int]:
    """Return a size as `(height, width)`.

    Args:
        size: an integer, used for both axes, or two of them.
        name: what to call the size in the error message.
        minimum: the smallest value allowed on either axis.

    Raises:
        ValueError: if `size` is neither, or smaller than `minimum`.
    """
    try:
        height, width = size if isinstance(size, Iterable) else (size, size)
        return to_count(height, name, minimum), to_count(width, name, minimum)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be an int or (height, width), each at least {minimum}; got {size!r}."
        ) from None


def check_shape(shape: Sequence[int | None], axes: str, name: str = "The input") -> None:
    """Refuse a shape of another rank, or one with an unknown size other than the batch's.

    Args:
        shape: the shape to check.
        axes: the names of the axes, such as `GRID` and `SEQUENCE`.
        name: what to call the tensor in the error message.

    Raises:
        ValueError: if the shape does not fit.
    """
    if len(shape) != axes.count(",") + 1:
        raise ValueError(f"{name} must be ({axes}); got shape {tuple(shape)}.")
    if None in shape[1:]:
        raise ValueError(
            f"{name} must be ({axes}), all but the first of known size; got shape {tuple(shape)}."
        )


def count_tiles(resolution: Size, tile: Size, name: str) -> tuple[int, int]:
    """Count the tiles that a grid is cut into, along its height and width.

    Args:
        resolution: height and width of the grid.
        tile: height and width of a tile.
        name: what to call the tile in the error message.

    Raises:
        ValueError: if the tile does not divide the grid.
    """
    (height, width), (rows, columns) = to_pair(resolution), to_pair(tile, name)
    if height % rows or width % columns:
        raise ValueError(
            f"A {name} of {rows} x {columns} does not divide a grid of {height} x {width}; "
            f"pad the grid or choose another {name}."
        )
    return height // rows, width // columns


def clamp_window(
    input_resolution: Size, window_size: Size, shift_size: Size = 0
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Fit a window and its shift to a grid, each axis on its own.

    A window at least as long as an axis is cut to that axis and not shifted along it.

    Args:
        input_resolution: height and width of the token grid.
        window_size: height and width of a window, in tokens.
        shift_size: how far the windows are shifted down and right, in tokens.

    Returns:
        `(window_size, shift_size)`, both as `(height, width)`.

    Raises:
        ValueError: if a shift is not smaller than the window it moves.

    Source: microsoft/Swin-Transformer, `SwinTransformerBlock.__init__`, per axis as in timm.
    """
    grid = to_pair(input_resolution, "input_resolution")
    window = to_pair(window_size, "window_size")
    shift = to_pair(shift_size, "shift_size", minimum=0)
    if shift[0] >= window[0] or shift[1] >= window[1]:
        raise ValueError(
            f"shift_size must be smaller than window_size; got {shift_size} and {window_size}."
        )
    clamped = [(n, 0) if n <= m else (m, s) for n, m, s in zip(grid, window, shift, strict=True)]
    (window_height, shift_height), (window_width, shift_width) = clamped
    return (window_height, window_width), (shift_height, shift_width)


def pad_to_multiple(input_resolution: Size, window_size: Size) -> tuple[int, int]:
    """Height and width of the smallest grid of whole windows that holds `input_resolution`."""
    grid = to_pair(input_resolution, "input_resolution")
    window = to_pair(window_size, "window_size")
    height, width = (-(-n // m) * m for n, m in zip(grid, window, strict=True))
    return height, width
