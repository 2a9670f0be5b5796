"""The repository's address and version in every place, and the cell that installs from there."""

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell

ROOT = Path(__file__).parents[2]
TOOL = "tools/set_repository.py"
SOURCES = ("*.md", "*.toml", "*.yml", "*.cff", "Makefile", "book", "smallvit", "tests", "tools")
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


def set_version(root, version):
    project = root / "pyproject.toml"
    before, after = f'\nversion = "{OURS["branch"][1:]}"\n', f'\nversion = "{version}"\n'
    assert project.read_text().count(before) == 1
    project.write_text(project.read_text().replace(before, after))


@pytest.mark.parametrize("version", ["17.1", "1.2.0rc1"])
def test_a_new_version_reaches_every_place(copy, version):
    set_version(copy, version)
    assert set_repository(copy).returncode == 0
    config = yaml.safe_load((copy / "_config.yml").read_text())
    assert config["repository"]["branch"] == f"v{version}"
    assert yaml.safe_load((copy / "CITATION.cff").read_text())["version"] == version
    assert f"git+{OURS['url']}@v{version}" in (copy / "book/swin/windows.ipynb").read_text()


@pytest.mark.parametrize("version", ["", "1.0; touch proof", "$(touch proof)", "1.0 # x", "one"])
def test_a_bad_version_gets_one_sentence_and_changes_nothing(copy, version):
    set_version(copy, version)
    before = read_all(copy)
    done = set_repository(copy)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "is not a version" in done.stderr
    assert read_all(copy) == before


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
        "https://github.com/owner/name;touch proof",
        "https://github.com/owner/$(touch proof)",
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


@pytest.mark.parametrize("given", ["argument", "environment"])
@pytest.mark.parametrize(
    "url",
    [
        "x'; touch proof; echo '",
        'x"; touch proof; echo "',
        "$(shell touch proof)",
        "$$(touch proof)",
        "`touch proof`",
    ],
)
def test_make_runs_nothing_that_an_address_contains(copy, url, given):
    before = read_all(copy)
    command, environment = ["make", "set-repository", f"PYTHON={sys.executable}"], dict(os.environ)
    if given == "argument":
        command.append(f"URL={url}")
    else:
        environment["URL"] = url
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"{url!r} is not a repository's address" in done.stderr
    assert read_all(copy) == before  # and no file named proof


def test_make_passes_an_address_on(copy):
    command = ["make", "set-repository", f"PYTHON={sys.executable}", f"URL={OTHER}"]
    subprocess.run(command, cwd=copy, capture_output=True, check=True)
    assert yaml.safe_load((copy / "_config.yml").read_text())["repository"]["url"] == OTHER


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
