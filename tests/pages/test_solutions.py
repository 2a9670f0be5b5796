"""An exercise's check knows an empty answer, a plausible wrong one and the hidden solution apart.

Wrong answers are kept in `wrong_answers/`, one file a chapter, under a comment `# Exercise N` each.
"""

import re

import nbformat
import pytest
from conftest import ROOT, notebooks
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

WRONG_ANSWERS = ROOT / "tests" / "pages" / "wrong_answers"
EXERCISE = re.compile(r"^# Exercise (\d+).*\n", re.MULTILINE)
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


def wrong_answers(name):
    """Text of each wrong answer that is kept for a chapter, by number of the exercise."""
    path = (WRONG_ANSWERS / name.removeprefix("book/")).with_suffix(".py")
    _, *parts = EXERCISE.split(path.read_text()) if path.exists() else [""]
    return {int(number): text.strip() for number, text in zip(parts[::2], parts[1::2], strict=True)}


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


@pytest.mark.parametrize("name", [name for name in notebooks() if wrong_answers(name)])
def test_plausible_wrong_answers_do_not_pass(name):
    cells, solutions = exercises((ROOT / name).with_suffix(".ipynb"))
    numbers, wrong = list(solutions), wrong_answers(name)
    assert list(wrong) == list(range(1, 1 + len(numbers)))
    shell = InteractiveShell()
    for number, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        with capture_output():
            shell.run_cell(cell.source).raise_error()
        if number in solutions:
            answer = wrong[1 + numbers.index(number)]
            with capture_output() as checked:
                shell.run_cell(answered(cell.source, answer)).raise_error()
            assert "Not yet" in checked.stdout
            assert "Not answered yet" not in checked.stdout
