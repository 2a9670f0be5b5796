"""An exercise's check tells an empty answer, a plausible wrong one and the solution apart.

Wrong answers are kept in `wrong_answers/`, one file per chapter, each under a comment
`# Exercise N: what is wrong`.
"""

import ast
import re
from dataclasses import dataclass
from symtable import symtable

import nbformat
import pytest
from built import ROOT, notebooks
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

WRONG_ANSWERS = ROOT / "tests" / "pages" / "wrong_answers"
EXERCISE = re.compile(r"^# Exercise (\d+).*\n", re.MULTILINE)
SOLUTION = re.compile(r"<summary>Solution</summary>.*?```python\n(.*?)```", re.DOTALL)


@dataclass
class Exercise:
    """A cell to answer: its source, and the texts that go into the place of its first paragraph."""

    source: str
    solution: str
    wrong: str | None

    def answered(self, answer):
        return f"{answer}\n\n{self.check}"

    @property
    def check(self):
        return self.source.split("\n\n", maxsplit=1)[1]


def read_exercises(name):
    """The cells of a chapter and its exercises, by the number of their cell."""
    cells = nbformat.read((ROOT / name).with_suffix(".ipynb"), as_version=4).cells
    path = (WRONG_ANSWERS / name.removeprefix("book/")).with_suffix(".py")
    _, *parts = EXERCISE.split(path.read_text()) if path.exists() else [""]
    wrong = {int(n): text.strip() for n, text in zip(parts[::2], parts[1::2], strict=True)}
    exercises, last_code = {}, None
    for number, cell in enumerate(cells):
        if cell.cell_type == "code":
            last_code = number
        for solution in SOLUTION.findall(cell.source)[:1]:
            source, count = cells[last_code].source, len(exercises) + 1
            exercises[last_code] = Exercise(source, solution, wrong.pop(count, None))
    assert not wrong, f"{path}: there is no exercise {list(wrong)}"
    return cells, exercises


def names_of(source):
    """The global names that a cell gives a value, or changes in place, and those that it reads."""

    def reads(table, outermost):
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (outermost or symbol.is_global()):
                yield symbol.get_name()
        for inner in table.get_children():
            yield from reads(inner, False)

    table = symtable(source, "cell", "exec")
    given = {x.get_name() for x in table.get_symbols() if x.is_assigned() or x.is_imported()}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            while isinstance(node, ast.Subscript | ast.Attribute):
                node = node.value
            given.add(getattr(node, "id", None))
    return given, set(reads(table, True))


def needed_cells(sources, exercises):
    """The numbers of the cells that exercises depend on, and their own: most others only draw."""
    needed, wanted = [], set()
    for number in sorted(sources, reverse=True):
        given, read = names_of(sources[number])
        if number in exercises:
            read |= names_of(exercises[number].solution)[1]
        if number in exercises or given & wanted:
            needed.append(number)
            wanted |= read
    return needed[::-1]


@pytest.fixture(scope="module", params=notebooks())
def tried(request):
    """What each exercise of a chapter prints when unanswered, answered wrongly, and solved."""
    cells, exercises = read_exercises(request.param)
    shell, printed = InteractiveShell(), []

    def run(source):
        with capture_output() as captured:
            shell.run_cell(source).raise_error()
        return captured.stdout.strip().splitlines()

    sources = {
        number: shell.transform_cell(cell.source)
        for number, cell in enumerate(cells)
        if cell.cell_type == "code"
    }
    for number in needed_cells(sources, exercises):
        outcomes = [run(sources[number])]
        if number in exercises:
            exercise = exercises[number]
            answers = (exercise.wrong or "", exercise.solution)
            outcomes += [run(exercise.answered(answer)) for answer in answers if answer]
            printed.append(outcomes)
    return printed


def test_only_what_an_exercise_depends_on_is_run():
    sources = {
        1: "import numpy as np",
        2: "table = np.zeros(3)",
        3: "print('a drawing')",
        5: "table[0] = 1",
        7: "n = ...\n\ncheck(n, table)",
    }
    exercise = Exercise(sources[7], "n = size + 1", "")
    assert needed_cells(sources, {7: exercise}) == [1, 2, 5, 7]
    assert needed_cells({**sources, 4: "size = 2"}, {7: exercise}) == [1, 2, 4, 5, 7]


def test_chapters_have_exercises_and_know_an_unanswered_one(tried):
    assert len(tried) >= 2
    for unanswered, *_ in tried:
        assert any(line.startswith("Not answered yet") for line in unanswered)


def test_solutions_pass_their_own_checks(tried):
    for *_, solved in tried:
        assert set(solved) == {"Correct."}


def test_plausible_wrong_answers_do_not_pass(tried):
    for _, wrong, _ in tried:
        assert any(line.startswith("Not yet") for line in wrong)
        assert not any(line.startswith("Not answered yet") for line in wrong)


def shapes_of(source, whole):
    """Expressions of a text, with every name replaced by the order in which it first occurs.

    Args:
        source: Python.
        whole: whether to look only at what functions return and the reader assigns, not at parts.
    """
    tree = ast.parse(source)
    nodes = ast.walk(tree)
    if whole:
        returned = (node for node in nodes if isinstance(node, ast.Return))
        given = (node for node in tree.body if isinstance(node, ast.Assign))
        nodes = [node.value for node in (*returned, *given)]
    for node in nodes:
        if isinstance(node, ast.BinOp | ast.Call | ast.Subscript | ast.Compare | ast.ListComp):
            order = {}

            def rename(match, order=order):
                return f"Name({order.setdefault(match[1], len(order))}"

            yield re.sub(r"Name\(id='(\w+)'", rename, ast.dump(node))


def is_plain(node):
    """Whether an expression computes with nothing but numbers and names."""
    parts = ast.walk(node)
    return not any(isinstance(x, ast.Call | ast.Subscript | ast.Attribute) for x in parts)


def shown_answers(exercise):
    """What a check's own source gives away of its answer."""
    tree = ast.parse(exercise.check)
    assigned = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "").startswith("check_"):
            expected = call.args[1]
            expected = assigned.get(getattr(expected, "id", None), expected)
            computed = not isinstance(expected, ast.Name | ast.Constant | ast.List)
            number = isinstance(expected, ast.Constant) and not isinstance(expected.value, str)
            if number or (computed and is_plain(expected)) or isinstance(expected, ast.Lambda):
                yield ast.unparse(expected)
    given_away = {*shapes_of(exercise.solution, whole=True)} & {*shapes_of(exercise.check, False)}
    yield from sorted(given_away)


@pytest.mark.parametrize("name", notebooks())
def test_checks_do_not_show_the_answer(name):
    for exercise in read_exercises(name)[1].values():
        assert exercise.wrong, "keep a plausible wrong answer in tests/pages/wrong_answers"
        assert list(shown_answers(exercise)) == []


@pytest.mark.parametrize(
    ("check", "shows"),
    [
        ('check_value(n, "0123abcd", "")', False),
        ("check_value(n, (72 // 6) ** 2, '')", True),
        ("check_value(n, 144, '')", True),
        ("right = total - 3 * 5\ncheck_value(n, right, '')", True),
        ("def slow(a):\n    return len(list(range(a)))\n\ncheck_value(n, slow(3), '')", False),
        ("check_function(n, lambda p: len(p), [])", True),
        ("def same(q):\n    return 1 - (1 - q) ** 2\n\ncheck_function(n, same, [])", True),
        ("check_function(n, ['0123abcd'], [])", False),
    ],
)
def test_an_answer_in_sight_is_found(check, shows):
    exercise = Exercise(f"n = ...\n\n{check}", "def n(p):\n    return 1 - (1 - p) ** 2", "")
    assert bool(list(shown_answers(exercise))) == shows
