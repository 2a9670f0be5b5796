"""Every exercise says so when it is unanswered, and its hidden solution passes its own check."""

import re

import nbformat
import pytest
from conftest import ROOT, notebooks
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

SOLUTION = re.compile(r"<summary>Solution</summary>.*?```python\n(.*?)```", re.DOTALL)


def exercises(path):
    """Number of the exercise cell and text of its solution, pair by pair."""
    cells = nbformat.read(path, as_version=4).cells
    pairs, last_code = [], None
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            last_code = number
        else:
            pairs += [(last_code, text) for text in SOLUTION.findall(cell.source)[:1]]
    return cells, dict(pairs)


def answered(source, solution):
    """The exercise cell with its first paragraph, the reader's part, replaced by the solution."""
    _, check = source.split("\n\n", maxsplit=1)
    return f"{solution}\n\n{check}"


@pytest.mark.parametrize("name", notebooks())
def test_solutions_pass_their_own_checks(name):
    cells, solutions = exercises((ROOT / name).with_suffix(".ipynb"))
    assert len(solutions) >= 2
    shell = InteractiveShell()
    for number, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        with capture_output() as unanswered:
            shell.run_cell(cell.source).raise_error()
        if number in solutions:
            assert "Not answered yet" in unanswered.stdout
            with capture_output() as solved:
                shell.run_cell(answered(cell.source, solutions[number])).raise_error()
            verdicts = solved.stdout.strip().splitlines()
            assert verdicts, "the check said nothing"
            assert set(verdicts) == {"Correct."}
