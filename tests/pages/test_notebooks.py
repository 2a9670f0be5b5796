"""The chapters as they are stored: present, executed, short-celled, free of leftovers."""

import json
import re
from itertools import pairwise

import pytest
from built import ROOT, notebooks, read_toc

LINES_PER_CELL = 15


@pytest.fixture(params=notebooks())
def notebook(request):
    return json.loads((ROOT / request.param).with_suffix(".ipynb").read_text())


@pytest.fixture
def code_cells(notebook):
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [cell for cell in cells if "".join(cell["source"]).strip()]


@pytest.mark.parametrize("name", read_toc())
def test_page_of_the_table_of_contents_exists(name):
    assert any((ROOT / name).with_suffix(suffix).exists() for suffix in (".ipynb", ".md"))


def test_every_notebook_is_in_the_table_of_contents():
    found = {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for path in (ROOT / "book").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    assert found == set(notebooks())


def test_runs_in_the_usual_kernel(notebook):
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_stores_no_widgets(notebook, code_cells):
    assert "widgets" not in notebook["metadata"]
    outputs = [output for cell in code_cells for output in cell["outputs"]]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" not in kinds, "run `make notebooks`"


def test_is_executed_from_top_to_bottom(code_cells):
    counts = [cell["execution_count"] for cell in code_cells]
    assert counts == list(range(1, len(counts) + 1)), "run `make notebooks`"


def test_stores_neither_errors_nor_warnings(code_cells):
    outputs = [output for cell in code_cells for output in cell["outputs"]]
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []


def test_stores_no_times(code_cells):
    assert [cell for cell in code_cells if "execution" in cell["metadata"]] == []


def test_the_setup_is_folded_everywhere(code_cells):
    """In the page, in JupyterLab and in Colab."""
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
    assert code_cells[0]["metadata"] == folded


def test_cells_are_short(code_cells):
    _setup, *rest = code_cells
    for cell in rest:
        lines = [line for line in "".join(cell["source"]).splitlines() if line.strip()]
        assert len(lines) <= LINES_PER_CELL, "\n".join(lines)


def test_headings_follow_a_blank_line(notebook):
    """Right after a fold, as in `</details>` and `## Quiz`, a page shows the hashes instead."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells)
    prose = re.sub("```.*?```", "", text, flags=re.DOTALL)
    assert re.findall(r"^.*\S.*\n(#+ .*)", prose, re.MULTILINE) == []


@pytest.mark.parametrize("name", notebooks())
def test_titles_of_folds_are_plain(name):
    """Inside `<summary>` a page shows Markdown and mathematics as they are written."""
    titles = re.findall(r"<summary>(.*?)</summary>", "".join(read_markdown(name)))
    assert [title for title in titles if re.search(r"[$`*]", title)] == []


def opening_question(name):
    return read_markdown(name)[0].split("**")[1]


def read_markdown(name):
    cells = json.loads((ROOT / name).with_suffix(".ipynb").read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


@pytest.mark.parametrize(("name", "following"), [*pairwise(notebooks())])
def test_closes_with_the_next_chapters_question(name, following):
    closing = read_markdown(name)[-1].partition("**Next question:**")[2]
    question = opening_question(following).rpartition(". ")[2]
    assert question[1:] in closing  # the first letter may be a capital in one of them only
