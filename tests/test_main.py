import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from samples import RECORD, TINY, tiny_dataset

from smallvit.__main__ import main
from smallvit.data.shapes import shapes100
from smallvit.training.recipes import RECIPES
from smallvit.training.records import read_record, write_record


@pytest.fixture
def data_dir(tmp_path):
    """A folder in CIFAR-100's form, of a size that trains in a moment."""
    (x_train, y_train), (x_test, y_test) = shapes100(300, 0), shapes100(100, 1)
    folder = tmp_path / "data"
    folder.mkdir()
    np.savez(
        folder / "cifar100.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test
    )
    return folder


def command(*arguments):
    return [sys.executable, "-m", "smallvit", *map(str, arguments)]


def test_help_reads_well_and_does_not_wait_for_keras():
    check = "import sys; from smallvit.__main__ import main\ntry: main(['--help'])\n"
    check += "finally: print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "train a recipe and write its record" in done.stdout
    assert done.stdout.endswith("False\n")


def test_recipes_are_listed_with_what_is_published_and_recorded(capsys, tmp_path):
    record = replace(
        RECORD, dataset="cifar100", complete=True, test={"loss": 2.7, "top1": 0.4511, "top5": 0.75}
    )
    write_record(tmp_path / "swin-keras" / "seed-0.json", record)
    write_record(tmp_path / "swin-keras" / "seed-1.json", replace(record, seed=1, epochs=40))
    assert main(["recipes", "--results", str(tmp_path)]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["swin-keras"].split() == [
        *("swin-keras", "162,996", "40", "44.80", "/", "75.23"),
        *("seed", "0:", "45.11,", "seed", "1:", "1", "epochs"),
    ]
    assert lines["vit-paper"].split() == ["vit-paper", "2,709,796", "100", "73.81", "/", "-", "-"]
    assert lines.keys() >= RECIPES.keys()


def test_reproduce_trains_what_has_no_record_and_goes_on_where_it_was_stopped(
    tmp_path, capsys, monkeypatch
):
    from smallvit.data import datasets
    from smallvit.training import loop

    small = {name: replace(TINY, name=name, epochs=2) for name in ("first", "second")}
    monkeypatch.setattr(loop, "RECIPES", small)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: tiny_dataset())
    arguments = ["reproduce", "--out", str(tmp_path)]

    assert main([*arguments, "--time-limit", "0.00001"]) == 3
    assert "first, seed 0: 1 of 2 epochs" in capsys.readouterr().out
    assert not (tmp_path / "second").exists()
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "first, seed 0: 2 of 2 epochs" in printed
    assert printed.endswith("Every recipe has its record.\n")
    assert loop.unrecorded(tmp_path) == []


@pytest.mark.parametrize("limit", ["0", "-3", "soon"])
def test_a_time_limit_is_minutes_to_come(capsys, limit):
    with pytest.raises(SystemExit):
        main(["reproduce", "--time-limit", limit])
    assert "--time-limit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "swin"], "no recipe 'swin'"),
        (["train", "swin-keras", "--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_a_mistake_gets_one_sentence(capsys, arguments, message):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("epochs", ["0", "two"])
def test_epochs_are_a_positive_number(capsys, epochs):
    with pytest.raises(SystemExit):
        main(["train", "swin-keras", "--epochs", epochs])
    assert "--epochs" in capsys.readouterr().err


def test_a_run_killed_in_mid_training_ends_as_one_that_was_not(data_dir, tmp_path):
    def run(out):
        return command(
            "train", "swin-keras", "--data", data_dir, "--epochs", "3", "--seed", "7", "--out", out
        )

    subprocess.run(run(tmp_path / "whole"), check=True, capture_output=True)
    state = tmp_path / "killed" / "swin-keras" / "seed-7" / "state.npz"
    with subprocess.Popen(run(tmp_path / "killed"), stdout=subprocess.DEVNULL) as process:
        while not state.exists():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run(run(tmp_path / "killed"), check=True, capture_output=True, text=True)

    assert "swin-keras, seed 7: 3 of 40 epochs on unverified-cifar100" in done.stdout
    whole, killed = (tmp_path / out / "swin-keras" for out in ("whole", "killed"))
    assert read_record(killed / "seed-7.json").test == read_record(whole / "seed-7.json").test
    assert_same_files(whole / "seed-7.weights.h5", killed / "seed-7.weights.h5")


def test_shapes100_is_named_as_synthetic(tmp_path, capsys, monkeypatch):
    from smallvit.data import datasets

    tiny = datasets.paint_dataset(150, 50)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: tiny)
    out = ["--out", str(tmp_path)]
    assert main(["train", "swin-keras", "--data", "shapes100", "--epochs", "1", *out]) == 0
    printed = capsys.readouterr().out
    assert "a synthetic stand-in" in printed
    assert "published" not in printed
    record = read_record(tmp_path / "swin-keras" / "seed-0.json")
    assert record.command == (
        "python -m smallvit train swin-keras --seed 0 --epochs 1 --data shapes100"
    )


def assert_same_files(path, other_path):
    """Two weight files hold the same arrays."""
    with h5py.File(path) as mine, h5py.File(other_path) as theirs:
        names = []
        mine.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        assert names
        for name in names:
            np.testing.assert_array_equal(mine[name], theirs[name])
