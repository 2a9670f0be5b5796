"""Accuracies in the book's text are published ones or recorded ones, to the last digit."""

import json
import re

import pytest
from built import ROOT, read_toc

from smallvit.training.recipes import RECIPES
from smallvit.training.records import read_results

FIGURE = re.compile(r"(?<![\d.,])\d\d\.\d\d(?!\d|\.\d)")  # as accuracies in percent are written


def known_figures():
    """Published and recorded accuracies, as text."""
    published = [recipe.published for recipe in RECIPES.values() if recipe.published]
    figures = [x for p in published for x in (p.top1, p.top5) if x is not None]
    for records in read_results(ROOT / "results").values():
        for record in records:
            if record.comparable:
                figures += [100 * record.reported[name] for name in ("top1", "top5")]
    return {f"{figure:.2f}" for figure in figures}


def prose(name):
    """The text of a page without code blocks and solutions' code."""
    path = ROOT / name
    if path.with_suffix(".md").exists():
        text = path.with_suffix(".md").read_text()
    else:
        notebook = json.loads(path.with_suffix(".ipynb").read_text())
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    return re.sub(r"```.*?```|\$[^$]*\$", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", ["README", *read_toc()])
def test_accuracies_in_the_text_are_published_or_recorded(name):
    assert set(FIGURE.findall(prose(name))) <= known_figures()


def test_a_figure_of_nobodys_would_be_found():
    assert FIGURE.findall("We reach 44.80 and not 45.81, nor 145.81 or 4.81.") == ["44.80", "45.81"]
    assert FIGURE.findall("It is 45.81.") == ["45.81"]
    assert "44.80" in known_figures()
