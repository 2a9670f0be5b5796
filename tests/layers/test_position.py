import numpy as np
import pytest
import reference

from smallvit.layers.position import get_relative_position_index


@pytest.mark.parametrize("window", [1, 2, 4, 7, (2, 4), (3, 5), (1, 6)])
def test_index_against_a_double_loop(window):
    index = get_relative_position_index(window)
    assert index.dtype == "int32"
    np.testing.assert_array_equal(index, reference.relative_position_index_by_loops(window))


@pytest.mark.parametrize("window", [(3, 3), (2, 4), (3, 5)])
def test_every_row_of_the_table_is_read(window):
    height, width = window
    rows = np.unique(get_relative_position_index(window))
    np.testing.assert_array_equal(rows, np.arange((2 * height - 1) * (2 * width - 1)))
