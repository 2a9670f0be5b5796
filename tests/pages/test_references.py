"""The list of references."""

import re

from built import ROOT

PAPER = re.compile(r"arxiv\.org/abs/(\d+\.\d+)")


def test_every_paper_that_a_page_links_is_listed():
    pages = [*ROOT.glob("book/**/*.ipynb"), *ROOT.glob("book/**/*.md")]
    linked = {paper for page in pages for paper in PAPER.findall(page.read_text())}
    listed = set(PAPER.findall((ROOT / "book" / "references.bib").read_text()))
    assert linked - listed == set()
