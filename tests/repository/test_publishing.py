"""Workflows, changelog and citation: well-formed, and in step with the version."""

import os
import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / ".github" / "workflows").iterdir()
}


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_is_well_formed_and_has_few_rights(name):
    workflow = WORKFLOWS[name]
    assert workflow[True]  # YAML 1.1 reads the key `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert ("uses" in job) != ("runs-on" in job and bool(job["steps"]))
        assert {job["needs"]} <= workflow["jobs"].keys() if "needs" in job else True
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))
        assert "${{" not in step.get(
            "run", ""
        )  # a tag's or branch's name is not pasted into a shell


def test_continuous_integration_runs_the_script_on_the_oldest_and_newest_python():
    job = WORKFLOWS["ci"]["jobs"]["test"]
    assert ".ci/run" in [step.get("run") for step in steps(WORKFLOWS["ci"])]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    oldest, newest = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    assert job["strategy"]["matrix"]["python-version"] == [f"3.{oldest}", f"3.{int(newest) - 1}"]


@pytest.mark.parametrize(
    ("tag", "published"), [(f"v{PROJECT['version']}", True), ("v0.0.7", False)]
)
def test_pages_are_built_from_the_versions_own_tag(tag, published):
    assert WORKFLOWS["pages"][True] == {"push": {"tags": ["v*"]}}
    [check] = [s["run"] for s in steps(WORKFLOWS["pages"]) if "GITHUB_REF_NAME" in s.get("run", "")]
    environment = {**os.environ, "GITHUB_REF_NAME": tag}
    done = subprocess.run(["bash", "-c", check], cwd=ROOT, env=environment, capture_output=True)
    assert (done.returncode == 0) == published


def test_the_changelog_has_dated_versions_newest_first_and_a_place_for_what_comes():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, *versions = re.findall(r"^## \[(.+?)\](?: - (.+))?$", text, re.MULTILINE)
    assert unreleased == ("Unreleased", "")
    days = [date.fromisoformat(day) for _, day in versions]
    assert days == sorted(days, reverse=True)
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_is_valid_and_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # all that is required
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    for work in [citation, *citation["references"]]:
        assert work["title"]
        assert all(
            "name" in a or {"family-names", "given-names"} <= a.keys() for a in work["authors"]
        )
    assert all(work["type"] in {"article", "conference-paper"} for work in citation["references"])
