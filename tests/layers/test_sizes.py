import pytest

from smallvit.layers.sizes import clamp_window, pad_to_multiple, to_pair


def test_an_int_means_both_axes():
    assert to_pair(3) == (3, 3)
    assert to_pair([2, 5]) == (2, 5)


@pytest.mark.parametrize("size", [0, (2, 0), (1, 2, 3), (2.0, 2)])
def test_bad_sizes_are_named(size):
    with pytest.raises(ValueError, match="window_size must be an int or"):
        to_pair(size, "window_size")


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
