"""The package's own source as a chapter shows it: without docstrings, at most 80 columns wide."""

import ast
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent, wrap
from typing import Any

WIDTH = 80

_TOKEN = re.compile(r"""[rbfu]*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|[([{]|[)\]}]|#.*|,|\w+|.""")
_BREAKS = {"for", "if", "else", "and", "or"}


def show_source(*objects: Any) -> Any:
    """Show the source of functions or classes, highlighted, without docstrings.

    Args:
        *objects: functions, methods, classes or modules of this package, or of any other.

    Returns:
        What a notebook shows as Markdown.
    """
    from IPython.display import Markdown

    sources = "\n\n".join(
        fit(without_docstrings(dedent(inspect.getsource(thing)).rstrip())) for thing in objects
    )
    return Markdown(f"```python\n{sources}\n```")


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


def fit(source: str) -> str:
    """Source with its long lines broken in the brackets, as a formatter would."""
    text = set()  # Lines of strings in three quotes stay as they are.
    for node in ast.walk(ast.parse(source)):
        is_string = isinstance(node, ast.Constant | ast.JoinedStr)
        if is_string and '"' * 3 in ast.get_source_segment(source, node):
            text.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return "\n".join(
        part for n, line in lines for part in ([line] if n in text else _fit_line(line))
    )


def _fit_line(line: str) -> Iterator[str]:
    if len(line) <= WIDTH:
        yield line
        return
    margin = line[: len(line) - len(line.lstrip())]
    inner = margin + "    "
    tokens = list(_scan(line))
    outer = [token for _, token, depth in tokens if not depth]
    comments = [start for start, token, _ in tokens if token.startswith("#")]
    if comments:
        code, comment = line[: comments[0]].rstrip(), line[comments[0] + 1 :]
        yield from wrap(
            comment, WIDTH, initial_indent=f"{margin}# ", subsequent_indent=f"{margin}# "
        )
        if code:
            yield from _fit_line(code)
        return
    opened = [start + 1 for start, token, depth in tokens if depth == 1 and token in "([{"]
    closed = [start for start, token, depth in tokens if depth == 0 and token in ")]}"]
    pairs = [pair for pair in zip(opened, closed, strict=False) if pair[0] < pair[1]]
    bare = re.match(r" *(return |yield |if |elif |while |[\w., ]+ = |\w+=)", line)
    if line.lstrip().startswith(("from ", "import ")):
        yield line
    elif re.match(r" *\w+=", line) and "," in outer[:-1]:  # Several arguments.
        yield from _break_body(line.strip(), margin)
    elif pairs:
        first, last = pairs[-1]
        yield from _fit_line(line[:first])
        yield from _break_body(line[first:last].strip(), inner)
        yield margin + line[last:]
    elif bare:  # Brackets of our own, before the comma or colon.
        end = len(line) - line.endswith((",", ":"))
        yield f"{bare[0]}("
        yield from _break_body(line[bare.end() : end], inner)
        yield f"{margin}){line[end:]}"
    else:
        yield from _break_body(line.strip(), margin)


def _break_body(body: str, margin: str) -> Iterator[str]:
    """What stands in brackets: on one line, or at its commas, or before words like `if`."""
    if len(margin + body) <= WIDTH:
        yield margin + body
        return
    tokens = [(start, token) for start, token, depth in _scan(body) if depth == 0]
    commas = [start + 1 for start, token in tokens if token == ","]
    words = [start for start, token in tokens if token in _BREAKS and start]
    if any(token == "for" for _, token in tokens):
        commas = []
    cuts = [0, *(commas or words), len(body)]
    parts = [body[a:b].strip() for a, b in pairwise(cuts)]
    parts = [part for part in parts if part]
    if commas and not parts[-1].endswith(","):
        parts[-1] += ","
    if len(parts) == 1:
        has_pair = any(token in ")]}" and not depth for _, token, depth in _scan(body))
        yield from (_fit_line(margin + body) if has_pair else _break_string(body, margin))
        return
    for part in parts:
        yield from _fit_line(margin + part)


def _break_string(body: str, margin: str) -> Iterator[str]:
    """A long string as two that Python joins, broken after a space outside braces."""
    string = re.fullmatch(r"""([rbfu]*)(["'])(.*)\2(,?)""", body)
    room = WIDTH - len(margin) - 4
    spaces = [m.end() for m in re.finditer(r" (?![^{]*})", string[3])] if string else []
    cut = max((end for end in spaces if end <= room), default=None)
    if cut is None:
        yield margin + body
        return
    prefix, quote, content, comma = string.groups()
    yield f"{margin}{prefix}{quote}{content[:cut]}{quote}"
    yield from _break_body(f"{prefix}{quote}{content[cut:]}{quote}{comma}", margin)


def _scan(line: str) -> Iterator[tuple[int, str, int]]:
    """Tokens of a line: where they start, their text, and the depth of brackets after them."""
    depth = 0
    for match in _TOKEN.finditer(line):
        depth += (match[0] in "([{") - (match[0] in ")]}")
        yield match.start(), match[0], depth
