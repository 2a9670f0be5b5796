"""Cut a grid of tokens into windows, and put it together again."""

from typing import Any

from keras import ops

from smallvit.layers.sizes import GRID, Size, check_shape, count_tiles, to_pair


def window_partition(x: Any, window_size: Size) -> Any:
    """Cut a batch of grids into windows that do not overlap.

    Windows come out image by image, and within an image in reading order: left to right, then top
    to bottom. So do the tokens within a window.

    Args:
        x: array or tensor `(batch, height, width, channels)`, any dtype.
        window_size: height `Mh` and width `Mw` of a window, in tokens. They divide the grid.

    Returns:
        Tensor `(batch * num_windows, Mh, Mw, channels)`, where
        `num_windows = (height // Mh) * (width // Mw)`.

    Raises:
        ValueError: if `x` has no four axes, or the window does not divide its grid.

    Source: Liu et al. 2021 (Swin Transformer), section 3.2.
    """
    window_height, window_width = to_pair(window_size, "window_size")
    check_shape(x.shape, GRID, "x")
    _, height, width, channels = x.shape
    rows, columns = count_tiles((height, width), window_size, "window_size")
    x = ops.reshape(x, (-1, rows, window_height, columns, window_width, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # batch, rows, columns, Mh, Mw, channels
    return ops.reshape(x, (-1, window_height, window_width, channels))


def window_reverse(windows: Any, window_size: Size, height: int, width: int) -> Any:
    """Put windows back into the grids they were cut from: the inverse of `window_partition`.

    Args:
        windows: array or tensor `(batch * num_windows, Mh, Mw, channels)`, any dtype.
        window_size: height `Mh` and width `Mw` of a window, in tokens.
        height: height of the grid, in tokens.
        width: width of the grid, in tokens.

    Returns:
        Tensor `(batch, height, width, channels)`.

    Raises:
        ValueError: if `windows` has no four axes or windows of another size, or the window does
            not divide the grid.

    Source: Liu et al. 2021 (Swin Transformer), section 3.2.
    """
    window_height, window_width = to_pair(window_size, "window_size")
    if len(windows.shape) != 4 or tuple(windows.shape[1:3]) != (window_height, window_width):
        raise ValueError(
            f"windows must be (batch * num_windows, {window_height}, {window_width}, channels); "
            f"got shape {tuple(windows.shape)}."
        )
    rows, columns = count_tiles((height, width), window_size, "window_size")
    channels = windows.shape[-1]
    x = ops.reshape(windows, (-1, rows, columns, window_height, window_width, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # batch, rows, Mh, columns, Mw, channels
    return ops.reshape(x, (-1, height, width, channels))
