"""What a chapter needs beside its figures: the package's own source, and checks of exercises."""

import ast
import inspect
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from textwrap import dedent
from typing import Any

import numpy as np
from keras import ops

NOT_ANSWERED = "Not answered yet: replace the three dots."


def show_source(*objects: Any) -> Any:
    """Show the source of functions or classes, highlighted, without docstrings.

    Args:
        *objects: functions, methods, classes or modules of this package, or of any other.

    Returns:
        What a notebook shows as Markdown.
    """
    from IPython.display import Markdown

    sources = (dedent(inspect.getsource(thing)).rstrip() for thing in objects)
    shown = "\n\n".join(without_docstrings(source) for source in sources)
    return Markdown(f"```python\n{shown}\n```")


def without_docstrings(source: str) -> str:
    """Source without the docstrings of its modules, classes and functions."""
    lines = source.splitlines()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            text = node.body[0]
            first, last = text.lineno - 1, text.end_lineno
            last += lines[last : last + 1] == [""]
            filler = " " * text.col_offset + "pass" if len(node.body) == 1 else None
            lines[first:last] = [filler] + [None] * (last - first - 1)
    return "\n".join(line for line in lines if line is not None)


def check_value(answer: Any, expected: Any, hint: str) -> None:
    """Print whether an answer is right.

    Args:
        answer: the reader's; `...` as long as there is none.
        expected: a number, array or tensor, a tuple of numbers, or the `seal` of any of these.
        hint: what to think of if the answer is wrong.
    """
    if _is_open(answer):
        print(NOT_ANSWERED)
    elif _same(answer, expected):
        print("Correct.")
    else:
        print(f"Not yet: {_shown(answer)} is not it. {hint}")


def seal(value: Any) -> str:
    """A digest of numbers, for a check that must not show what it expects.

    Args:
        value: a number, array or tensor, or a tuple of numbers. Integers count exactly, other
            numbers to six digits.

    Returns:
        Eight hexadecimal digits, to put where a check expects the value.
    """
    array = np.asarray(_to_numpy(value), "float64")
    digits = [
        f"{round(x)}" if np.isclose(x, round(x), rtol=1e-9, atol=1e-9) else f"{x:.6g}"
        for x in array.flat
    ]
    return sha256(f"smallvit {array.shape} {digits}".encode()).hexdigest()[:8]


def check_function(
    answer: Callable, expected: Callable | Sequence[str], cases: Iterable[tuple]
) -> None:
    """Print whether a function is right, or the first case in which it is not.

    Args:
        answer: the reader's function; it returns `...` as long as there is none.
        expected: the function it should agree with, or the `seal` of its result in each case.
        cases: positional arguments to call both with.
    """
    for n, arguments in enumerate(cases):
        got = answer(*(x.copy() if isinstance(x, np.ndarray) else x for x in arguments))
        if _is_open(got):
            print(NOT_ANSWERED)
            return
        wanted = expected(*arguments) if callable(expected) else expected[n]
        if not _same(got, wanted):
            shown = ", ".join(map(_shown, arguments))
            instead = "" if isinstance(wanted, str) else f"; expected {_shown(wanted)}"
            print(f"Not yet: for ({shown}) it gives {_shown(got)}{instead}.")
            return
    print("Correct.")


def _is_open(answer: Any) -> bool:
    return answer is ... or (isinstance(answer, tuple) and any(part is ... for part in answer))


def _same(answer: Any, expected: Any) -> bool:
    try:
        answer = np.asarray(_to_numpy(answer), "float64")
    except (TypeError, ValueError):  # a function, a text, rows of different lengths
        return False
    if isinstance(expected, str):  # the seal of an answer
        if not np.isfinite(answer).all():
            return False
        # A number at the border of two roundings has two seals; an integer has one.
        near = (0,) if np.equal(answer, np.round(answer)).all() else (0, -1e-6, 1e-6)
        return expected in [seal(answer * (1 + x)) for x in near]
    expected = _to_numpy(expected)
    return answer.shape == expected.shape and np.allclose(answer, expected, atol=1e-5)


def _to_numpy(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value) if hasattr(value, "shape") else value)


def _shown(value: Any) -> str:
    """A value in short: small ones as they are, large arrays by their shape."""
    try:
        array = _to_numpy(value)
    except ValueError:  # rows of different lengths
        return repr(value)
    return str(array.tolist()) if array.size <= 4 else f"an array of shape {array.shape}"
