"""Sizes and counts: an `int` for a square, or `(height, width)`. Nothing here assumes a square.

What does not fit raises a ValueError of one sentence that names the argument.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

Size = int | Sequence[int]
Pair = tuple[int, int]

GRID = "batch, height, width, channels"
SEQUENCE = "batch, num_tokens, channels"


def to_count(value: Any, name: str, minimum: int = 1) -> int:
    """A count as an `int`: any integer of at least `minimum`, NumPy's included, but no boolean."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}; got {value!r}.")
    return int(value)


def to_pair(size: Size, name: str = "size", minimum: int = 1) -> Pair:
    """A size as `(height, width)`: one count of at least `minimum` for both axes, or two."""
    try:
        height, width = size if isinstance(size, Iterable) else (size, size)
        return to_count(height, name, minimum), to_count(width, name, minimum)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be an int or (height, width), each at least {minimum}; got {size!r}."
        ) from None


def to_number(value: Any, name: str, fits: Callable[[float], bool], range_: str) -> float:
    """A number that `fits`, but no boolean."""
    if isinstance(value, bool) or not isinstance(value, Real) or not fits(value):
        raise ValueError(f"{name} must be a number {range_}; got {value!r}.")
    return float(value)


to_positive = partial(to_number, fits=lambda x: 0 < x < 1e9, range_="above 0 and below 1e9")
to_rate = partial(to_number, fits=lambda x: 0 <= x < 1, range_="of at least 0 and less than 1")


def to_choice(value: Any, name: str, choices: Sequence) -> Any:
    """A value that is one of `choices`, its type included: 1 is not `True`."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *others, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(others)} or {last}; got {value!r}.")
    return value


def check_shape(shape: Sequence[int | None], axes: str, name: str = "The input") -> None:
    """Refuse a shape of another rank, or one with an unknown size other than the batch's.

    `axes` names the axes, as `GRID` and `SEQUENCE` do; `...` stands for any number of them.
    """
    rank = axes.count(",") + 1
    if (len(shape) != rank and "..." not in axes) or None in shape[1:]:
        raise ValueError(
            f"{name} must be ({axes}), all but the first of known size; got shape {tuple(shape)}."
        )


def count_tiles(resolution: Size, tile: Size, name: str) -> Pair:
    """Count the tiles, called `name`, that a grid is cut into along its height and width."""
    (height, width), (rows, columns) = to_pair(resolution, "The grid"), to_pair(tile, name)
    if height % rows or width % columns:
        raise ValueError(
            f"A {name} of {rows} x {columns} does not divide a grid of {height} x {width}; "
            f"pad the grid or choose another {name}."
        )
    return height // rows, width // columns


def clamp_window(
    input_resolution: Size, window_size: Size, shift_size: Size = 0
) -> tuple[Pair, Pair]:
    """Fit a window and its shift to a grid, each axis on its own; all are in tokens.

    A window at least as long as an axis is cut to that axis and not shifted along it.

    Args:
        input_resolution: height and width of the grid.
        window_size: height and width of a window.
        shift_size: how far the windows are shifted down and right.

    Returns:
        `(window_size, shift_size)`, both as `(height, width)`.

    Raises:
        ValueError: if a shift is not smaller than the window it moves, or a size is not valid.

    Source: microsoft/Swin-Transformer, `SwinTransformerBlock.__init__`, per axis as in timm.
    """
    grid = to_pair(input_resolution, "input_resolution")
    window = to_pair(window_size, "window_size")
    shift = to_pair(shift_size, "shift_size", minimum=0)
    if shift[0] >= window[0] or shift[1] >= window[1]:
        raise ValueError(
            f"shift_size must be smaller than window_size; got {shift_size} and {window_size}."
        )
    axes = zip(grid, window, shift, strict=True)
    window, shift = zip(*[(n, 0) if n <= m else (m, s) for n, m, s in axes], strict=True)
    return window, shift


def pad_to_multiple(input_resolution: Size, window_size: Size) -> Pair:
    """Height and width, in tokens, of the smallest grid of whole windows that holds another.

    Args:
        input_resolution: height and width of that other grid.
        window_size: height and width of a window.

    Raises:
        ValueError: if one of them is not a valid size.
    """
    grid = to_pair(input_resolution, "input_resolution")
    window = to_pair(window_size, "window_size")
    height, width = (-(-n // m) * m for n, m in zip(grid, window, strict=True))
    return height, width
