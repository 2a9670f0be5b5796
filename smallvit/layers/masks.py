"""Additive attention masks: which tokens of a window may look at one another."""

import numpy as np

from smallvit.layers.sizes import Size, clamp_window, pad_to_multiple, to_pair

MASKED = -100.0
"""What a mask adds to a forbidden score: after the softmax nothing is left of it in float32, and
it stays finite in every float type."""


DIAGONAL = -10_000.0
"""What the diagonal mask adds to a token's score with itself. A temperature that is learnt can make
that score far larger than `MASKED`."""


def get_attn_mask(input_resolution: Size, window_size: Size, shift_size: Size) -> np.ndarray | None:
    """Mask for attention in windows of a grid that was rolled, and padded where need be.

    Rolling a grid by `-shift_size` brings tokens from opposite edges into one window, though they
    are no neighbours; padding a grid to whole windows adds tokens that are not there at all. Both
    are told by a region number for each axis, and tokens attend within their region only.

    Args:
        input_resolution: height and width of the token grid, before padding.
        window_size: height `Mh` and width `Mw` of a window, in tokens; `N = Mh * Mw`. Cut to the
            grid where it is larger, and then not shifted (`clamp_window`).
        shift_size: how far the windows are shifted down and right, in tokens.

    Returns:
        float32 array `(num_windows, N, N)`, 0 where query and key share a region and -100 where
        they do not, windows in the order of `window_partition`; `None` where nothing is masked.

    Raises:
        ValueError: if a shift is not smaller than the window it moves.

    Source: Liu et al. 2021 (Swin Transformer), section 3.2 and figure 4.
    """
    grid = to_pair(input_resolution, "input_resolution")
    window, shift = clamp_window(grid, window_size, shift_size)
    padded = pad_to_multiple(grid, window)
    if shift == (0, 0) and padded == grid:
        return None
    row_regions, column_regions = (
        _axis_regions(*axis) for axis in zip(grid, padded, shift, strict=True)
    )
    regions = 3 * row_regions[:, None] + column_regions[None, :]
    rows, columns = padded[0] // window[0], padded[1] // window[1]
    regions = regions.reshape(rows, window[0], columns, window[1]).swapaxes(1, 2)
    regions = regions.reshape(rows * columns, window[0] * window[1])
    same_region = regions[:, :, None] == regions[:, None, :]
    return np.where(same_region, 0.0, MASKED).astype("float32")


def get_diagonal_mask(num_tokens: int) -> np.ndarray:
    """Mask that keeps each token from looking at itself.

    Args:
        num_tokens: tokens `N` that attend to one another, a class token included.

    Returns:
        float32 array `(1, N, N)`, -10,000 on the diagonal and 0 elsewhere: more than any score
        makes up for, and still finite in float16.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492), section 3.2.
    """
    return np.where(np.eye(num_tokens, dtype=bool), DIAGONAL, 0.0).astype("float32")[None]


def _axis_regions(size: int, padded: int, shift: int) -> np.ndarray:
    """Region of each place of a rolled axis: 0 stayed, 1 came round the edge, 2 is padding."""
    wrapped, source = np.divmod(np.arange(padded) + shift, padded)
    return np.where(source < size, wrapped, 2)
