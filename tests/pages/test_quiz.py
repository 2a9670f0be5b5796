"""The quiz at the end of each chapter: one right option per question, in no place to be guessed."""

import json
import re
import runpy

import pytest
from built import ROOT, notebooks

TOOL = runpy.run_path(str(ROOT / "tools" / "chapters.py"))


def read_markdown(name):
    cells = json.loads((ROOT / name).with_suffix(".ipynb").read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


@pytest.mark.parametrize("name", notebooks())
def test_right_options_are_in_varied_places(name):
    places = TOOL["right_options"](read_markdown(name))
    assert len(places) >= 4
    assert 0 not in places
    assert len(set(places)) >= 3


@pytest.mark.parametrize("name", notebooks())
def test_every_option_is_explained(name):
    quiz = read_markdown(name).partition("\n## Quiz")[2].partition("\n## ")[0]
    explanations = re.findall(r"</summary>\s*(.*?)\s*</details>", quiz, re.DOTALL)
    assert len(explanations) >= 12
    assert all(len(text.split()) > 3 for text in explanations)
