"""What `make` must not do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("target", "environment"),
    [("lint", ".venv"), ("test-jax", ".venv-jax"), ("test-torch", ".venv-torch")],
)
def test_an_environment_behind_a_link_is_not_emptied(tmp_path, target, environment):
    for name in ("Makefile", "requirements.txt", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    kept = tmp_path / "shared" / "package.py"
    kept.parent.mkdir()
    kept.write_text("")
    (tmp_path / environment).symlink_to(kept.parent)
    done = subprocess.run(["make", target], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"{environment} is a link" in done.stdout
    assert kept.exists()


@pytest.mark.parametrize(
    "port", ["$(shell touch proof)", "`touch proof`", '"; touch proof; "', "'; touch proof; '"]
)
def test_make_runs_nothing_that_a_port_contains(tmp_path, port):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    command = ["make", "--old-file=book", "serve", f"PORT={port}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert f"{port!r} is not a port" in done.stderr
    assert not (tmp_path / "proof").exists()
