"""What the page for teachers promises."""

import re
import shutil

import nbformat
from conftest import ROOT, notebooks

PAGE = (ROOT / "book" / "teaching.md").read_text()


def test_every_chapter_is_in_its_table():
    linked = set(re.findall(r"^\| \[[^]]+\]\(([^)]+)\.ipynb\)", PAGE, re.MULTILINE))
    assert linked == {name.removeprefix("book/") for name in notebooks()}


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
