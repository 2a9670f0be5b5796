"""Run the chapters of the last commit, or those named, as Colab would: used by `make test-colab`.

A chapter starts in an empty folder, without smallvit. Its first cell installs the package as on
Colab, except that git finds address and tag in a copy of this repository.
"""

import os
import re
import subprocess
import sys
import time
from difflib import ndiff
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip"]


def run(*command, check=True):
    """Run a command and return the lines it prints."""
    done = subprocess.run(command, check=check, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


def copy_repository(folder):
    """Clone the last commit and let git read the clone instead of the published repository.

    Returns:
        The chapters in the clone, by name: ``swin/windows``.
    """
    run("git", "clone", "--quiet", str(ROOT), str(folder))
    chapters = sorted((folder / "book").rglob("*.ipynb"))
    url, tag = re.search(r"git\+(\S+)@(v[\w.]+)", chapters[0].read_text()).groups()
    run("git", "-C", str(folder), "tag", "--force", tag)
    os.environ["GIT_CONFIG_COUNT"] = "1"
    os.environ["GIT_CONFIG_KEY_0"] = f"url.{folder.as_uri()}.insteadOf"
    os.environ["GIT_CONFIG_VALUE_0"] = url
    return {str(path.relative_to(folder / "book").with_suffix("")): path for path in chapters}


def execute(path):
    """Run a notebook in an empty folder and return the seconds of each code cell."""
    notebook, seconds = nbformat.read(path, as_version=4), []
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources)
        with client.setup_kernel():
            for number, cell in enumerate(notebook.cells):
                start = time.monotonic()
                client.execute_cell(cell, number)
                if cell.cell_type == "code":
                    seconds.append(time.monotonic() - start)
    return seconds


def try_chapter(name, path):
    """Run a chapter and return what is wrong with it, line by line."""
    run(*PIP, "uninstall", "-qq", "--yes", "smallvit")
    before = run(*PIP, "freeze", "--all")
    try:
        setup, *rest = execute(path)
    except CellExecutionError as error:
        return str(error).splitlines()
    after = run(*PIP, "freeze", "--all")
    changes = [line for line in ndiff(before, after) if line[0] in "+-"]
    print(
        f"{name}: {setup:.0f} s to install and import, {sum(rest):.0f} s to run; packages changed:"
    )
    print(*changes, sep="\n", flush=True)
    unmet = [line for line in run(*PIP, "check", check=False) if line.startswith("smallvit ")]
    return unmet + [line for line in changes if not line.startswith("+ smallvit @")]


def main():
    chosen = sys.argv[1:]
    if run("git", "-C", str(ROOT), "status", "--porcelain"):
        print("Some changes are not committed; they are not tried.")
    for name in ("PYTHONPATH", "JUPYTER_PATH"):  # Colab has neither
        os.environ.pop(name, None)
    with TemporaryDirectory() as folder:
        chapters = copy_repository(Path(folder, "copy"))
        wrong = {name: try_chapter(name, chapters[name]) for name in chosen or chapters}
    for name, lines in wrong.items():
        if lines:
            print(f"{name} failed:", *lines, sep="\n  ")
    sys.exit(any(wrong.values()))


if __name__ == "__main__":
    main()
