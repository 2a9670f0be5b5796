"""Attention masks: which tokens may attend to one another."""

from typing import Any

import keras
import numpy as np
from keras import ops

from smallvit.layers.sizes import Size, clamp_window, pad_to_multiple, to_pair

MASKED = -100.0
"""What a window mask holds for a pair that may not attend, as published. This or less forbids."""

FORBIDDEN = -10_000.0
"""What attention has in place of the score of such a pair: below all that count, however a learnt
temperature scales them, and finite in float16."""


def get_attn_mask(
    input_resolution: Size,
    window_size: Size,
    shift_size: Size,
) -> np.ndarray | None:
    """Mask for attention in windows of a grid that was rolled, and padded if need be.

    Rolling a grid by `-shift_size` brings tokens from opposite edges into one window, though they
    are not neighbours; padding a grid to whole windows adds tokens that are not there at all. Both
    get a region number for each axis, and tokens attend within their region only.

    Args:
        input_resolution: height and width of the token grid, before padding.
        window_size: height `Mh` and width `Mw` of a window, in tokens; `N = Mh * Mw`. Cut to the
            grid if it is larger, and then not shifted (`clamp_window`).
        shift_size: how far the windows are shifted down and right, in tokens.

    Returns:
        float32 array `(num_windows, N, N)`, 0 if query and key share a region and -100 if they do
        not, windows in the order of `window_partition`; `None` if nothing is masked.

    Raises:
        ValueError: if a shift is not smaller than the window it moves.

    Source: Liu et al. 2021 (Swin Transformer), section 3.2 and figure 4.
    """
    grid = to_pair(input_resolution, "input_resolution")
    window, shift = clamp_window(grid, window_size, shift_size)
    padded = pad_to_multiple(grid, window)
    if shift == (0, 0) and padded == grid:
        return None
    axes = zip(grid, padded, shift, strict=True)
    row_regions, column_regions = (_axis_regions(*axis) for axis in axes)
    regions = 3 * row_regions[:, None] + column_regions[None, :]
    rows, columns = padded[0] // window[0], padded[1] // window[1]
    tiles = regions.reshape(rows, window[0], columns, window[1]).swapaxes(1, 2)
    regions = tiles.reshape(rows * columns, window[0] * window[1])
    same_region = regions[:, :, None] == regions[:, None, :]
    return np.where(same_region, 0.0, MASKED).astype("float32")


def get_diagonal_mask(num_tokens: int) -> np.ndarray:
    """Mask that keeps each of `N` tokens, a class token included, from attending to itself.

    Args:
        num_tokens: `N`.

    Returns:
        float32 array `(1, N, N)`, -10,000 on the diagonal and 0 elsewhere.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492), "Locality Self-Attention".
    """
    return np.where(np.eye(num_tokens, dtype=bool), FORBIDDEN, 0.0).astype("float32")[None]


def to_additive(attn_mask: Any, query: Any) -> Any:
    """Turn a mask of booleans (`True`: may attend) or floats into what is added to the scores.

    Args:
        attn_mask: array `(num_windows, N, N)`.
        query: tensor `(batch * num_windows, N, num_heads, key_dim)`.

    Returns:
        Tensor `(num_windows, N, N)` of the query's dtype.

    Raises:
        ValueError: if the mask has another shape, its windows do not divide the sequences, or it
            holds integers.
    """
    sequences, num_tokens = query.shape[:2]
    mask = ops.convert_to_tensor(attn_mask)
    if len(mask.shape) != 3 or tuple(mask.shape[1:]) != (num_tokens, num_tokens):
        raise ValueError(
            f"attn_mask must be (num_windows, {num_tokens}, {num_tokens}); "
            f"got shape {tuple(mask.shape)}."
        )
    num_windows = mask.shape[0]
    if num_windows == 0 or (sequences and num_windows and sequences % num_windows):
        raise ValueError(f"attn_mask's {num_windows} windows do not divide {sequences} sequences.")
    kind = keras.backend.standardize_dtype(mask.dtype)
    if kind == "bool":
        mask = ops.where(mask, 0.0, FORBIDDEN)
    elif not keras.backend.is_float_dtype(kind):
        raise ValueError(
            "attn_mask must hold booleans (True: may attend) or floats (added to the scores); "
            f"got {kind}."
        )
    return ops.cast(mask, query.dtype)


def masked_softmax(scores: Any, mask: Any) -> Any:
    """Attention weights under an additive mask; 0 for a token that may attend to none.

    From scores `(batch * num_windows, num_heads, N, N)` and a mask `(num_windows, N, N)`, of which
    -100 or less forbids, whatever the score, to weights `(batch, num_windows, num_heads, N, N)`.
    Without a mask, there is one window.
    """
    if mask is None:
        return ops.softmax(scores)[:, None]
    mask = mask[:, None]  # for all heads
    allowed = mask > MASKED
    by_window = ops.reshape(scores, (-1, ops.shape(mask)[0], *scores.shape[1:]))
    weights = ops.softmax(ops.where(allowed, by_window + mask, FORBIDDEN))
    return weights * ops.cast(allowed, weights.dtype)


def _axis_regions(size: int, padded: int, shift: int) -> np.ndarray:
    """Region of each index of a rolled axis: 0 stayed, 1 came round the edge, 2 is padding."""
    wrapped, source = np.divmod(np.arange(padded) + shift, padded)
    return np.where(source < size, wrapped, 2)
