"""`make lint` fails when an import goes up, or across, or when a module has no floor."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]


GOING_UP_OR_ACROSS = [
    ("smallvit.layers.windows", "smallvit.models.swin"),
    ("smallvit.models.cost", "smallvit.training.loop"),
    ("smallvit.models.cost", "smallvit.data.shapes"),
    ("smallvit.data.shapes", "smallvit.models.cost"),
    ("smallvit.data.batches", "smallvit.training.recipes"),
    ("smallvit.training.loop", "smallvit.book.report"),
    ("smallvit.book.report", "smallvit.__main__"),
    ("smallvit.layers.sizes", "smallvit.layers.blocks"),
    ("smallvit.layers.masks", "smallvit.layers.patches"),
]


@pytest.fixture
def lint(tmp_path):
    """Append lines to modules of a copy of the package, and lint the copy's imports."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "smallvit", tmp_path / "smallvit")

    def run(lines):
        for module, line in lines:
            path = (tmp_path / module.replace(".", "/")).with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            (path.parent / "__init__.py").touch()
            with path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")
        command = [*LINT, "--no-logo", "--no-cache"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout

    return run


def test_the_package_as_it_is_passes(lint):
    code, printed = lint([])
    assert code == 0, printed


def test_imports_that_go_up_or_across_fail(lint):
    code, printed = lint((m, f"def later():\n    import {up}") for m, up in GOING_UP_OR_ACROSS)
    assert code != 0
    for module, imported in GOING_UP_OR_ACROSS:
        assert f"- {module} -> {imported} (" in printed


@pytest.mark.parametrize("module", ["smallvit.attic.things", "smallvit.layers.things"])
def test_a_module_without_a_floor_fails(lint, module):
    code, printed = lint([(module, "")])
    assert code != 0
    assert re.search(r"^- smallvit\.(attic|layers\.things)$", printed, re.MULTILINE), printed
