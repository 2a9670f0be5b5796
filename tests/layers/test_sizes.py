import numpy as np
import pytest

from smallvit.layers.attention import LocalitySelfAttention, SelfAttention
from smallvit.layers.blocks import Mlp, SwinTransformerBlock, TransformerBlock
from smallvit.layers.patches import PatchEmbed, PatchMerging, ShiftedPatchTokenization, patchify
from smallvit.layers.sizes import clamp_window, pad_to_multiple, to_count, to_pair


def test_an_int_means_both_axes():
    assert to_pair(3) == (3, 3)
    assert to_pair([2, 5]) == (2, 5)


@pytest.mark.parametrize("size", [np.int64(3), np.array([3, 3]), (np.int32(3), 3)])
def test_numpys_integers_are_integers(size):
    assert to_pair(size) == (3, 3)
    assert all(type(n) is int for n in to_pair(size))
    assert to_count(np.uint8(7), "heads") == 7


@pytest.mark.parametrize(
    "size",
    [0, -1, True, 2.0, None, "22", (), (2, 0), (1, 2, 3), (2.0, 2), (True, 2), np.float32(2)],
)
def test_bad_sizes_are_named(size):
    with pytest.raises(ValueError, match="window_size must be an int or"):
        to_pair(size, "window_size")


@pytest.mark.parametrize("count", [0, -2, True, 2.0, None, "2", (2,)])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (SelfAttention, "num_heads"),
        (lambda n: LocalitySelfAttention(2, n if n is not None else 0), "key_dim"),
        (TransformerBlock, "num_heads"),
        (lambda n: SwinTransformerBlock(n, 2), "num_heads"),
        (Mlp, "hidden_dim"),
        (lambda n: PatchEmbed(2, n), "embed_dim"),
        (PatchMerging, "embed_dim"),
        (lambda n: ShiftedPatchTokenization(2, n), "embed_dim"),
    ],
)
def test_bad_counts_are_named(make, name, count):
    with pytest.raises(ValueError, match=f"^{name} must be an integer of at least 1; got"):
        make(count)


@pytest.mark.parametrize("layer", [PatchEmbed, ShiftedPatchTokenization])
@pytest.mark.parametrize("size", [0, True, (2, 2, 2), None])
def test_a_bad_patch_size_is_not_called_a_window(layer, size):
    with pytest.raises(ValueError, match=r"^patch_size must be an int or"):
        layer(size, 8)


@pytest.mark.parametrize("cut", [lambda x: patchify(x, (3, 2)), PatchEmbed((3, 2), 8)])
def test_a_patch_that_does_not_divide_is_not_called_a_window(cut):
    with pytest.raises(ValueError, match=r"^A patch_size of 3 x 2 does not divide a grid of 8 x 8"):
        cut(np.zeros((1, 8, 8, 3), "float32"))


@pytest.mark.parametrize(
    ("grid", "window", "shift", "expected"),
    [
        ((16, 16), 4, 2, ((4, 4), (2, 2))),
        ((4, 4), 4, 2, ((4, 4), (0, 0))),
        ((3, 16), 4, 2, ((3, 4), (0, 2))),
        ((16, 4), (2, 4), (1, 2), ((2, 4), (1, 0))),
        ((2, 2), 7, 3, ((2, 2), (0, 0))),
    ],
)
def test_a_window_is_cut_to_the_grid_axis_by_axis(grid, window, shift, expected):
    assert clamp_window(grid, window, shift) == expected


def test_a_shift_stays_below_its_window():
    with pytest.raises(ValueError, match="shift_size must be smaller"):
        clamp_window(8, 4, 4)


def test_pad_to_multiple():
    assert pad_to_multiple((7, 8), (3, 4)) == (9, 8)
