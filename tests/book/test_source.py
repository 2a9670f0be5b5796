import ast
import json
import re
from importlib import import_module
from pathlib import Path
from textwrap import indent

import pytest

from smallvit.book.teach import show_source, without_docstrings
from smallvit.layers.windows import window_partition


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


def shown_in_chapters():
    """Names that chapters give to `show_source`, with the line that imports each."""
    for path in sorted((Path(__file__).parents[2] / "book").rglob("*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        plain = [re.sub(r"(?m)^( *)%.*", r"\1pass", text) for text in code]
        nodes = [node for text in plain for node in ast.walk(ast.parse(text))]
        imports = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "show_source":
                for argument in map(ast.unparse, node.args):
                    yield pytest.param(imports, argument, id=f"{path.stem}-{argument}")


SHOWN = list(shown_in_chapters())


def test_chapters_show_sources():
    assert len(SHOWN) > 20


@pytest.mark.parametrize(("imports", "argument"), SHOWN)
def test_what_a_chapter_shows_fits_the_page_and_is_python(imports, argument):
    module, name = imports[argument.partition(".")[0]]
    first = getattr(import_module(module), name)
    text = show_source(eval(argument, {argument.partition(".")[0]: first})).data
    lines = text.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    ast.parse("\n".join(lines[1:-1]))
