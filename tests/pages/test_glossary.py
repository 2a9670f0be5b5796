"""Chapters link the glossary at a term's first use, and what they link is in it."""

import json
import re

import pytest
from built import ROOT, notebooks

LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./)?glossary\.md\)")
GLOSSARY = (ROOT / "book" / "glossary.md").read_text().partition("```{glossary}")[2]
TERMS = {term.lower() for term in re.findall(r"^\w.*$", GLOSSARY, re.MULTILINE)}


def linked_terms(name):
    cells = json.loads((ROOT / name).with_suffix(".ipynb").read_text())["cells"]
    text = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return [term.lower() for term in LINK.findall("\n".join(text))]


def is_known(term):
    """Whether the glossary has a term, perhaps in the singular."""
    return bool({term, term.removesuffix("s"), term.removesuffix("es")} & TERMS)


@pytest.mark.parametrize("name", notebooks())
def test_linked_terms_are_in_the_glossary_and_linked_once(name):
    linked = linked_terms(name)
    assert linked, "link a term at its first use: [token](../glossary.md)"
    assert [term for term in linked if not is_known(term)] == []
    assert sorted(linked) == sorted(set(linked))


def test_an_unknown_term_is_noticed():
    assert is_known("patches") and is_known("drop path")
    assert not is_known("mergings")
