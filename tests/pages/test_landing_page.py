"""What the landing page's figure, and README's picture, say about windows is true."""

import runpy

import numpy as np
import pytest
from built import ROOT
from reference import attention_support_by_pixels

PARTS = runpy.run_path(str(ROOT / "book" / "_ext" / "page_parts.py"))


@pytest.mark.parametrize("shift", [0, 2])
def test_a_token_has_heard_from_those_that_windows_of_the_whole_image_connect(shift):
    side, token = PARTS["SIDE"], PARTS["SIDE"] * PARTS["TOKEN"][0] + PARTS["TOKEN"][1]
    plain, other = (
        attention_support_by_pixels((side, side), PARTS["WINDOW"], by).astype(int)
        for by in (0, shift)
    )
    reach = np.eye(side**2, dtype=int)
    for blocks in range(1, 6):
        reach = (plain if blocks % 2 else other) @ reach > 0
        heard = PARTS["heard_from"](blocks, shift)
        np.testing.assert_array_equal(heard.ravel(), reach[token])
        reach = reach.astype(int)
