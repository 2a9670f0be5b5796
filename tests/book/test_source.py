import ast
import inspect
import pkgutil
from importlib import import_module
from textwrap import indent

import pytest

import smallvit
from smallvit.book.source import fit, show_source, without_docstrings
from smallvit.layers.windows import window_partition

MODULES = [
    module.name
    for module in pkgutil.walk_packages(smallvit.__path__, "smallvit.")
    if not module.ispkg and not module.name.startswith(("smallvit.book", "smallvit.__"))
]


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


def test_what_has_a_docstring_only_is_still_python():
    source = 'class Empty(Exception):\n    """Nothing.\n\n    At all."""'
    assert without_docstrings(source) == "class Empty(Exception):\n    pass"


@pytest.mark.parametrize("name", MODULES)
def test_every_source_fits_the_page_and_means_the_same(name):
    source = without_docstrings(inspect.getsource(import_module(name)).rstrip())
    narrow = fit(source)
    assert ast.dump(ast.parse(narrow)) == ast.dump(ast.parse(source))
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            shown = fit(ast.get_source_segment(source, node))
            assert [line for line in shown.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("x" * 81, ["x" * 81]),
        (f"f({'a' * 40}, {'b' * 40})", ["f(", f"    {'a' * 40},", f"    {'b' * 40},", ")"]),
        (f"return {'a' * 40} if c else {'b' * 40}", None),
        (f"    y = 1  # {'word ' * 20}", None),
        (f'    raise ValueError(f"{"word " * 12}{{x!r}} {"word " * 12}")', None),
        (f"x = [{'a' * 30} for {'a' * 30}, b in {'c' * 20}]", None),
    ],
)
def test_long_lines_are_broken_where_a_formatter_would(line, lines):
    broken = fit(line.strip()).splitlines()
    assert lines in (None, broken)
    assert lines or max(map(len, broken)) <= 80
    assert ast.dump(ast.parse("\n".join(broken))) == ast.dump(ast.parse(line.strip()))
