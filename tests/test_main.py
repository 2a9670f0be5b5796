import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image
from samples import RECORD, TINY, cifar100_stub, tiny_dataset

from smallvit.__main__ import _build_parser, _command, _summary, main
from smallvit.data.shapes import shapes100
from smallvit.training.errors import OtherRunError
from smallvit.training.pretrained import load_run
from smallvit.training.recipes import RECIPES
from smallvit.training.records import read_record, read_results, results_folder, write_record
from smallvit.training.runtime import PRECISIONS


@pytest.fixture
def data_dir(tmp_path):
    """A folder in CIFAR-100's form, of a size that trains in a moment."""
    # As many to test as are held out for validation: one shape less to compile for.
    (x_train, y_train), (x_test, y_test) = shapes100(300, 0), shapes100(30, 1)
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
        RECORD,
        dataset="cifar100",
        published_data=True,
        test={"loss": 2.7, "top1": 0.4511, "top5": 0.75},
        history=[{"epoch": 1, "loss": 4.6, "seconds": 600.0}],
    )
    write_record(tmp_path / "swin-keras" / "seed-0.json", record)
    begun = replace(record, seed=1, epochs=40, test=None)
    write_record(tmp_path / "swin-keras" / "seed-1.json", begun)
    assert main(["recipes", "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines() if line[0] != " "}
    assert lines["swin-keras"].split() == [
        *("swin-keras", "162,996", "40", "44.80", "/", "75.23"),
        *("seed", "0:", "45.11,", "seed", "1:", "1", "of", "40", "epochs"),
    ]
    assert f"    {RECIPES['swin-keras'].summary} (about 6 h 40 min on a processor)\n" in printed
    assert "CIFAR-100 is a download of 169 MB" in printed
    assert lines["vit-paper"].split() == ["vit-paper", "2,709,796", "100", "73.81", "/", "-", "-"]
    assert lines.keys() >= RECIPES.keys()


def test_recipes_are_listed_with_the_packages_own_records_from_any_folder(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["recipes"]) == 0
    (line,) = re.findall("^swin-keras .*$", capsys.readouterr().out, re.MULTILINE)
    (record, *_) = read_results(results_folder())["swin-keras"]
    assert f"seed 0: {100 * record.reported['top1']:.2f}" in line


def test_reproduce_trains_what_has_no_record_and_goes_on_where_it_was_stopped(
    tmp_path, capsys, monkeypatch
):
    from smallvit.data import datasets
    from smallvit.training import loop

    small = {name: replace(TINY, name=name, epochs=2) for name in ("first", "second")}
    monkeypatch.setattr(loop, "RECIPES", small)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: tiny_dataset())
    arguments = ["reproduce", "--out", str(tmp_path), "--results", str(tmp_path)]

    assert main([*arguments, "--time-limit", "0.00001"]) == 3
    assert "first, seed 0: 1 of 2 epochs" in capsys.readouterr().out
    assert not (tmp_path / "second").exists()
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "first, seed 0: 2 of 2 epochs" in printed
    assert printed.endswith("Every recipe has its record.\n")
    assert loop.unrecorded(tmp_path, tiny_dataset()) == []


def test_reproduce_shows_what_others_recorded_and_goes_on_to_the_rest(
    tmp_path, capsys, monkeypatch
):
    """An unfinished record of somebody else's neither blocks a recipe nor is continued."""
    from smallvit.data import datasets
    from smallvit.training import loop

    small = {name: replace(TINY, name=name) for name in ("first", "second", "third", "fourth")}
    monkeypatch.setattr(loop, "RECIPES", small)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: tiny_dataset())
    results, out = tmp_path / "results", tmp_path / "runs"
    done = replace(RECORD, dataset="cifar100", published_data=True)
    write_record(results / "first" / "seed-0.json", replace(done, recipe="first"))
    begun = replace(RECORD, recipe="second", epochs=50, test=None, data_fingerprint="1" * 64)
    write_record(results / "second" / "seed-0.json", begun)
    write_record(out / "third" / "seed-0.json", replace(begun, recipe="third"))
    before = {path: path.read_bytes() for path in results.rglob("*.json")}
    trained = []

    def train(recipe, dataset, out, *arguments):
        if (out / recipe.name / "seed-0.json").exists():
            raise OtherRunError("third/seed-0.json holds a run with another epochs")
        trained.append((recipe.name, out))
        return replace(RECORD, recipe=recipe.name)

    monkeypatch.setattr(loop, "train", train)
    assert main(["reproduce", "--out", str(out), "--results", str(results)]) == 1
    printed = capsys.readouterr()
    assert f"first in {results}: seed 0: 1.00\n" in printed.out
    assert f"second in {results}: seed 0: 1 of 50 epochs\n" in printed.out
    assert "Building 3 models to begin with the cheapest: second third fourth\n" in printed.out
    assert trained == [("second", out), ("fourth", out)]
    assert printed.err == "smallvit: third/seed-0.json holds a run with another epochs\n"
    assert {path: path.read_bytes() for path in results.rglob("*.json")} == before


def test_runs_go_to_a_folder_of_ones_own(tmp_path, monkeypatch):
    """Not to `results`, which holds what others recorded."""
    from smallvit.data import datasets
    from smallvit.training import loop

    folders = []

    def train(recipe, dataset, out, *arguments):
        folders.append(out)
        return replace(RECORD, recipe=recipe.name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "RECIPES", {"first": replace(TINY, name="first")})
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: tiny_dataset())
    monkeypatch.setattr(loop, "train", train)
    assert main(["train", "swin-keras"]) == main(["reproduce"]) == 0
    assert folders == [Path("runs"), Path("runs")]


def test_reproduce_begins_no_recipe_when_the_time_is_over(tmp_path, capsys, monkeypatch):
    from smallvit.data import datasets
    from smallvit.training import loop

    small = {name: replace(TINY, name=name) for name in ("first", "second")}
    monkeypatch.setattr(loop, "RECIPES", small)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: tiny_dataset())
    trained = []

    def train(recipe, *arguments):
        trained.append((recipe.name, arguments[-1].time_limit))
        return replace(RECORD, recipe=recipe.name)

    clock = iter([0, 10, 70])  # seconds: at the start, before the first, before the second
    monkeypatch.setattr(loop, "train", train)
    monkeypatch.setattr("smallvit.__main__.time.monotonic", lambda: next(clock))
    folders = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path)]
    assert main(["reproduce", "--time-limit", "1", *folders]) == 3
    assert trained == [("first", 50)]
    printed = capsys.readouterr().out
    assert printed.endswith("The time limit came first; the same command continues.\n")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        *(("--time-limit", value, "more than 0 minutes") for value in ("0", "-3", "inf", "nan")),
        ("--time-limit", "soon", "more than 0 minutes; got soon"),
        *(("--epochs", value, "must be at least 1") for value in ("0", "-1", "two", "1.5")),
        *(("--workers", value, "must be at least 0") for value in ("-1", "many")),
        ("--steps-per-call", "0", "must be at least 1"),
        ("--seed", "-1", "must be at least 0"),
        *(("--precision", "float8", name) for name in PRECISIONS),
        ("--colour", "red", "unrecognized arguments"),
    ],
)
def test_a_wrong_value_gets_one_sentence(capsys, option, value, message):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "swin-keras", f"{option}={value}"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert option in error and message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "swin"], "no recipe 'swin'"),
        (["train", "swin-keras", "--data", "no/such/folder"], "no/such/folder"),
        (["train", "swin-keras", "--dataset", "shapes10"], "shapes10"),
        (["train", "swin-keras", "--dataset", "shapes100", "--seed", str(2**32)], "4294967295"),
        (["predict", "no/such/record.json", "cat.jpg"], "no/such/record.json"),
    ],
)
def test_a_mistake_gets_one_sentence(capsys, arguments, message, monkeypatch):
    from smallvit.data import datasets

    load = datasets.load_dataset
    monkeypatch.setattr(
        datasets,
        "load_dataset",
        lambda name, *where: tiny_dataset() if name == "shapes100" else load(name, *where),
    )
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_backend_that_is_not_installed_gets_one_sentence():
    missing = [name for name in ("jax", "torch", "tensorflow") if find_spec(name) is None]
    if not missing:
        pytest.skip("all are installed")
    environment = {**os.environ, "KERAS_BACKEND": missing[0]}
    done = subprocess.run(command("recipes"), env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"run `pip install {missing[0]}`" in done.stderr


def test_nothing_is_logged_but_what_the_command_says():
    environment = {k: x for k, x in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command("recipes"), env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_while_keras_is_imported_ends_in_one_line(tmp_path):
    """Keras's place is taken by a module whose import takes long."""
    (tmp_path / "keras.py").write_text("print(flush=True); import time; time.sleep(600)")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        command("train", "swin-keras"),
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == b"\nStopped; nothing was trained.\n"


def test_an_interrupt_in_training_ends_in_one_line(tmp_path, capsys, monkeypatch):
    from smallvit.data import datasets
    from smallvit.training import loop

    def train(*_):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    monkeypatch.setattr(datasets, "load_dataset", lambda *_: tiny_dataset())
    monkeypatch.setattr(loop, "train", train)
    assert main(["train", "swin-keras", "--out", str(tmp_path)]) == 130
    message = "\nStopped. The same command continues after the last finished epoch.\n"
    assert capsys.readouterr().err == message


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"smallvit {version('smallvit')}\n"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the record is TensorFlow's")
def test_a_finished_record_of_the_repository_is_left_as_it_is(tmp_path, capsys, monkeypatch):
    from smallvit.data import datasets

    path = tmp_path / "swin-keras" / "seed-0.json"
    path.parent.mkdir()
    path.write_bytes((results_folder() / "swin-keras" / "seed-0.json").read_bytes())
    before = path.read_bytes(), path.stat().st_mtime_ns
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: cifar100_stub())
    assert main(["train", "swin-keras", "--data", "DIR", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "swin-keras, seed 0: 40 of 40 epochs on cifar100" in printed
    assert "this run is finished" in printed
    assert "top-1 45.10  top-5 75.42" in printed
    assert f"record: {path}   weights: not in this folder" in printed
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert list(tmp_path.rglob("*")) == [path.parent, path]


def test_a_run_killed_in_mid_training_ends_as_one_that_was_not(data_dir, tmp_path):
    def run(out):
        return command(
            "train", "ladder-cnn", "--data", data_dir, "--epochs", "3", "--seed", "7", "--out", out
        )

    subprocess.run(run(tmp_path / "whole"), check=True, capture_output=True)
    state = tmp_path / "killed" / "ladder-cnn" / "seed-7" / "state.npz"
    with subprocess.Popen(run(tmp_path / "killed"), stdout=subprocess.DEVNULL) as process:
        while not state.exists():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = subprocess.run(run(tmp_path / "killed"), check=True, capture_output=True, text=True)

    assert "ladder-cnn, seed 7: 3 of 3 epochs on unverified-cifar100" in done.stdout
    whole, killed = (tmp_path / out / "ladder-cnn" for out in ("whole", "killed"))
    assert read_record(killed / "seed-7.json").test == read_record(whole / "seed-7.json").test
    assert_same_files(whole / "seed-7.weights.h5", killed / "seed-7.weights.h5")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of a tiny recipe from the command line: its record's path and what was printed."""
    from smallvit.data import datasets

    out = tmp_path_factory.mktemp("finished")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setitem(RECIPES, "tiny", TINY)
        patch.setattr(datasets, "load_dataset", lambda *_: tiny_dataset())
        command = ["train", "tiny", "--dataset", "shapes100", "--epochs", "1", "--out", str(out)]
        assert main(command) == 0
    return out / "tiny" / "seed-0.json", printed.getvalue()


def test_shapes100_is_named_as_synthetic(finished):
    path, printed = finished
    assert "shapes100, synthetic; the figures say nothing about CIFAR-100" in printed
    assert "published" not in printed
    assert read_record(path).command == (
        "python -m smallvit train tiny --seed 0 --epochs 1 --dataset shapes100"
    )


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (["--data", "/home/me"], "--data DIR"),
        (["--dataset", "cifar10"], "--dataset cifar10"),
        (["--dataset", "/home/me/cats"], "--dataset FOLDER"),
        (["--precision", "mixed_bfloat16"], "--data DIR --precision mixed_bfloat16"),
    ],
)
def test_the_recorded_command_names_no_folder_of_this_machine(typed, kept):
    chosen = _build_parser().parse_args(["train", "swin-keras", *typed])
    assert _command(chosen) == f"python -m smallvit train swin-keras --seed 0 {kept}"


def test_a_run_that_the_book_does_not_count_says_so(tmp_path):
    dirty = replace(RECORD, sittings=[{**RECORD.sittings[0], "commit": "1234567-dirty"}])
    lines = _summary(dirty, TINY, tmp_path / "seed-0").splitlines()
    assert "The code has uncommitted changes, so the book does not count this run." in lines
    assert lines[-1].endswith("seed-0.json   weights: not in this folder")


def test_a_run_says_where_it_left_what_and_what_takes_time(finished):
    path, printed = finished
    weights = path.with_name("seed-0.weights.h5")
    assert f"record: {path}   weights: {weights}\n" in printed
    compiles = keras.backend.backend() != "torch"
    assert ("XLA compiles the first step; it can take a minute." in printed) == compiles


def test_images_are_classified_with_a_runs_weights(finished, tmp_path, capsys):
    """Of any size and kind; the probabilities are the model's."""
    path, _ = finished
    images, _ = tiny_dataset().test
    Image.fromarray(images[0]).save(tmp_path / "same.png")
    Image.fromarray(np.kron(images[0], np.ones((3, 3, 1), "uint8"))).convert("L").save(
        tmp_path / "large and grey.jpg"
    )
    paths = [str(tmp_path / name) for name in ("same.png", "large and grey.jpg")]
    assert main(["predict", str(path), "--top", "100", *paths]) == 0
    first, second = capsys.readouterr().out.splitlines()
    record, model = load_run(path)
    logits = keras.ops.convert_to_numpy(model(images[:1].astype("float32") / 255))[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    named = re.findall(r"([\w ]+) (\d+\.\d) %", first.split(": ", 1)[1])
    assert len(named) == 100
    for name, percent in named:
        share = expected[record.classes.index(name.strip())]
        assert float(percent) == pytest.approx(100 * share, abs=0.051)
    assert second.startswith(f"{paths[1]}: ")


@pytest.mark.parametrize("spoil", ["image", "weights", "no weights"])
def test_what_cannot_be_classified_gets_one_sentence(finished, tmp_path, capsys, spoil):
    for path in finished[0].parent.glob("seed-0.*"):
        shutil.copy(path, tmp_path)
    weights, image = tmp_path / "seed-0.weights.h5", tmp_path / "cat.jpg"
    image.write_bytes(b"no image")
    if spoil == "weights":
        weights.write_bytes(weights.read_bytes()[:-1])
    if spoil == "no weights":
        weights.unlink()
    assert main(["predict", str(tmp_path / "seed-0.json"), str(image)]) == 1
    error = capsys.readouterr().err
    assert f"{image if spoil == 'image' else weights} " in error
    assert error.count("\n") == 1


def assert_same_files(path, other_path):
    """Two weight files hold the same arrays."""
    with h5py.File(path) as mine, h5py.File(other_path) as theirs:
        names = []
        mine.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
        assert names
        for name in names:
            np.testing.assert_array_equal(mine[name], theirs[name])


@pytest.mark.parametrize("name", ["recipes", "reproduce"])
def test_a_results_folder_that_does_not_exist_is_refused(name, tmp_path, capsys):
    assert main([name, "--results", str(tmp_path / "resutls")]) == 1
    assert "resutls is not a folder; name one with RECIPE/seed-N.json" in capsys.readouterr().err
