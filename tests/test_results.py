import json
from dataclasses import asdict

import pytest

from smallvit import results
from smallvit.results import Record, RecordError, read_record, write_record

RECORD = Record(
    recipe="swin-keras",
    config={"epochs": 1},
    dataset="shapes100",
    seed=0,
    epochs=1,
    complete=False,
    history=[{"epoch": 1, "loss": 4.6}],
    test={"loss": 4.6, "top1": 0.01, "top5": 0.05},
    parameters=162_996,
    seconds=1.5,
    device="a processor",
    backend="tensorflow",
    versions={"python": "3.13"},
    commit=None,
    data_fingerprint="0" * 64,
    command="python -m smallvit train swin-keras",
)


def test_a_record_reads_back_as_it_was_written(tmp_path):
    path = tmp_path / "swin-keras" / "seed-0.json"
    write_record(path, RECORD)
    assert read_record(path) == RECORD
    assert list(path.parent.iterdir()) == [path]


def test_a_truncated_record_is_refused(tmp_path):
    path = tmp_path / "seed-0.json"
    write_record(path, RECORD)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RecordError, match=r"seed-0\.json is not a readable record"):
        read_record(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.pop("test"), "see its fields test"),
        (lambda fields: fields.update(extra=1), "see its fields extra"),
        (lambda fields: fields.update(seconds="long"), "wrong kind of value in seconds"),
    ],
)
def test_an_edited_record_is_refused_by_field(tmp_path, change, message):
    fields = asdict(RECORD)
    change(fields)
    path = tmp_path / "seed-0.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(RecordError, match=message):
        read_record(path)


def test_device_versions_and_commit_are_told():
    assert results.describe_device()
    assert {"python", "keras", "numpy"} <= results.describe_versions().keys()
    commit = results.describe_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40


def test_outside_git_there_is_no_commit(monkeypatch):
    monkeypatch.setattr(results, "_output_of", lambda *command: "")
    assert results.describe_commit() is None
