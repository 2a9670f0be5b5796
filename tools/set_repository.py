"""Write the repository's address and version wherever they are repeated: `make set-repository`.

The address is defined in ``_config.yml`` and the version in ``pyproject.toml``; a test checks that
all other places agree. The button that opens a chapter in Colab and the chapter's first cell both
name the version's tag, so that notebook and package come from the same commit: a branch moves on,
and a commit cannot contain its own hash.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

# How the first code cell of every chapter begins; its own imports follow. It cannot use the package
# yet. It leaves the versions of other packages alone, and replaces pip's long report of a missing
# network with one sentence. On Colab, which folds the cell, the first line is what is seen of it.
SETUP = """\
# @title Setup
from importlib.util import find_spec

if not find_spec("smallvit"):  # as on Colab
    %pip install -qqq --no-deps git+{url}@{tag}
    advice = "smallvit could not be installed: go online, then run this again."
    assert find_spec("smallvit"), advice
"""
INSTALLS = re.compile(r".*%pip install.*, advice\n", re.DOTALL)

# File, pattern of the place (its group is what precedes the value), and which value belongs there.
PLACES = [
    ("_config.yml", r"^(  url: )\S+", "url"),
    ("_config.yml", r"^(  branch: )\S+", "tag"),
    ("_config.yml", r"^(    ogp_image: )\S+(?=/raw/)", "url"),
    ("_config.yml", r"^(    ogp_image: \S+/raw/)[^/\s]+", "tag"),
    ("pyproject.toml", r'^(Repository = ")[^"]+', "url"),
    ("CITATION.cff", r"^(repository-code: )\S+", "url"),
    ("CITATION.cff", r'^(version: ")[^"]+', "version"),
    ("README.md", r"^(git clone )\S+", "url"),
    ("README.md", r'^(pip install "smallvit\[jax\] @ git\+)[^@"]+', "url"),
    ("README.md", r'^(pip install "smallvit\[jax\] @ git\+[^@"]+@)[^"]+', "tag"),
    ("book/intro.md", r"^(  git clone )\S+", "url"),
    ("book/intro.md", r"^(  url    = {)[^}]+", "url"),
]

# Both values end up in a cell that runs `%pip install`, so neither may hold anything but these.
ADDRESS = re.compile(r"https?://[\w.-]+(:\d+)?/[\w.-]+/[\w.-]+(?<!\.git)", re.ASCII)
VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?", re.ASCII)


def fill_places(root, url=None):
    """Compute what the files that repeat the address or the version should contain.

    Args:
        root: folder of the book.
        url: the repository's address (default: the one in ``_config.yml``).

    Returns:
        A dict from paths to texts.

    Raises:
        ValueError: the address or the version is malformed, or a file lacks a place for it.
    """
    texts = {root / name: (root / name).read_text() for name, _, _ in PLACES}
    url = url or re.search(r"^  url: (.*)", texts[root / "_config.yml"], re.M)[1]
    version = re.search(r'^version = "(.*)"', texts[root / "pyproject.toml"], re.M)[1]
    values = {"url": url, "version": version, "tag": f"v{version}"}
    if not VERSION.fullmatch(version):
        raise ValueError(
            f"{version!r} in pyproject.toml is not a version: give it numbers and dots, like 1.2.0 "
            "or 1.2.0rc1"
        )
    if not ADDRESS.fullmatch(url):
        raise ValueError(
            f"{url!r} is not a repository's address: give it as a browser shows it, like "
            "https://github.com/owner/name, without .git or a slash at its end"
        )
    for name, pattern, kind in PLACES:
        new = re.compile(pattern, re.M).subn(lambda m, k=kind: m[1] + values[k], texts[root / name])
        texts[root / name], count = new
        if count != 1:
            raise ValueError(
                f"{name} has {count} lines that match {pattern} where one is expected: correct it, "
                "or change PLACES in tools/set_repository.py"
            )
    for path in sorted((root / "book").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            texts[path] = fill_notebook(path, SETUP.format(**values))
    return texts


def fill_notebook(path, setup):
    """Compute what a notebook should contain.

    Args:
        path: the notebook.
        setup: what its first code cell begins with.

    Returns:
        Its text.

    Raises:
        ValueError: its first code cell is not the one that installs the package.
    """
    text = path.read_text()
    notebook = json.loads(text)
    cell = next((cell for cell in notebook["cells"] if cell["cell_type"] == "code"), None)
    source = "".join(cell["source"]) if cell else ""
    if not INSTALLS.match(source):
        raise ValueError(
            f"the first code cell of {path.name} is not the one that installs smallvit: copy it "
            "from another chapter"
        )
    if source.startswith(setup):
        return text
    cell["source"] = INSTALLS.sub(lambda _: setup, source, count=1).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(root=ROOT):
    """Update every place, or none."""
    try:
        texts = fill_places(root, *sys.argv[1:])
    except ValueError as error:
        sys.exit(f"{error}; nothing was written.")
    for path, text in texts.items():
        if text != path.read_text():
            path.write_text(text)
            print(f"wrote {path.relative_to(root)}")
    tag = re.search(r"^  branch: (\S+)", texts[root / "_config.yml"], re.M)[1]
    print(f"Colab needs the commit and its tag: git tag {tag} && git push origin HEAD {tag}")


if __name__ == "__main__":
    main()
