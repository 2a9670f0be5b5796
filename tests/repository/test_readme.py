"""README's picture and paths are those of the tree."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_picture_is_what_its_script_draws():
    tool = runpy.run_path(str(ROOT / "tools" / "draw_readme.py"))
    drawn = "run `python tools/draw_readme.py`"
    assert tool["PICTURE"].read_text(encoding="utf-8") == tool["draw"](), drawn


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_file_and_target_it_names_exists(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    path = r"[\w./-]+(?:/|\.(?:md|py|txt|yml|cff|svg|toml))"
    paths = re.findall(rf"""(?:`|\]\(|src=")({path})[`)"]""", text)
    assert len(paths) > 3
    places = (ROOT, ROOT / "smallvit")
    assert [p for p in paths if not any((place / p).exists() for place in places)] == []
    targets = re.findall(r"(?:^|`)make ([a-z][a-z-]+)", text, re.MULTILINE)
    assert len(targets) > 3
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_it_says_how_to_get_each_backend_with_the_package_and_for_gpus(backend):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"pip install .*\[{backend}\]", text)
    assert re.search(rf"`pip install '?{backend}\b", text)
