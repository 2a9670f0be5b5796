"""Write the repository's address and the version's tag wherever they are repeated.

Used by `make set-repository`; a test compares the places. The address's home is ``_config.yml``,
the version's is ``pyproject.toml``. The button that opens a chapter in Colab and the chapter's
first cell both name the version's tag, so that notebook and package are of one commit: a branch
moves on, and a commit cannot hold its own hash.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# The first cell of every chapter. It stands alone, for the package is not there to help it. It
# leaves the versions of other packages as they are, and sums up pip's page about a lost network.
SETUP = """\
from importlib.util import find_spec

if not find_spec("smallvit"):  # as on Colab
    %pip install -qqq --no-deps git+{url}@{tag}
    advice = "smallvit could not be installed: go online, then run this again."
    assert find_spec("smallvit"), advice"""

# File, what stands before the address or the tag, the rest, and which of the two it is.
PLACES = [
    ("_config.yml", r"^(  url: )\S+", "url"),
    ("_config.yml", r"^(  branch: )\S+", "tag"),
    ("_config.yml", r"^(    ogp_image: )\S+(?=/raw/)", "url"),
    ("_config.yml", r"^(    ogp_image: \S+/raw/)[^/\s]+", "tag"),
    ("pyproject.toml", r'^(Repository = ")[^"]+', "url"),
    ("book/intro.md", r"^(  git clone )\S+", "url"),
    ("book/intro.md", r"^(  url    = {)[^}]+", "url"),
]

ADDRESS = re.compile(r"https?://[\w.-]+(:\d+)?/[\w.-]+/[\w.-]+(?<!\.git)", re.ASCII)


def fill_places(root, url=None):
    """Say what the files that repeat the address or the tag should hold.

    Args:
        root: folder of the book.
        url: the repository's address; without it, the one in ``_config.yml``.

    Returns:
        A dict from paths to texts.

    Raises:
        ValueError: the address is none, or a file lacks the place for it.
    """
    texts = {root / name: (root / name).read_text() for name, _, _ in PLACES}
    url = url or re.search(r"^  url: (\S+)", texts[root / "_config.yml"], re.M)[1]
    version = re.search(r'^version = "(.+)"', texts[root / "pyproject.toml"], re.M)[1]
    values = {"url": url, "tag": f"v{version}"}
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
                f"{name} has {count} lines like {pattern} where one is expected: put it right, or "
                "change PLACES in book/_ext/set_repository.py"
            )
    for path in sorted((root / "book").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            texts[path] = fill_notebook(path, SETUP.format(**values))
    return texts


def fill_notebook(path, setup):
    """Say what a notebook should hold.

    Args:
        path: the notebook.
        setup: source of its first code cell.

    Returns:
        Its text.

    Raises:
        ValueError: its first code cell is not one that installs the package.
    """
    text = path.read_text()
    notebook = json.loads(text)
    cell = next((cell for cell in notebook["cells"] if cell["cell_type"] == "code"), None)
    if not cell or "%pip install" not in "".join(cell["source"]):
        raise ValueError(
            f"{path.name} has another first code cell than the one that installs smallvit: copy "
            "that from another chapter"
        )
    if "".join(cell["source"]) == setup:
        return text
    cell["source"] = setup.splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main(root=ROOT):
    """Write every place, or none."""
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
