import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUIZ = """## Quiz

**1. Which?**

<details><summary>This</summary>

No.

</details>
<details><summary>That</summary>

Yes. It is.

</details>

**2. And here?**

<details><summary>This</summary>

Yes.

</details>
"""


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools" / "chapters.py"))


def test_words_are_those_of_the_prose(tool):
    text = "Three short words $x^2$ `and` [a link](of/many/words.md).\n```python\nno = 1\n```\n"
    assert tool["count_words"](text) == 6


def test_a_chapter_is_counted(tool):
    cells = [
        ("markdown", "# Title\n\n**Predict first.** What?"),
        ("code", "def explore(x):\n\n    return x\nexplore(1)"),
        ("markdown", "### Exercise 1: easy\n"),
        ("markdown", QUIZ),
    ]
    notebook = {"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells]}
    row = tool["describe"](notebook)
    assert row["quiz"] == [2, 1]
    assert [row[x] for x in ("code", "figures", "predict", "exercises")] == [3, 1, 1, 1]


def test_folded_code_takes_no_time(tool):
    cell = {"cell_type": "code", "source": ["x = 1\n"] * 20, "metadata": {}}
    folded = cell | {"metadata": {"tags": ["hide-input"]}}
    row = tool["describe"]({"cells": [cell, folded]})
    assert (row["code"], row["min"]) == (40, 10)


def test_the_table_has_a_row_per_chapter(tool, tmp_path, capsys):
    (tmp_path / "_toc.yml").write_text("root: intro\nchapters:\n- file: book/one\n")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "one.ipynb").write_text(json.dumps({"cells": []}))
    page = tmp_path / "_build" / "html" / "book" / "one.html"
    page.parent.mkdir(parents=True)
    page.write_text("<body><article>" + "x" * 4975 + "</article></body>")
    tool["main"](tmp_path)
    _, row = capsys.readouterr().out.splitlines()
    assert row.split() == ["book/one", "0", "0", "0", "-", "5", "0", "0", "0", "0", "()"]
