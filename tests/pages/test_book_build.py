"""What a build must notice, on a book of three pages with the configuration of the real one."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from built import ROOT

WIDGET_CELL = """\
import ipywidgets

class Figure:
    def _repr_mimebundle_(self, **kwargs):
        widget = ipywidgets.IntSlider()
        return widget._repr_mimebundle_() | {"text/html": "<figure>drawn beforehand</figure>"}

Figure()"""


JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]


class TinyBook:
    def __init__(self, folder):
        self.folder = folder
        for name in ("_config.yml", "book/_ext", "book/_static", "book/_kernel"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, folder / name)
        chapters = [{"file": "book/chapter"}, {"file": "book/companion"}]
        toc = {"format": "jb-book", "root": "book/intro", "chapters": chapters}
        self.write("_toc.yml", yaml.safe_dump(toc))
        self.write("book/references.bib", "")
        self.write("book/intro.md", "# Intro\n\n$a^2$\n")
        self.write_cell("1 + 1")
        self.write_cell("2 + 2", chapter="companion")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def write_cell(self, source, chapter="chapter"):
        heading = {"cell_type": "markdown", "id": "0", "metadata": {}, "source": "# Chapter"}
        code = {"cell_type": "code", "id": "1", "metadata": {}, "source": source}
        code |= {"execution_count": None, "outputs": []}
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {"nbformat": 4, "nbformat_minor": 5, "cells": [heading, code]}
        notebook["metadata"] = {"kernelspec": spec}
        self.write(f"book/{chapter}.ipynb", json.dumps(notebook))

    def build(self, *flags):
        command = [*JUPYTER_BOOK, "build", *flags, "."]
        # A kernel that finds this variable treats native messages in another way.
        environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
        run = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        return run.returncode, run.stdout + run.stderr

    def page(self):
        return (self.folder / "_build/html/book/chapter.html").read_text()


@pytest.fixture
def book(tmp_path):
    pytest.importorskip("jupyter_book")
    return TinyBook(tmp_path)


def test_failing_cell_fails_every_build(book):
    book.write_cell("raise RuntimeError('on purpose')")
    for _ in range(2):
        code, output = book.build()
        assert code != 0
        assert "on purpose" in output


def test_warning_fails_every_strict_build(book):
    book.write("book/intro.md", "# Intro\n\n[nowhere](nowhere.md)\n")
    for _ in range(2):
        code, output = book.build("-W", "--keep-going")
        assert code != 0
        assert "nowhere" in output


def test_notebook_runs_again_when_the_package_changes(book):
    cell = "from pathlib import Path; print('value', Path('../smallvit/value.py').read_text())"
    book.write_cell(cell)
    book.write("smallvit/value.py", "17")
    code, output = book.build()
    assert code == 0
    assert "chapter.ipynb" in output
    assert "value 17" in book.page()

    code, output = book.build()
    assert code == 0
    assert "chapter.ipynb" not in output

    book.write("smallvit/value.py", "18")
    assert book.build()[0] == 0
    assert "value 18" in book.page()
    assert len(list((book.folder / "_build/.jupyter_cache").iterdir())) == 1


@pytest.mark.skipif(os.cpu_count() < 2, reason="takes two cores")
def test_notebooks_are_executed_side_by_side(book):
    wait = """\
import time
from pathlib import Path

Path({mine!r}).touch()
for _ in range(600):
    if Path({other!r}).exists():
        print("met")
        break
    time.sleep(0.1)"""
    book.write_cell(wait.format(mine="a", other="b"))
    book.write_cell(wait.format(mine="b", other="a"), chapter="companion")
    assert book.build()[0] == 0
    assert "met\n" in book.page()


def test_page_shows_the_drawn_figure_without_widgets_or_network(book):
    book.write_cell(WIDGET_CELL)
    assert book.build("-W")[0] == 0
    page = book.page()
    assert "<figure>drawn beforehand</figure>" in page
    assert "widget-state+json" not in page
    assert "jupyter-widgets" not in page


def test_native_messages_stay_out_of_the_page_and_a_line_printed_in_parts_is_whole(book):
    cell = "import os, time; os.write(2, b'%d' % 7**11); print('from', end=' ', flush=True)"
    cell += "; time.sleep(1); print('Python')"
    book.write_cell(cell)
    assert book.build("-W")[0] == 0
    assert "from Python" in book.page()
    assert str(7**11) not in book.page()
