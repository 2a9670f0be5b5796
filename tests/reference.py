"""A second opinion on Swin: NumPy only, loops and index arithmetic, written apart from `smallvit`.

It is the forward pass, in inference mode, of the Keras code example "Image classification with
Swin Transformers" (CIFAR-100), after Liu et al. 2021, https://arxiv.org/abs/2103.14030, and a
few brute-force helpers. It is slow on purpose: where the package reshapes and transposes, this
file says which pixel goes where, so that the two can only agree if both are right. Nothing is
cast: float64 weights and inputs give a float64 answer.

Shapes. B: images, (H, W): grid of tokens, C: channels, (Mh, Mw): window, N = Mh * Mw: tokens in
a window, nW = (H // Mh) * (W // Mw): windows in an image, counted row by row.
Sizes are an int or a (height, width) pair. A positive shift moves the image up and to the left:
the pixel now at (i, j) came from ((i + shift_h) mod H, (j + shift_w) mod W).

Weights are plain dicts of arrays; kernels are (inputs, outputs), as in Keras.

A block's keys, with hidden width F:
    norm1.gamma, norm1.beta, norm2.gamma, norm2.beta    (C,)
    qkv.kernel (C, 3C), qkv.bias (3C,)    outputs laid out (q k v, head, head_dim); bias optional
    relative_position_bias_table          ((2Mh - 1) * (2Mw - 1), num_heads)
    proj.kernel (C, C), proj.bias (C,)
    fc1.kernel (C, F), fc1.bias (F,), fc2.kernel (F, C), fc2.bias (C,)

The model's keys, as published with patch 2, C = 64, F = 256 and 100 classes:
    embed.kernel (12, C), embed.bias (C,), position (256, C)
    blocks                                list of two such dicts: shift 0, then shift 1
    reduction.kernel (4C, 2C), head.kernel (2C, 100), head.bias (100,)
"""

import math
from collections import defaultdict

import numpy as np

NOT_ALLOWED = -100.0


def as_pair(size):
    """An int, or a (height, width) pair, as a pair of ints."""
    return (size, size) if isinstance(size, (int, np.integer)) else tuple(size)


def count_windows(resolution, window_size):
    """(H // Mh, W // Mw); raises ValueError where the window does not divide the grid."""
    (height, width), (mh, mw) = as_pair(resolution), as_pair(window_size)
    if height % mh or width % mw:
        raise ValueError(f"window {(mh, mw)} does not divide the grid {(height, width)}")
    return height // mh, width // mw


# Which pixel is where


def window_of_pixel(i, j, window_size):
    """(window row, window column) of the window that pixel (i, j) lies in."""
    mh, mw = as_pair(window_size)
    return i // mh, j // mw


def windows_by_loops(x, window_size):
    """x (B, H, W, C) -> (B * nW, Mh, Mw, C): images outermost, then windows row by row."""
    batch, height, width, channels = x.shape
    mh, mw = as_pair(window_size)
    rows, columns = count_windows((height, width), window_size)
    windows = np.zeros((batch * rows * columns, mh, mw, channels), x.dtype)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                row, column = window_of_pixel(i, j, window_size)
                windows[(b * rows + row) * columns + column, i % mh, j % mw] = x[b, i, j]
    return windows


def image_by_loops(windows, window_size, height, width):
    """The way back: windows (B * nW, Mh, Mw, C) -> (B, H, W, C)."""
    mh, mw = as_pair(window_size)
    rows, columns = count_windows((height, width), window_size)
    batch = len(windows) // (rows * columns)
    image = np.zeros((batch, height, width, windows.shape[-1]), windows.dtype)
    for b in range(batch):
        for i in range(height):
            for j in range(width):
                row, column = window_of_pixel(i, j, window_size)
                image[b, i, j] = windows[(b * rows + row) * columns + column, i % mh, j % mw]
    return image


def shift_by_loops(x, shift_size):
    """x (B, H, W, C) moved up by shift_h and left by shift_w; what falls out comes back in."""
    _, height, width, _ = x.shape
    sh, sw = as_pair(shift_size)
    shifted = np.zeros_like(x)
    for i in range(height):
        for j in range(width):
            shifted[:, i, j] = x[:, (i + sh) % height, (j + sw) % width]
    return shifted


def patches_by_loops(images, patch_size):
    """images (B, H, W, C) -> (B, patches, Ph * Pw * C), each in (row, column, channel) order."""
    batch, height, width, channels = images.shape
    ph, pw = as_pair(patch_size)
    rows, columns = count_windows((height, width), patch_size)
    patches = np.zeros((batch, rows * columns, ph * pw * channels), images.dtype)
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                patch = (i // ph) * columns + j // pw
                place = ((i % ph) * pw + j % pw) * channels + c
                patches[:, patch, place] = images[:, i, j, c]
    return patches


def diagonal_shifts_by_loops(images, shift):
    """images (B, H, W, C) -> (B, H, W, 5C): as they are, then looked at from four sides.

    The view to the left and up shows at (i, j) what lies `shift` rows higher and `shift` columns
    further left; then right and up, left and down, right and down. Beyond the edge lie zeros. The
    shift is an int or a pair.
    """
    batch, height, width, channels = images.shape
    rows, columns = as_pair(shift)
    views = np.zeros((batch, height, width, 5, channels), images.dtype)
    directions = (0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)
    for view, (down, right) in enumerate(directions):
        for i in range(height):
            for j in range(width):
                row, column = i + down * rows, j + right * columns
                if 0 <= row < height and 0 <= column < width:
                    views[:, i, j, view] = images[:, row, column]
    return views.reshape(batch, height, width, 5 * channels)


# Who may look at whom


def relative_position_row(dy, dx, window_size):
    """The row of the bias table for (query - key) = (dy, dx), |dy| < Mh and |dx| < Mw."""
    mh, mw = as_pair(window_size)
    return (dy + mh - 1) * (2 * mw - 1) + (dx + mw - 1)


def relative_position_index_by_loops(window_size):
    """(N, N) int64: the row of the bias table for each pair (query token, key token)."""
    mh, mw = as_pair(window_size)
    index = np.zeros((mh * mw, mh * mw), "int64")
    for query in range(mh * mw):
        for key in range(mh * mw):
            dy = query // mw - key // mw
            dx = query % mw - key % mw
            index[query, key] = relative_position_row(dy, dx, window_size)
    return index


def attn_mask_by_pixels(input_resolution, window_size, shift_size):
    """(nW, N, N) float32, 0 where two tokens of a window may look at each other, -100 elsewhere.

    The pixel at (i, j) of the shifted image has been taken over the lower edge (i + shift_h) // H
    times and over the right edge (j + shift_w) // W times. Two pixels that share a window were
    neighbours in the image as it was if, and only if, these counts are the same for both.
    """
    height, width = as_pair(input_resolution)
    mh, mw = as_pair(window_size)
    sh, sw = as_pair(shift_size)
    rows, columns = count_windows(input_resolution, window_size)

    mask = np.zeros((rows * columns, mh * mw, mh * mw), "float32")
    for window in range(rows * columns):
        top, left = (window // columns) * mh, (window % columns) * mw
        wraps = [
            ((top + i + sh) // height, (left + j + sw) // width)
            for i in range(mh)
            for j in range(mw)
        ]
        for query in range(mh * mw):
            for key in range(mh * mw):
                if wraps[query] != wraps[key]:
                    mask[window, query, key] = NOT_ALLOWED
    return mask


def attention_support_by_pixels(input_resolution, window_size, shift_size):
    """(H * W, H * W) bool: can the output at token [row] depend on the input at token [column]?

    Tokens are counted row by row in the image as it is, not as it is shifted. There, shifted
    windows are nothing but tiles of an endless plane whose corner lies at (shift_h, shift_w),
    cut off at the image's edges. The rest of a block works on one token at a time, so this is
    also the support of a whole block. (A mask of -100 leaves a weight near 4e-44 outside it.)
    """
    height, width = as_pair(input_resolution)
    sh, sw = as_pair(shift_size)
    count_windows(input_resolution, window_size)

    tile = [
        window_of_pixel(i - sh, j - sw, window_size) for i in range(height) for j in range(width)
    ]
    support = np.zeros((height * width, height * width), "bool")
    for query in range(height * width):
        for key in range(height * width):
            support[query, key] = tile[query] == tile[key]
    return support


# The layers


def dense(x, kernel, bias=None):
    """x (..., inputs) -> (..., outputs)."""
    return x @ kernel if bias is None else x @ kernel + bias


def layer_norm(x, gamma, beta, epsilon=1e-5):
    """x (..., C), normalised over C with the biased variance -> (..., C)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + epsilon) * gamma + beta


def gelu(x):
    """x times the standard normal distribution function at x: the exact GELU, any shape."""
    erf = np.vectorize(math.erf, otypes=["float64"])
    return x * (0.5 * (1.0 + erf(x / math.sqrt(2.0)))).astype(x.dtype)


def softmax(x):
    """x (..., n) -> (..., n), positive and summing to 1 over the last axis."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def head_slice(part, head, num_heads, channels):
    """Where q (part 0), k (1) or v (2) of one head lies in the last axis of a qkv output."""
    head_dim = channels // num_heads
    start = (part * num_heads + head) * head_dim
    return slice(start, start + head_dim)


def attend(tokens, weights, num_heads, table_rows, mask=0.0):
    """Multi-head attention among the tokens of one window.

    tokens (n, C), table_rows (n, n) int, mask: added to the scores, a number or (n, n).
    Returns (n, C), after the output projection.
    """
    channels = tokens.shape[-1]
    scale = (channels // num_heads) ** -0.5
    qkv = dense(tokens, weights["qkv.kernel"], weights.get("qkv.bias"))
    heads = []
    for head in range(num_heads):
        q, k, v = (qkv[:, head_slice(part, head, num_heads, channels)] for part in range(3))
        bias = weights["relative_position_bias_table"][table_rows, head]
        heads.append(softmax((q * scale) @ k.T + bias + mask) @ v)
    return dense(np.concatenate(heads, axis=-1), weights["proj.kernel"], weights["proj.bias"])


def window_attention(x, weights, window_size, num_heads, mask=None):
    """x (B * nW, N, C), mask (nW, N, N) or None -> (B * nW, N, C)."""
    table_rows = relative_position_index_by_loops(window_size)
    out = []
    for n, tokens in enumerate(x):
        window_mask = 0.0 if mask is None else mask[n % len(mask)].astype(x.dtype)
        out.append(attend(tokens, weights, num_heads, table_rows, window_mask))
    return np.stack(out)


def padded_window_attention(x, weights, window_size, shift_size, num_heads):
    """(Shifted) window attention on a grid of any size: x (B, H, W, C) -> (B, H, W, C).

    The grid is padded at the bottom and on the right until the window divides it, and the shift
    runs over the padded grid, as in Microsoft's Swin; x is what norm1 returns. Here the padding
    only decides which window a token falls in: padded tokens are absent, not zeros that could be
    attended to. Real tokens form one group for each window of the shifted grid and each wrap
    count (see `attn_mask_by_pixels`), and a group attends to itself, without any mask.
    """
    batch, height, width, _ = x.shape
    mh, mw = as_pair(window_size)
    sh, sw = as_pair(shift_size)
    padded_height, padded_width = math.ceil(height / mh) * mh, math.ceil(width / mw) * mw

    groups = defaultdict(list)
    for i in range(padded_height):
        for j in range(padded_width):
            row, column = (i + sh) % padded_height, (j + sw) % padded_width
            wraps = (i + sh) // padded_height, (j + sw) // padded_width
            if row < height and column < width:
                groups[window_of_pixel(i, j, window_size), wraps].append((row, column))

    out = np.zeros_like(x)
    for pixels in groups.values():
        table_rows = np.array(
            [
                [relative_position_row(qi - ki, qj - kj, window_size) for ki, kj in pixels]
                for qi, qj in pixels
            ]
        )
        for b in range(batch):
            tokens = np.stack([x[b, i, j] for i, j in pixels])
            attended = attend(tokens, weights, num_heads, table_rows)
            for (i, j), token in zip(pixels, attended, strict=True):
                out[b, i, j] = token
    return out


def swin_block(x, weights, grid, window_size, shift_size, num_heads):
    """x (B, H * W, C) on a grid (H, W) that the window divides -> (B, H * W, C)."""
    batch, length, channels = x.shape
    height, width = as_pair(grid)
    mh, mw = as_pair(window_size)
    sh, sw = as_pair(shift_size)
    mask = attn_mask_by_pixels(grid, window_size, shift_size) if sh or sw else None

    y = layer_norm(x, weights["norm1.gamma"], weights["norm1.beta"])
    y = shift_by_loops(y.reshape(batch, height, width, channels), (sh, sw))
    windows = windows_by_loops(y, window_size).reshape(-1, mh * mw, channels)
    windows = window_attention(windows, weights, window_size, num_heads, mask)
    y = image_by_loops(windows.reshape(-1, mh, mw, channels), window_size, height, width)
    x = x + shift_by_loops(y, (-sh, -sw)).reshape(batch, length, channels)

    y = layer_norm(x, weights["norm2.gamma"], weights["norm2.beta"])
    y = gelu(dense(y, weights["fc1.kernel"], weights["fc1.bias"]))
    return x + dense(y, weights["fc2.kernel"], weights["fc2.bias"])


def patch_merging(x, weights, grid):
    """x (B, H * W, C) -> (B, H * W / 4, 2C); each 2x2 square is joined column by column."""
    height, width = as_pair(grid)
    count_windows(grid, 2)
    squares = []
    for i in range(0, height, 2):
        for j in range(0, width, 2):
            corners = (i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1)
            squares.append(np.concatenate([x[:, r * width + c] for r, c in corners], axis=-1))
    return dense(np.stack(squares, axis=1), weights["reduction.kernel"])


# The published model


def published_swin(images, weights, patch_size=2, window_size=2, num_heads=8):
    """Class probabilities (B, classes) of images (B, 32, 32, 3); blocks shift by 0, 1, 0, 1, ..."""
    grid = count_windows(images.shape[1:3], patch_size)
    x = patches_by_loops(images, patch_size)
    x = dense(x, weights["embed.kernel"], weights["embed.bias"]) + weights["position"]
    for number, block in enumerate(weights["blocks"]):
        x = swin_block(x, block, grid, window_size, number % 2, num_heads)
    x = patch_merging(x, weights, grid).mean(axis=1)
    return softmax(dense(x, weights["head.kernel"], weights["head.bias"]))


def random_block_weights(rng, embed_dim, num_heads, window_size, mlp_dim, dtype="float64"):
    """A block's weights (keys above), none of them zero or one, from a numpy Generator."""
    mh, mw = as_pair(window_size)

    def normal(*shape, mean=0.0, std=0.5):
        return rng.normal(mean, std, shape).astype(dtype)

    return {
        "norm1.gamma": normal(embed_dim, mean=1.0),
        "norm1.beta": normal(embed_dim),
        "qkv.kernel": normal(embed_dim, 3 * embed_dim, std=embed_dim**-0.5),
        "qkv.bias": normal(3 * embed_dim),
        "relative_position_bias_table": normal((2 * mh - 1) * (2 * mw - 1), num_heads, std=1.0),
        "proj.kernel": normal(embed_dim, embed_dim, std=embed_dim**-0.5),
        "proj.bias": normal(embed_dim),
        "norm2.gamma": normal(embed_dim, mean=1.0),
        "norm2.beta": normal(embed_dim),
        "fc1.kernel": normal(embed_dim, mlp_dim, std=embed_dim**-0.5),
        "fc1.bias": normal(mlp_dim),
        "fc2.kernel": normal(mlp_dim, embed_dim, std=mlp_dim**-0.5),
        "fc2.bias": normal(embed_dim),
    }


def random_published_weights(rng, dtype="float64"):
    """The published model's weights (keys above), none of them zero, from a numpy Generator."""

    def normal(*shape, std=0.5):
        return rng.normal(0.0, std, shape).astype(dtype)

    return {
        "embed.kernel": normal(12, 64),
        "embed.bias": normal(64),
        "position": normal(256, 64),
        "blocks": [random_block_weights(rng, 64, 8, 2, 256, dtype) for _ in range(2)],
        "reduction.kernel": normal(256, 128, std=256**-0.5),
        "head.kernel": normal(128, 100, std=0.3),
        "head.bias": normal(100),
    }
