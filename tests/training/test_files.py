import os
import platform
import subprocess
import sys
import types
from pathlib import Path

import keras
import pytest
from samples import RECORD, TINY, tiny_dataset

from smallvit.training import files, loop
from smallvit.training.callbacks import Checkpoint
from smallvit.training.errors import OtherRunError, TrainingError
from smallvit.training.files import (
    mount_drive,
    replacing,
    require_mounted,
    run_lock,
    write_json,
)


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    """And so is the folder's entry for it before anything else happens."""
    path, done = tmp_path / "record.json", []

    def fsync(descriptor):
        done.append(os.fstat(descriptor).st_ino)

    def replace(old, new):
        done.append((str(old), str(new)))
        os.rename(old, new)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.os, "replace", replace)
    write_json(path, {"a": 1})
    temporary = str(tmp_path / ".part-record.json")
    assert done == [path.stat().st_ino, (temporary, str(path)), tmp_path.stat().st_ino]
    assert path.read_text() == '{\n "a": 1\n}\n'


def test_a_file_that_cannot_be_finished_leaves_the_one_before(tmp_path):
    path = tmp_path / "state"
    path.write_text("before")
    with pytest.raises(OSError, match="no space"), replacing(path) as temporary:
        temporary.write_text("half of wh")
        raise OSError("no space")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_whatever_a_run_writes_takes_its_place_whole(tmp_path, monkeypatch):
    placed, replace = [], os.replace

    def note(old, new):
        placed.append(Path(new).name)
        replace(old, new)

    monkeypatch.setattr(files.os, "replace", note)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd")
    checkpoint = Checkpoint(tmp_path / "seed-3")
    checkpoint.set_params({"steps": 1})
    checkpoint.set_model(model)
    checkpoint.on_epoch_begin(0)
    checkpoint.on_train_batch_end(0)
    checkpoint.on_epoch_end(0, {"loss": 1.0})
    assert placed == ["state.npz", "seed-3.csv"]
    monkeypatch.setattr(loop, "_fit", lambda *_: (model, checkpoint))
    monkeypatch.setattr(loop, "_evaluate", lambda *_: RECORD.test)
    loop.train(TINY, tiny_dataset(), tmp_path, epochs=1)
    assert placed[2:] == ["seed-0.weights.h5", "seed-0.json"]


def test_a_temporary_file_is_not_written_through_a_link(tmp_path):
    precious, path = tmp_path / "precious", tmp_path / "record.json"
    precious.write_text("keep me")
    (tmp_path / ".part-record.json").symlink_to(precious)
    write_json(path, {})
    assert precious.read_text() == "keep me"
    assert not path.is_symlink()


HOLD = """
import sys
from pathlib import Path
from smallvit.training.files import run_lock

with run_lock(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""


def test_a_second_process_learns_which_one_is_at_the_run(tmp_path):
    folder = tmp_path / "seed-3"
    command = [sys.executable, "-c", HOLD, folder]
    pipe = subprocess.PIPE  # its end ends the process if the test fails
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as first:
        first.stdout.readline()
        message = f"is being trained by process {first.pid} on {platform.node()}; wait for it"
        with pytest.raises(OtherRunError, match=message), run_lock(folder):
            pass
        first.kill()
    assert (folder / "lock").read_text()  # a killed process leaves its file, and no lock
    with run_lock(folder):
        assert (folder / "lock").read_text() == f"{os.getpid()} on {platform.node()}"
    assert (folder / "lock").read_text() == ""


def test_a_run_finished_just_before_the_lock_was_taken_is_not_run_again(tmp_path, monkeypatch):
    found = iter([None, RECORD])
    monkeypatch.setattr(loop, "_find_finished", lambda *_: next(found))
    monkeypatch.setattr(loop, "_fit", None)
    assert loop.train(TINY, tiny_dataset(), tmp_path) is RECORD


def test_a_lock_of_another_machine_is_respected(tmp_path):
    """Not every file system shares locks."""
    (tmp_path / "lock").write_text("17 on a-machine-far-away")
    message = r"is in use by process 17 on a-machine-far-away; if that process has ended, delete .*"
    with pytest.raises(OtherRunError, match=message), run_lock(tmp_path):
        pass
    assert (tmp_path / "lock").read_text() == "17 on a-machine-far-away"


def test_a_lock_is_not_taken_through_a_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"), run_lock(tmp_path / "run"):
        pass
    assert precious.read_text() == "keep me"


def test_a_lock_in_a_folder_that_was_just_deleted_is_taken_anew(tmp_path, monkeypatch):
    import fcntl
    import shutil

    folder, flock = tmp_path / "run", fcntl.flock

    def delete_first(*arguments):
        monkeypatch.setattr(fcntl, "flock", flock)
        shutil.rmtree(folder)
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with run_lock(folder):
        assert (folder / "lock").read_text()


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """The place of Google Drive, where nothing is mounted."""
    monkeypatch.setattr(files, "GOOGLE_DRIVE", tmp_path / "drive")
    return tmp_path / "drive"


def test_a_drive_that_is_not_mounted_is_told(drive, tmp_path):
    with pytest.raises(TrainingError, match=r"not mounted. Run .*drive\.mount\('.*/drive'\)"):
        require_mounted(drive / "MyDrive" / "runs")
    assert not drive.exists()
    require_mounted(tmp_path / "elsewhere")


@pytest.mark.parametrize("place", ["drive", "elsewhere"])
def test_colabs_next_machine_takes_over_a_run_on_the_drive(drive, tmp_path, monkeypatch, place):
    """Elsewhere a lock of another machine holds."""
    folder = tmp_path / place / "runs"
    monkeypatch.setattr(platform, "node", lambda: "first")
    with run_lock(folder):
        left_behind = (folder / "lock").read_text()
    (folder / "lock").write_text(left_behind)  # the machine was taken away
    monkeypatch.setattr(platform, "node", lambda: "second")
    if place == "drive":
        with run_lock(folder):
            assert (folder / "lock").read_text() == f"{os.getpid()} on Colab"
    else:
        with (
            pytest.raises(OtherRunError, match=r"in use by process \d+ on first"),
            run_lock(folder),
        ):
            pass


def test_colab_mounts_the_drive(drive, monkeypatch):
    mounted = []
    colab = types.ModuleType("google.colab")
    colab.drive = types.SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert mount_drive("runs") == drive / "MyDrive" / "runs"
    assert mounted == [str(drive)]


def test_elsewhere_there_is_no_drive_to_mount(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", None)
    with pytest.raises(TrainingError, match="Only Colab can mount Google Drive"):
        mount_drive("runs")
