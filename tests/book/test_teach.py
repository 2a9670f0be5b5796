from textwrap import indent

import numpy as np
import pytest
from keras import ops

from smallvit.book.teach import check_function, check_value, show_source
from smallvit.layers.windows import window_partition


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (..., "Not answered yet"),
        (64, "Correct."),
        (np.float32(64), "Correct."),
        (63, "Not yet: 63 is not it. Count again."),
        ([64, 64], "Not yet: [64, 64] is not it."),
        (np.zeros((5, 5)), "Not yet: an array of shape (5, 5) is not it."),
    ],
)
def test_a_value_is_checked(capsys, answer, printed):
    check_value(answer, 64, "Count again.")
    assert capsys.readouterr().out.startswith(printed)


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (lambda a, b: ..., "Not answered yet"),
        (lambda a, b: ops.add(a, b), "Correct."),
        (lambda a, b: a * b, "Not yet: for (1, 2) it gives 2; expected 3."),
    ],
)
def test_a_function_is_checked_case_by_case(capsys, answer, printed):
    check_function(answer, lambda a, b: a + b, [(0, 0), (1, 2)])
    assert capsys.readouterr().out.startswith(printed)


def test_the_source_is_shown_as_it_is():
    shown = show_source(window_partition).data
    assert shown.startswith("```python\ndef window_partition(")
    assert "ops.transpose(x, (0, 1, 3, 2, 4, 5))" in shown


class Documented:
    """A class."""

    def double(self, x):
        """Not shown.

        Nor this.
        """
        text = """shown"""
        return text, 2 * x


def test_the_source_is_shown_without_docstrings():
    method = """def double(self, x):
    text = \"\"\"shown\"\"\"
    return text, 2 * x"""
    assert show_source(Documented.double).data == f"```python\n{method}\n```"
    whole = "class Documented:\n" + indent(method, "    ")
    assert show_source(Documented).data == f"```python\n{whole}\n```"
