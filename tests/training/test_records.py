import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import keras
import pytest
from samples import RECORD, cifar100_stub

from smallvit.training import records, runtime
from smallvit.training.recipes import RECIPES, get_recipe
from smallvit.training.records import (
    RecordError,
    differences,
    read_record,
    results_folder,
    write_record,
)
from smallvit.training.upgrade import upgrade_settings

SCHEMA_1 = json.loads(Path(__file__).with_name("schema_1.json").read_text())
CHANGED_SINCE = {
    "sl-vit-keras": ["model.temperature_as"],
    "sl-vit-fixed": ["model.temperature_as"],
    # Not yet as the official code starts them.
    "vit-paper": ["model.kernel_initializer"],
    "sl-vit-paper": ["model.kernel_initializer"],
    "swin-paper": ["model.kernel_initializer", "model.bias_initializer"],
    "s-swin-paper": ["model.kernel_initializer", "model.bias_initializer"],
}
RESULTS = sorted(results_folder().glob("*/seed-*.json"))


@pytest.fixture
def path(tmp_path):
    """A record as it was written."""
    path = tmp_path / "swin-keras" / "seed-0.json"
    write_record(path, RECORD)
    return path


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def settings(recipe, record):
    """The settings of a run of `recipe` in the circumstances of `record`."""
    return {**asdict(record), "config": recipe.for_dataset(cifar100_stub()).to_dict()}


def test_a_record_reads_back_as_it_was_written(path):
    assert read_record(path) == RECORD
    assert json.loads(path.read_text())["schema"] == 2
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", ["", "{", '{"a": 1', "\x00\x00", "\x80\x81"])
def test_a_record_that_is_cut_short_is_refused_with_the_remedy(path, content):
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(
        RecordError, match=r"seed-0\.json is not a record, or a damaged one \(.*\); name"
    ):
        read_record(path)


def test_a_record_that_is_not_there_is_not_to_be_deleted(path):
    with pytest.raises(RecordError, match=r"sed-0\.json cannot be read \(No such file.*\); name"):
        read_record(path.with_name("sed-0.json"))


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "{}", '{"schema": 2}', "[[1]]"])
def test_json_of_another_kind_is_refused_in_one_sentence(path, content):
    path.write_text(content)
    with pytest.raises(RecordError, match=r"^[^\n]*seed-0\.json is damaged: [^\n]*$"):
        read_record(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"test": {"loss": 4.6, "top1": 0.99, "top5": 0.99}},
        {"history": []},
        {"epochs": 2, "test": None},
        {"seed": 1},
        {"extra": 1},
        {"history": [{"epoch": 1, "loss": float("nan")}]},
    ],
)
def test_an_edited_record_is_refused(path, changes):
    edit(path, **changes)
    with pytest.raises(RecordError, match="does not match its checksum, so it was edited"):
        read_record(path)


def test_a_record_of_a_later_version_is_refused(path):
    edit(path, schema=3)
    with pytest.raises(RecordError, match="its schema is 3, and this version reads up to 2"):
        read_record(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": None}, "figures on the test images belong to a finished run"),
        ({"epochs": 2}, "figures on the test images belong to a finished run"),
        ({"history": [{"epoch": 2, "loss": 4.6}]}, "history is not of epochs 1, 2, 3"),
        ({"history": 2 * RECORD.history}, "history is not of epochs 1, 2, 3"),
        ({"epochs": 0}, "history is not of epochs 1, 2, 3"),
        ({"history": [{"epoch": 1, "loss": float("nan")}]}, "its loss is nan"),
        ({"history": [{"epoch": 1, "top1": 1.5}]}, r"its top1 is 1\.5"),
        ({"history": [{"epoch": 1, "val_top5": -0.1}]}, r"its val_top5 is -0\.1"),
        ({"test": {"loss": 4.6, "top1": 2, "top5": 0.1}}, "its top1 is 2"),
        ({"test": {"loss": 4.6}}, "test figures are not loss, top1 and top5"),
        ({"sittings": []}, "sittings do not add up"),
        ({"seed": "0"}, "wrong kind of value in seed"),
        ({"history": [[1]]}, "TypeError"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(path, changes, message):
    """Whoever wrote it: an old record has no checksum."""
    write_record(path, replace(RECORD, **changes))
    with pytest.raises(RecordError, match=rf"seed-0\.json is damaged: .*{message}.*; restore it"):
        read_record(path)


def test_what_is_compared_with_published_figures():
    run = replace(RECORD, dataset="cifar100", published_data=True)
    assert run.comparable
    (sitting,) = run.sittings
    dirty = [{**sitting, "commit": "0123abc-dirty"}]
    for change in (
        {"published_data": False},
        {"dataset": "cifar10"},
        {"config": {"epochs": 2}},
        {"epochs": 2, "test": None},
        {"sittings": dirty},
        {"epochs": 2, "history": 2 * run.history, "sittings": [sitting, *dirty]},
    ):
        assert not replace(run, **change).comparable, change


def test_sittings_on_two_devices_are_all_named():
    (sitting,) = RECORD.sittings
    other = {**sitting, "device": "another", "commit": "0123abc"}
    run = replace(RECORD, sittings=[sitting, other, sitting])
    assert run.device == "a processor, then another"
    assert run.commit == "outside git, then 0123abc"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_a_record_in_the_repository_is_taken_for_what_it_is(path):
    record = read_record(path)
    recipe = get_recipe(path.parent.name)
    assert (record.recipe, f"seed-{record.seed}") == (recipe.name, path.stem)
    assert record.dataset == "cifar100"
    assert record.sittings[0]["commit"] == record.commit
    assert record.device == record.sittings[0]["device"] != "unknown"
    assert record.comparable == record.finished
    assert differences(settings(recipe, record), asdict(record)) == []


@pytest.mark.parametrize(("name", "config"), SCHEMA_1.items(), ids=SCHEMA_1)
def test_a_recipe_knows_its_runs_of_schema_1(name, config):
    """As a version before schema 2 wrote recipes down: all runs under way when it came."""
    recipe = get_recipe(name)
    older = upgrade_settings({**asdict(RECORD), "config": config})
    assert differences(settings(recipe, RECORD), older) == CHANGED_SINCE.get(name, [])
    faster = upgrade_settings({**asdict(RECORD), "config": {**config, "learning_rate": 1}})
    assert "learning_rate" in differences(settings(recipe, RECORD), faster)


def test_another_recipe_is_told_from_a_recorded_one_by_what_changes_a_result():
    record = read_record(results_folder() / "swin-keras" / "seed-0.json")
    recipe = get_recipe("swin-keras")
    renamed = replace(recipe, name="x", summary="x", parameters=1, epochs=1, published=None)
    assert differences(settings(renamed, record), asdict(record)) == []
    for name, other in {
        "learning_rate": replace(recipe, learning_rate=2e-3),
        "transforms": replace(recipe, transforms=recipe.transforms[1:]),
        "model.depths": replace(recipe, model=replace(recipe.model, depths=(1, 0))),
        "schedule": get_recipe("sl-vit-fixed"),
    }.items():
        assert name in differences(settings(other, record), asdict(record))
    same = settings(recipe, record)
    for name in ("seed", "epochs", "backend", "precision", "data_fingerprint"):
        assert differences({**same, name: "another"}, asdict(record)) == [name]


def test_every_recipe_is_another_run_than_the_others():
    runs = {name: settings(recipe, RECORD) for name, recipe in RECIPES.items()}
    for name, run in runs.items():
        assert [other for other in runs if not differences(run, runs[other])] == [name]


def test_an_option_that_this_version_lacks_makes_another_run():
    record = read_record(results_folder() / "swin-keras" / "seed-0.json")
    record.config["model"]["number_of_wings"] = 2
    recipe = get_recipe("swin-keras")
    assert "model.number_of_wings" in differences(settings(recipe, record), asdict(record))


def test_device_and_versions_are_those_of_the_machine(monkeypatch):
    monkeypatch.setattr(runtime, "_place", lambda: "/job:localhost/device:cpu:0")
    assert f", {runtime.count_cores()} core" in runtime.describe_device()
    monkeypatch.setattr(runtime, "_place", lambda: "cuda:0")
    monkeypatch.setattr(runtime, "output_of", lambda *command: "A GPU\nA GPU")
    assert runtime.describe_device() == "A GPU"  # a run that is not distributed uses the first
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "over both")
    assert runtime.describe_device() == "A GPU, A GPU"
    monkeypatch.setattr(runtime, "output_of", lambda *command: "")
    assert runtime.describe_device() == "cuda:0"
    versions = records.describe_versions()
    assert versions["keras"] == keras.__version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git repository whose package holds the records module."""
    module = tmp_path / "house" / "smallvit" / "training" / "records.py"
    module.parent.mkdir(parents=True)
    shutil.copy(records.__file__, module)
    (module.parents[1] / "__init__.py").write_text("")
    git(tmp_path / "house", "init", "-q")
    git(tmp_path / "house", "add", ".")
    git(tmp_path / "house", "commit", "-q", "-m", "all")
    monkeypatch.setattr(records, "__file__", str(module))
    return tmp_path / "house"


def test_the_commit_is_that_of_the_packages_repository(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert records.describe_commit() == commit
    (checkout / "elsewhere.txt").write_text("no part of the package")
    assert records.describe_commit() == commit
    (checkout / "smallvit" / "new.py").write_text("")
    assert records.describe_commit() == f"{commit}-dirty"


def test_installed_in_somebody_elses_repository_there_is_no_commit(checkout, monkeypatch):
    installed = checkout / "lib" / "smallvit"
    shutil.copytree(checkout / "smallvit", installed)
    monkeypatch.setattr(records, "__file__", str(installed / "training" / "records.py"))
    assert records.describe_commit() is None  # not tracked
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "vendored")
    assert records.describe_commit() is None  # not the repository's root
    git(checkout, "rm", "-q", "-r", "--cached", "smallvit")
    monkeypatch.setattr(records, "__file__", str(checkout / "smallvit" / "training" / "records.py"))
    assert records.describe_commit() is None  # at the root, but not tracked
    shutil.rmtree(checkout / ".git")
    assert records.describe_commit() is None  # in no repository


def test_the_tests_run_where_there_is_a_commit_if_git_says_so():
    root = Path(records.__file__).parents[2]
    commit = records.describe_commit()
    if (root / ".git").exists() and shutil.which("git"):
        assert commit.removesuffix("-dirty") == git(root, "rev-parse", "HEAD")
    else:
        assert commit is None


def test_records_are_in_the_repository_or_else_in_the_package(tmp_path, monkeypatch):
    package = tmp_path / "smallvit"
    monkeypatch.setattr(records, "__file__", str(package / "training" / "records.py"))
    assert results_folder() == package / "recorded"
    (tmp_path / "results").mkdir()
    assert results_folder() == tmp_path / "results"
