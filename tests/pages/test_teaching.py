"""What the page for teachers promises."""

import json
import re
import runpy
import shutil

import nbformat
import pytest
from built import ROOT, notebooks

PAGE = (ROOT / "book" / "teaching.md").read_text()


def test_every_chapter_is_in_its_table():
    linked = set(re.findall(r"^\| \[[^]]+\]\(([^)]+)\.ipynb\)", PAGE, re.MULTILINE))
    assert linked == {name.removeprefix("book/") for name in notebooks()}


@pytest.mark.parametrize("name", notebooks())
def test_words_and_minutes_are_those_that_are_counted(name):
    notebook = json.loads((ROOT / name).with_suffix(".ipynb").read_text())
    row_of_chapter = runpy.run_path(str(ROOT / "tools" / "chapters.py"))["describe"](notebook)
    counted = row_of_chapter["min"]
    link = re.escape(f"({name.removeprefix('book/')}.ipynb)")
    (row,) = re.findall(rf"^\| \[[^]]+\]{link} \|[^|]*\| (\d+)", PAGE, re.MULTILINE)
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    (box,) = re.findall(r"\*\*Time\*\*: (\d+) minutes", text)
    assert int(row) == pytest.approx(counted, abs=10)
    assert int(box) == pytest.approx(counted, abs=10)
    assert row_of_chapter["words"] < 2_550, "about 2,500 words are as much as one sitting takes"


def test_its_program_takes_the_solutions_out_and_nothing_else(tmp_path, monkeypatch):
    (program,) = re.findall("```python\n(.*?)```", PAGE, re.DOTALL)
    (chapter,) = re.findall(r'"(book/.*?\.ipynb)"', program)
    (tmp_path / chapter).parent.mkdir(parents=True)
    shutil.copy(ROOT / chapter, tmp_path / chapter)
    monkeypatch.chdir(tmp_path)
    exec(program, {})
    whole, handout = (
        "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        for path in (chapter, "handout.ipynb")
    )
    assert "Solution" in whole
    assert "Solution" not in handout
    for heading in re.findall("^#+ .*$", whole, re.MULTILINE):
        assert heading in handout
