from itertools import product

import numpy as np
import pytest
import reference
from keras import ops

from smallvit.layers.masks import FORBIDDEN, get_attn_mask, get_diagonal_mask, masked_softmax
from smallvit.layers.sizes import clamp_window

# Every window from 1 x 1 to 4 x 4, two or three windows along each axis, shifts from 0 up.
DIVISIBLE = [
    ((rows * mh, columns * mw), (mh, mw), (sh, sw))
    for mh, mw in product(range(1, 5), repeat=2)
    for rows, columns in [(2, 2), (3, 2)]
    for sh, sw in {(0, mw // 2), (mh // 2, 0), (mh // 2, mw // 2), (mh - 1, mw - 1)}
    if (sh, sw) != (0, 0)
]
PADDED = [((7, 8), 4, 2), ((5, 5), 2, 1), ((9, 7), (4, 3), (2, 1)), ((5, 6), 4, 0), ((3, 9), 4, 2)]


def test_there_are_enough_cases():
    assert len(DIVISIBLE) >= 50


@pytest.mark.parametrize(("grid", "window", "shift"), DIVISIBLE)
def test_mask_against_regions_of_the_shifted_image(grid, window, shift):
    mask = get_attn_mask(grid, window, shift)
    assert mask.dtype == "float32"
    np.testing.assert_array_equal(mask, reference.attn_mask_by_pixels(grid, window, shift))


@pytest.mark.parametrize(("grid", "window", "shift"), PADDED)
def test_padding_and_tokens_never_attend_to_each_other(grid, window, shift):
    (mh, mw), (sh, sw) = clamp_window(grid, window, shift)
    height, width = -(-grid[0] // mh) * mh, -(-grid[1] // mw) * mw
    columns = width // mw
    there = np.zeros((height, width), bool)
    there[: grid[0], : grid[1]] = True
    mask = get_attn_mask(grid, window, shift)
    assert mask.shape == (height * width // (mh * mw), mh * mw, mh * mw)
    for number, window_mask in enumerate(mask):
        top, left = number // columns * mh, number % columns * mw
        valid = [
            there[(top + i + sh) % height, (left + j + sw) % width]
            for i, j in product(range(mh), range(mw))
        ]
        crossing = np.not_equal.outer(valid, valid)
        assert (window_mask[crossing] == -100).all()
        assert (np.diag(window_mask) == 0).all()


@pytest.mark.parametrize(
    ("grid", "window", "shift"), [((8, 8), 4, 0), ((4, 4), 4, 2), ((2, 3), 7, 3)]
)
def test_no_mask_without_a_shift(grid, window, shift):
    assert get_attn_mask(grid, window, shift) is None


def test_a_window_of_two_shifted_by_one_leaves_four_lone_tokens_in_the_corner():
    corner = get_attn_mask((4, 4), 2, 1)[-1]
    np.testing.assert_array_equal(corner == 0, np.eye(4, dtype=bool))


def test_the_diagonal_mask_masks_the_diagonal_and_stays_finite_in_float16():
    mask = get_diagonal_mask(3)
    assert mask.shape == (1, 3, 3)
    np.testing.assert_array_equal(mask[0] == 0, ~np.eye(3, dtype=bool))
    assert np.isfinite(mask.astype("float16")).all()
    assert mask.min() < -1000


@pytest.mark.parametrize("score", [-2e4, 0.0, 2e4])
def test_what_is_forbidden_gets_no_attention_whatever_the_score(score):
    mask = np.array([[[0, -100], [FORBIDDEN, FORBIDDEN]]], "float32")
    scores = np.full((3, 1, 2, 2), score, "float32")
    weights = ops.convert_to_numpy(masked_softmax(scores, mask))[:, 0, 0]
    np.testing.assert_array_equal(weights[:, 0, 1], 0)
    np.testing.assert_array_equal(weights[:, 1], 0)
