"""The exact versions, against every Python that the package says it runs on."""

import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
INSTALLED = {found.name.lower().replace("_", "-"): found for found in distributions()}
PINNED = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def oldest_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [oldest] = [part for part in SpecifierSet(project["requires-python"]) if part.operator == ">="]
    return f"{oldest.version}.0"  # Debian 12 has 3.11.2, and some packages want a later 3.11


@pytest.mark.parametrize("pin", PINNED, ids=str)
def test_a_pinned_version_runs_on_the_oldest_python(pin):
    found = INSTALLED.get(pin.name.lower().replace("_", "-"))
    if found is None or not pin.specifier.contains(found.version, prereleases=True):
        pytest.skip("another environment has it")
    assert SpecifierSet(found.metadata["Requires-Python"] or "").contains(oldest_python())
