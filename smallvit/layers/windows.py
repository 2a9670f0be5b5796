"""Grids of tokens: cut into windows and put together again; padded, cropped and rolled."""

from typing import Any

from keras import ops

from smallvit.layers.sizes import GRID, Size, check_shape, count_tiles, pad_to_multiple, to_pair


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
        ValueError: if `x` does not have four axes, or the window does not divide its grid.

    Source: Liu et al. 2021 (Swin Transformer), section 3.2.
    """
    mh, mw = to_pair(window_size, "window_size")
    check_shape(x.shape, GRID, "x")
    _, height, width, channels = x.shape
    rows, columns = count_tiles((height, width), window_size, "window_size")
    x = ops.reshape(x, (-1, rows, mh, columns, mw, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # rows, columns, mh, mw
    return ops.reshape(x, (-1, mh, mw, channels))


def window_reverse(
    windows: Any,
    window_size: Size,
    height: int,
    width: int,
) -> Any:
    """Put windows back into the grids they were cut from: the inverse of `window_partition`.

    Args:
        windows: array or tensor `(batch * num_windows, Mh, Mw, channels)`, any dtype.
        window_size: height `Mh` and width `Mw` of a window, in tokens.
        height: of the grid, in tokens.
        width: of the grid, in tokens.

    Returns:
        Tensor `(batch, height, width, channels)`.

    Raises:
        ValueError: if `windows` does not have four axes, its windows have another size or do not
            make whole grids, or the window does not divide the grid.

    Source: Liu et al. 2021 (Swin Transformer), section 3.2.
    """
    mh, mw = to_pair(window_size, "window_size")
    if len(windows.shape) != 4 or tuple(windows.shape[1:3]) != (mh, mw):
        raise ValueError(
            f"windows must be (batch * num_windows, {mh}, {mw}, channels); "
            f"got shape {tuple(windows.shape)}."
        )
    rows, columns = count_tiles((height, width), window_size, "window_size")
    count, channels = windows.shape[0], windows.shape[-1]
    if isinstance(count, int) and count % (rows * columns):
        raise ValueError(
            f"A grid of {height} x {width} has {rows * columns} windows, which "
            f"do not divide {count}."
        )
    x = ops.reshape(windows, (-1, rows, columns, mh, mw, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # rows, mh, columns, mw
    return ops.reshape(x, (-1, height, width, channels))


def pad_grid(x: Any, window_size: Size) -> Any:
    """Pad `(batch, height, width, channels)` with zeros, bottom and right, to whole windows."""
    _, height, width, _ = x.shape
    padded_height, padded_width = pad_to_multiple((height, width), window_size)
    bottom, right = padded_height - height, padded_width - width
    return ops.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0))) if bottom or right else x


def crop_grid(x: Any, resolution: tuple[int, int]) -> Any:
    """Crop `(batch, height, width, channels)` to `resolution`: the inverse of `pad_grid`."""
    height, width = resolution  # TensorFlow copies even if nothing is cut off
    return x if tuple(x.shape[1:3]) == resolution else x[:, :height, :width]


def roll_grid(x: Any, down: int, right: int) -> Any:
    """Roll `(batch, height, width, channels)` by this many tokens, around the edges."""
    return ops.roll(x, (down, right), axis=(1, 2)) if down or right else x
