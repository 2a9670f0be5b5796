import json
from dataclasses import asdict

import pytest
from samples import RECORD

from smallvit.training import records
from smallvit.training.records import RecordError, read_record, write_record


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
    assert records.describe_device()
    assert {"python", "keras", "numpy"} <= records.describe_versions().keys()
    commit = records.describe_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40


def test_outside_git_there_is_no_commit(monkeypatch):
    monkeypatch.setattr(records, "_output_of", lambda *command: "")
    assert records.describe_commit() is None
