"""What a chapter needs beside its figures: the package's own source, and checks of exercises."""

import ast
import inspect
from collections.abc import Callable, Iterable
from textwrap import dedent
from typing import Any

import numpy as np
from keras import ops

NOT_ANSWERED = "Not answered yet: put your own in place of the three dots."


def show_source(*objects: Any) -> Any:
    """Show the source of functions or classes, highlighted, without docstrings.

    Args:
        *objects: functions, methods, classes or modules of this package, or of any other.

    Returns:
        What a notebook shows as Markdown.
    """
    from IPython.display import Markdown

    sources = "\n\n".join(map(_source_without_docstrings, objects))
    return Markdown(f"```python\n{sources}\n```")


def check_value(answer: Any, expected: Any, hint: str) -> None:
    """Print whether an answer is right.

    Args:
        answer: the reader's, `...` as long as there is none.
        expected: a number, array or tensor, or a tuple of numbers.
        hint: what to think of where the answer is wrong.
    """
    if answer is ...:
        print(NOT_ANSWERED)
    elif _same(answer, expected):
        print("Correct.")
    else:
        print(f"Not yet: {_shown(answer)} is not it. {hint}")


def check_function(answer: Callable, expected: Callable, cases: Iterable[tuple]) -> None:
    """Print whether a function does what another does, or the first case where it does not.

    Args:
        answer: the reader's function; it returns `...` as long as there is none.
        expected: the function it should equal.
        cases: positional arguments to call both with.
    """
    for arguments in cases:
        got = answer(*arguments)
        if got is ...:
            print(NOT_ANSWERED)
            return
        wanted = expected(*arguments)
        if not _same(got, wanted):
            shown = ", ".join(map(_shown, arguments))
            print(f"Not yet: for ({shown}) it gives {_shown(got)}; expected {_shown(wanted)}.")
            return
    print("Correct.")


def _source_without_docstrings(thing: Any) -> str:
    source = dedent(inspect.getsource(thing)).rstrip()
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno
            last += lines[last : last + 1] == [""]
            lines[first:last] = [None] * (last - first)
    return "\n".join(line for line in lines if line is not None)


def _same(answer: Any, expected: Any) -> bool:
    answer, expected = _to_numpy(answer), _to_numpy(expected)
    return answer.shape == expected.shape and np.allclose(answer, expected, atol=1e-5)


def _to_numpy(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value) if hasattr(value, "shape") else value)


def _shown(value: Any) -> str:
    """A value in short: small ones as they are, large arrays by their shape."""
    array = _to_numpy(value)
    return str(array.tolist()) if array.size <= 4 else f"an array of shape {array.shape}"
