"""The repository's address and version in every place, and the cell that installs from there."""

import importlib.util
import re
import runpy
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from IPython.core.interactiveshell import InteractiveShell

TOOL = "book/_ext/set_repository.py"
SOURCES = ("*.md", "*.toml", "*.yml", "Makefile", "book", "smallvit", "tests")
OTHER = "https://git.example.org/a-lab/its-book"
OURS = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / TOOL))


@pytest.fixture
def copy(tmp_path):
    """The sources alone, to be changed."""
    for source in (path for pattern in SOURCES for path in ROOT.glob(pattern)):
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / source.name)
    return tmp_path


def set_repository(root, *arguments):
    command = [sys.executable, str(root / TOOL), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def read_all(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_place_agrees(tool):
    stale = [path for path, text in tool["fill_places"](ROOT).items() if path.read_text() != text]
    assert stale == [], "run `make set-repository`"


def test_the_tag_is_the_version():
    project = (ROOT / "pyproject.toml").read_text()
    assert OURS["branch"] == "v" + re.search(r'^version = "(.+)"', project, re.MULTILINE)[1]


def test_a_new_address_reaches_every_place_and_the_old_one_comes_back(copy):
    before = read_all(copy)
    assert set_repository(copy, OTHER).returncode == 0
    after = read_all(copy)
    assert [path for path, text in after.items() if OURS["url"].encode() in text] == []
    assert f"git+{OTHER}@{OURS['branch']}".encode() in after[copy / "book/swin/windows.ipynb"]
    assert set_repository(copy, OURS["url"]).returncode == 0
    assert read_all(copy) == before


def test_a_new_version_reaches_every_place(copy):
    project = copy / "pyproject.toml"
    text, count = re.subn(r'^version = ".+"$', 'version = "17.1"', project.read_text(), flags=re.M)
    assert count == 1
    project.write_text(text)
    assert set_repository(copy).returncode == 0
    assert yaml.safe_load((copy / "_config.yml").read_text())["repository"]["branch"] == "v17.1"
    assert f"git+{OURS['url']}@v17.1" in (copy / "book/swin/windows.ipynb").read_text()


@pytest.mark.parametrize(
    "address",
    [
        "git@github.com:owner/name",
        "github.com/owner/name",
        "ssh://git@github.com/owner/name",
        "https:///owner/name",
        "https://github.com/name",
        "https://github.com/owner/name/",
        "https://github.com/owner/name.git",
        "https://github.com/owner/name/tree/main",
        "https://user:secret@github.com/owner/name",
        "https://github.com/owner/na me",
        "https://github.com/owner/name\n",
    ],
)
def test_a_bad_address_gets_one_sentence_and_changes_nothing(copy, address):
    before = read_all(copy)
    done = set_repository(copy, address)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "like https://github.com/owner/name" in done.stderr
    assert read_all(copy) == before


def test_a_chapter_without_the_cell_is_named_and_nothing_changes(copy):
    path = copy / "book/swin/windows.ipynb"
    path.write_text(path.read_text().replace("%pip install", "%pip download"))
    before = read_all(copy)
    done = set_repository(copy, OTHER)
    assert done.returncode == 1
    assert "windows.ipynb" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert read_all(copy) == before


@pytest.fixture
def run_setup(tool, monkeypatch):
    """Run the setup cell with a pip that works, or not, where smallvit is there, or not."""

    def run(there, pip_works=False):
        found, asked = {"smallvit": object()} if there else {}, []

        def pip(line):
            asked.append(line)
            if pip_works:
                found["smallvit"] = object()

        monkeypatch.setattr(importlib.util, "find_spec", found.get)
        shell = InteractiveShell()
        shell.register_magic_function(pip, magic_name="pip")
        result = shell.run_cell(tool["SETUP"].format(url=OTHER, tag="v17.1"))
        return asked, result.error_in_exec

    return run


def test_the_cell_does_nothing_where_the_package_is(run_setup):
    assert run_setup(there=True) == ([], None)


def test_the_cell_installs_the_package_and_nothing_else(run_setup):
    asked, error = run_setup(there=False, pip_works=True)
    assert asked == [f"install -qqq --no-deps git+{OTHER}@v17.1"]
    assert error is None


def test_the_cell_says_what_to_do_where_there_is_no_network(run_setup):
    _, error = run_setup(there=False)
    assert "go online" in str(error)
