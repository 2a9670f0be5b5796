"""Sizes: an `int` for a square, or `(height, width)`. Nothing in this package assumes a square."""

from collections.abc import Sequence

Size = int | Sequence[int]


def to_pair(size: Size, name: str = "size", minimum: int = 1) -> tuple[int, int]:
    """Return a size as `(height, width)`.

    Args:
        size: an `int`, used for both axes, or two of them.
        name: what to call the size in the error message.
        minimum: the smallest value allowed on either axis.

    Raises:
        ValueError: if `size` is neither, or smaller than `minimum`.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(not isinstance(n, int) or n < minimum for n in pair):
        raise ValueError(
            f"{name} must be an int or (height, width), each at least {minimum}; got {size!r}."
        )
    return pair


def clamp_window(
    input_resolution: Size, window_size: Size, shift_size: Size = 0
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Fit a window and its shift to a grid, each axis on its own.

    A window at least as long as the grid covers that axis whole: it is cut to the grid, and there
    is nothing left to shift it towards.

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
