import numpy as np
import pytest
import reference
from keras import ops

from smallvit.layers.windows import window_partition, window_reverse

CASES = [((4, 4), 2), ((8, 8), 4), ((6, 4), (3, 2)), ((2, 9), (1, 3)), ((5, 5), 5), ((3, 4), 1)]


def numbered(batch, height, width, channels=3):
    """Arrays whose every value is different, so that none can stand in for another."""
    size = batch * height * width * channels
    return np.arange(size, dtype="int32").reshape(batch, height, width, channels)


@pytest.mark.parametrize(("grid", "window"), CASES)
def test_partition_puts_each_pixel_in_its_window(grid, window):
    x = numbered(2, *grid)
    windows = ops.convert_to_numpy(window_partition(x, window))
    np.testing.assert_array_equal(windows, reference.windows_by_loops(x, window))


@pytest.mark.parametrize(("grid", "window"), CASES)
def test_reverse_undoes_partition(grid, window):
    x = numbered(2, *grid)
    restored = window_reverse(window_partition(x, window), window, *grid)
    np.testing.assert_array_equal(ops.convert_to_numpy(restored), x)


@pytest.mark.parametrize(("grid", "window"), CASES)
def test_partition_undoes_reverse(grid, window):
    windows = reference.windows_by_loops(numbered(2, *grid), window)
    again = window_partition(window_reverse(windows, window, *grid), window)
    np.testing.assert_array_equal(ops.convert_to_numpy(again), windows)


def test_dtype_is_kept():
    assert ops.dtype(window_partition(np.zeros((1, 4, 4, 1), "uint8"), 2)) == "uint8"


def test_a_window_that_does_not_divide_the_grid_is_refused():
    with pytest.raises(ValueError, match="window_size of 3 x 3 does not divide a grid of 4 x 6"):
        window_partition(np.zeros((1, 4, 6, 1)), 3)
    with pytest.raises(ValueError, match="does not divide"):
        window_reverse(np.zeros((4, 3, 3, 1)), 3, 4, 6)


def test_arrays_of_another_form_are_refused():
    with pytest.raises(ValueError, match="got shape \\(4, 4\\)"):
        window_partition(np.zeros((4, 4)), 2)
    with pytest.raises(ValueError, match="windows must be"):
        window_reverse(np.zeros((4, 2, 2, 1)), 4, 4, 4)
    with pytest.raises(ValueError, match="windows must be"):
        window_reverse(np.zeros((4, 2, 2)), 2, 4, 4)


def test_windows_that_make_no_whole_image_are_counted():
    with pytest.raises(ValueError, match="has 4 windows, which do not divide 3"):
        window_reverse(np.zeros((3, 2, 2, 1), "float32"), 2, 4, 4)
    with pytest.raises(ValueError, match=r"^The grid must be"):
        window_reverse(np.zeros((4, 2, 2, 1), "float32"), 2, 0, 4)
