"""Where tokens stand to one another: the index behind the relative position bias."""

import numpy as np

from smallvit.layers.sizes import Size, to_pair


def get_relative_position_index(window_size: Size) -> np.ndarray:
    """Which row of the bias table each pair of tokens in a window reads.

    Pairs of tokens with the same offset share a row, so the table has one row
    for each offset a window can hold: `(2 Mh - 1) * (2 Mw - 1)` in all.

    Args:
        window_size: height `Mh` and width `Mw` of a window, in tokens; `N = Mh * Mw`.

    Returns:
        int32 array `(N, N)`. Entry `[q, k]` is
        `(row(q) - row(k) + Mh - 1) * (2 Mw - 1) + (column(q) - column(k) + Mw - 1)`.

    Raises:
        ValueError: if `window_size` is not a valid size.

    Source: Liu et al. 2021 (Swin Transformer), equation 4.
    """
    height, width = to_pair(window_size, "window_size")
    rows, columns = np.divmod(np.arange(height * width), width)
    row_offset = rows[:, None] - rows[None, :] + height - 1
    column_offset = columns[:, None] - columns[None, :] + width - 1
    return (row_offset * (2 * width - 1) + column_offset).astype("int32")
