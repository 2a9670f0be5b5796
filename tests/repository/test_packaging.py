"""What `pip install .` installs."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of a copy of the tree with one more subpackage and one more file of weights."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("README.md", "LICENSE", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tree)
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("results", "smallvit", "tests", "benchmarks", "tools"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignore)
    (tree / "smallvit" / "attic").mkdir()
    (tree / "smallvit" / "attic" / "__init__.py").write_text("")
    (tree / "results" / "swin-keras" / "seed-17.weights.h5").write_bytes(b"weights")
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *flags, "--wheel-dir", "out", "."]
    subprocess.run(command, cwd=tree, check=True)
    [path] = (tree / "out").glob("*.whl")
    return tree, path


def test_it_holds_every_module_record_and_weight_and_nothing_else(wheel):
    tree, path = wheel
    modules = {p.relative_to(tree).as_posix() for p in (tree / "smallvit").rglob("*.py")}
    records = {
        f"smallvit/recorded/{p.relative_to(tree / 'results').as_posix()}"
        for p in (tree / "results").rglob("*")
        if p.is_file()
    }
    assert {"smallvit/attic/__init__.py", "smallvit/layers/windows.py"} <= modules
    assert "smallvit/recorded/swin-keras/seed-17.weights.h5" in records
    held = {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}
    assert held == modules | records


def test_the_package_alone_needs_keras_numpy_and_pillow():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [line.split(">")[0] for line in project["dependencies"]] == ["keras", "numpy", "pillow"]
