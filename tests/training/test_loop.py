import csv
import dataclasses
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from samples import TINY, TINY_VIT, cifar100_stub, tiny_dataset

from smallvit.data.batches import Batches, OnDevice
from smallvit.data.datasets import paint_dataset
from smallvit.models.swin import swin_transformer
from smallvit.training import files, loop, recipes, runtime
from smallvit.training.callbacks import Checkpoint
from smallvit.training.files import OtherRunError, TrainingError
from smallvit.training.loop import train
from smallvit.training.recipes import BEST_EPOCH, get_recipe
from smallvit.training.records import (
    describe_commit,
    describe_versions,
    fingerprint_file,
    read_record,
    results_folder,
)
from smallvit.training.runtime import Session


@pytest.fixture(scope="module")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """A run that was left alone: the folder it wrote to, and its record."""
    out = tmp_path_factory.mktemp("finished")
    return out, train(TINY, dataset, out, seed=3, command="as typed")


@pytest.fixture(scope="module")
def begun(dataset, tmp_path_factory):
    """The same run, stopped by a time limit after its first epoch."""
    out = tmp_path_factory.mktemp("begun")
    hurried = Session(time_limit=1e-3)
    return out, train(TINY, dataset, out, seed=3, command="as typed", session=hurried)


@pytest.fixture
def copied(begun, tmp_path):
    """A copy of the stopped run to spoil: its folder and its state."""
    shutil.copytree(begun[0], tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / "tiny" / "seed-3" / "state.npz"


def rewrite_state(path, **changes):
    """Change what is saved beside the variables."""
    with np.load(path) as state:
        arrays = dict(state)
    about = json.loads(str(arrays["about"])) | changes
    np.savez(path, **{**arrays, "about": json.dumps(about)})


def test_a_run_leaves_a_record_and_weights_and_nothing_else(finished):
    out, record = finished
    assert sorted(path.name for path in (out / "tiny").iterdir()) == [
        "seed-3.csv",
        "seed-3.json",
        "seed-3.weights.h5",
    ]
    assert read_record(out / "tiny" / "seed-3.json") == record
    assert (record.epochs, record.comparable, record.dataset) == (3, False, "shapes100")
    (sitting,) = record.sittings
    assert sitting == {
        "commit": describe_commit(),
        "device": runtime.describe_device(),
        "versions": describe_versions(),
        "epochs": 3,
    }
    assert (len(record.classes), record.image_size) == (100, [8, 8])
    assert record.weights == fingerprint_file(out / "tiny" / "seed-3.weights.h5")
    assert [epoch["epoch"] for epoch in record.history] == [1, 2, 3]
    assert {"loss", "top1", "top5", "val_loss", "val_top1", "seconds", "step_seconds"} <= (
        record.history[0].keys()
    )
    assert record.test.keys() == {"loss", "top1", "top5"}
    assert record.command == "as typed"


def test_the_recorded_weights_give_the_recorded_figures(finished, dataset):
    out, record = finished
    model = loop.build_model(TINY)
    loop.compile_model(model, TINY, 100)
    keras.Model(model.inputs, model.outputs).load_weights(out / "tiny" / "seed-3.weights.h5")
    test = model.evaluate(TINY.batches(*dataset.test), return_dict=True, verbose=0)
    assert test == pytest.approx(record.test, rel=1e-5)


def test_a_finished_run_is_not_run_again(finished, dataset, monkeypatch):
    out, record = finished
    monkeypatch.setattr(loop, "build_model", None)
    assert train(TINY, dataset, out, seed=3) == record


def test_another_run_in_the_same_place_is_refused(finished, dataset):
    out, _ = finished
    with pytest.raises(TrainingError, match="another epochs; give another --out"):
        train(TINY, dataset, out, seed=3, epochs=2)


@pytest.mark.parametrize("stop_at", [(0, 2), (1, 0), (2, 3)])
def test_an_interrupted_run_ends_as_one_that_was_not(
    finished, dataset, tmp_path, monkeypatch, stop_at
):
    def interrupt(checkpoint, batch, logs=None):
        checkpoint._step_ends.append(0.0)
        if (len(checkpoint.history), batch) == stop_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "on_train_batch_end", interrupt)
        train(TINY, dataset, tmp_path, seed=3)
    resumed = train(TINY, dataset, tmp_path, seed=3, command="as typed")

    out, whole = finished
    assert_same_weights(tmp_path / "tiny" / "seed-3.weights.h5", out / "tiny" / "seed-3.weights.h5")
    assert without_times(resumed) == without_times(whole)


def test_a_run_killed_before_its_record_was_written_only_writes_it(
    finished, dataset, tmp_path, monkeypatch
):
    def kill(path, record):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "write_record", kill)
        train(TINY, dataset, tmp_path, seed=3, command="as typed")
    resumed = train(TINY, dataset, tmp_path, seed=3, command="as typed")
    assert without_times(resumed) == without_times(finished[1])
    assert resumed.seconds > 0


@pytest.mark.parametrize("content", [b"", b"PK not an archive", None])
def test_a_damaged_state_is_reported_in_one_sentence(copied, dataset, content):
    out, state = copied
    state.write_bytes(state.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(TrainingError, match=r"seed-3 is damaged \(.*\); delete it to start"):
        train(TINY, dataset, out, seed=3)


@pytest.mark.parametrize(
    ("history", "message"),
    [([], "not of 1 epochs"), ([{"epoch": 2}], "not of 1 epochs"), (None, "NoneType")],
)
def test_a_history_that_does_not_fit_the_state_is_refused(copied, dataset, history, message):
    out, state = copied
    rewrite_state(state, history=history)
    with pytest.raises(TrainingError, match=rf"seed-3 is damaged \(.*{message}.*\); delete it"):
        train(TINY, dataset, out, seed=3)


def test_a_state_of_another_seed_is_refused(begun, dataset, tmp_path):
    shutil.copytree(begun[0] / "tiny" / "seed-3", tmp_path / "tiny" / "seed-4")
    with pytest.raises(OtherRunError, match="seed-4 holds a run with another seed; give"):
        train(TINY, dataset, tmp_path, seed=4)


@pytest.mark.parametrize(
    ("changes", "with_record"),
    [
        ({"learning_rate": 2e-3}, True),
        ({"learning_rate": 2e-3}, False),  # killed before the record of a sitting was written
        ({"batch_size": 20}, True),
        ({"transforms": TINY.transforms[1:]}, True),
        ({"model": dataclasses.replace(TINY.model, window_size=4)}, True),
        ({"epochs": 4}, True),
    ],
)
def test_a_begun_run_is_not_continued_with_other_settings(copied, dataset, changes, with_record):
    out, state = copied
    if not with_record:
        (state.parents[1] / "seed-3.json").unlink()
    before = state.read_bytes()
    (name,) = changes
    with pytest.raises(OtherRunError, match=rf"another (model\.)?({name}|window_size); give"):
        train(dataclasses.replace(TINY, **changes), dataset, out, seed=3)
    assert state.read_bytes() == before


def test_a_begun_run_is_not_continued_on_other_data(copied):
    with pytest.raises(OtherRunError, match="another data_fingerprint; give"):
        train(TINY, paint_dataset(100, 50, image_size=8), copied[0], seed=3)


def test_a_begun_run_is_continued_by_a_recipe_with_other_words(copied, finished, dataset):
    """And the record names every commit, device and version that epochs were trained with."""
    reworded = dataclasses.replace(TINY, summary="other words", parameters=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "describe_device", lambda: "another device")
        record = train(reworded, dataset, copied[0], seed=3)
    assert [sitting["epochs"] for sitting in record.sittings] == [1, 2]
    assert [sitting["device"] for sitting in record.sittings][1] == "another device"
    assert read_record(copied[0] / "tiny" / "seed-3.json") == record
    figures = [[epoch["loss"] for epoch in r.history] for r in (record, finished[1])]
    assert figures[0] == figures[1]


def test_a_state_of_the_version_before_is_continued(copied, finished, dataset):
    """It had its settings and its history, which may be an epoch ahead, in files of their own."""
    out, state = copied
    with np.load(state) as saved:
        arrays = dict(saved)
    about = json.loads(str(arrays.pop("about")))
    np.savez(state, **arrays)
    config = about["settings"]["config"]
    steps = [{"step": each["class"], **each} for each in config.pop("transforms")]
    old = {
        "config": {**config, "steps": [{k: v for k, v in s.items() if k != "class"} for s in steps]}
    }
    (state.parent / "settings.json").write_text(json.dumps(about["settings"] | old))
    ahead = [*about["history"], {"epoch": 2, "loss": 1.0}]
    (state.parent / "history.json").write_text(json.dumps(ahead))
    (state.parents[1] / "seed-3.json").unlink()
    record = train(TINY, dataset, out, seed=3)
    assert record.test == finished[1].test
    assert [sitting["epochs"] for sitting in record.sittings] == [1, 2]
    assert record.commit.startswith("outside git, then ") or record.commit is None


def test_cut_weights_are_noticed(finished, dataset, tmp_path):
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "tiny" / "seed-3.weights.h5"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(TrainingError, match=r"weights\.h5 is damaged, or not of the run in"):
        train(TINY, dataset, tmp_path, seed=3)
    weights.unlink()  # as in a repository, which keeps small weights only
    assert train(TINY, dataset, tmp_path, seed=3) == finished[1]


def test_a_run_that_another_process_trains_is_refused(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_fit", None)
    run = tmp_path / "tiny" / "seed-3"
    with files.run_lock(run), pytest.raises(OtherRunError, match="seed-3 is being trained by"):
        train(TINY, dataset, tmp_path, seed=3)
    with pytest.raises(TypeError, match="NoneType"):  # `_fit`: the lock is gone
        train(TINY, dataset, tmp_path, seed=3)


@pytest.mark.parametrize("augment", ["host", "device"])
def test_tensorflow_traces_the_step_once(dataset, tmp_path, monkeypatch, augment):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("it is about TensorFlow")
    traced, step = [], keras.Model.train_step

    def train_step(model, data):
        traced.append(model.name)
        return step(model, data)

    monkeypatch.setattr(keras.Model, "train_step", train_step)
    train(TINY, dataset, tmp_path, epochs=2, session=Session(augment=augment))
    assert traced == ["tiny"]


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True])
def test_a_seed_is_a_whole_number_of_32_bits(dataset, tmp_path, seed):
    with pytest.raises(
        ValueError, match=r"seed must be (an integer of at least 0|at most 4294967295); got"
    ):
        train(TINY, dataset, tmp_path, seed=seed)


@pytest.mark.parametrize("epochs", [0, -1, 2.0])
def test_epochs_are_at_least_one(dataset, tmp_path, epochs):
    with pytest.raises(ValueError, match="epochs must be an integer of at least 1"):
        train(TINY, dataset, tmp_path, epochs=epochs)


@pytest.mark.parametrize(
    "path", sorted(results_folder().glob("*/seed-*.json")), ids=lambda path: path.parent.name
)
def test_the_repositorys_records_are_finished_runs_or_somebody_elses(path, tmp_path, monkeypatch):
    """Whoever trains a recorded recipe in a folder with its record does not harm the record."""
    recipe, record = get_recipe(path.parent.name), read_record(path)
    copy = tmp_path / recipe.name / path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    monkeypatch.setattr(loop.keras.backend, "backend", lambda: record.backend)
    monkeypatch.setattr(loop, "_fit", None)

    def train_again():
        session = Session(precision=record.precision)
        return train(recipe, cifar100_stub(), tmp_path, record.seed, session=session)

    if recipe.name == "sl-vit-keras":  # it learnt another parameter than today's recipe
        with pytest.raises(OtherRunError, match=r"another model\.temperature_as; give"):
            train_again()
    elif record.finished:
        assert train_again() == record
    else:
        with pytest.raises(TypeError, match="NoneType"):  # `_fit`: it would train
            train_again()
    assert copy.read_bytes() == path.read_bytes()
    assert not (copy.parent / "seed-0" / "state.npz").exists()


def test_the_table_says_what_the_record_says(finished):
    out, record = finished
    with (out / "tiny" / "seed-3.csv").open(encoding="utf-8") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    for row, epoch in zip(rows, record.history, strict=True):
        assert row == pytest.approx(epoch, abs=1e-4)


def test_a_time_limit_stops_after_an_epoch_and_the_run_goes_on(finished, begun, copied, dataset):
    (out, whole), (_, first), (tmp_path, _) = finished, begun, copied
    assert (len(first.history), first.finished, first.test) == (1, False, None)
    assert read_record(tmp_path / "tiny" / "seed-3.json") == first
    hurried = Session(time_limit=1e-3)
    second = train(TINY, dataset, tmp_path, seed=3, command="as typed", session=hurried)
    assert (len(second.history), second.finished) == (2, False)
    last = train(TINY, dataset, tmp_path, seed=3, command="as typed")
    assert without_times(last) == without_times(whole)
    assert_same_weights(tmp_path / "tiny" / "seed-3.weights.h5", out / "tiny" / "seed-3.weights.h5")


def test_a_run_that_leaves_the_numbers_stops_and_keeps_its_last_good_state(dataset, tmp_path):
    wild = dataclasses.replace(TINY, learning_rate=1e18, schedule=None)
    with pytest.raises(TrainingError, match=r"loss is (nan|inf) at step \d+ of epoch 1\. .* lower"):
        train(wild, dataset, tmp_path)
    assert not (tmp_path / "tiny" / "seed-0" / "state.npz").exists()


def test_a_figure_that_is_no_number_is_not_kept(dataset, tmp_path, monkeypatch):
    """The last step of an epoch can spoil the weights when its own loss is still a number."""
    good = Checkpoint.on_epoch_end

    def spoil_the_second(checkpoint, epoch, logs=None):
        good(checkpoint, epoch, {**logs, "val_loss": float("nan")} if epoch == 1 else logs)

    monkeypatch.setattr(Checkpoint, "on_epoch_end", spoil_the_second)
    with pytest.raises(TrainingError, match="val_loss is nan at the end of epoch 2"):
        train(TINY, dataset, tmp_path)
    with np.load(tmp_path / "tiny" / "seed-0" / "state.npz") as state:
        assert state["epochs"] == 1


def test_the_schedule_is_a_line_and_half_a_cosine():
    recipe = dataclasses.replace(TINY, epochs=10, batch_size=10, learning_rate=1e-2)
    schedule = loop.build_schedule(recipe, 200)  # 20 steps an epoch, 20 steps of warm-up
    rates = [float(schedule(step)) for step in range(201)]
    np.testing.assert_allclose(rates[:21], np.linspace(1e-6, 1e-2, 21), rtol=1e-4)
    progress = np.linspace(0, 1, 181)
    cosine = 1e-6 + (1e-2 - 1e-6) * (1 + np.cos(np.pi * progress)) / 2
    np.testing.assert_allclose(rates[20:], cosine, rtol=1e-4)


@pytest.mark.parametrize("name", ["vit-paper", "swin-paper-3e-3"])
def test_the_papers_schedule_ends_with_its_117100_steps(name):
    recipe = get_recipe(name)
    assert recipe.steps_per_epoch(50_000) * recipe.epochs == 117_100
    schedule = loop.build_schedule(recipe, 50_000)
    assert float(schedule(11_710)) == pytest.approx(recipe.learning_rate)
    assert float(schedule(117_100)) == pytest.approx(1e-6, rel=1e-3)


def test_the_recorded_test_figures_are_those_of_the_last_epoch_and_the_best(dataset, tmp_path):
    watched = dataclasses.replace(TINY, protocol=BEST_EPOCH, validation_fraction=0.0)
    record = train(watched, dataset, tmp_path)
    last = {
        name.removeprefix("val_"): x for name, x in record.history[-1].items() if "val_" in name
    }
    assert record.test == pytest.approx(last, rel=1e-5)
    assert record.best["val_top1"] == max(epoch["val_top1"] for epoch in record.history)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_precision_is_set_for_the_run_and_set_back(dataset, tmp_path, precision):
    record = train(TINY, dataset, tmp_path, epochs=1, session=Session(precision=precision))
    assert record.precision == precision
    assert keras.config.dtype_policy().name == "float32"
    with pytest.raises(TrainingError, match="another precision"):
        train(TINY, dataset, tmp_path, epochs=1)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("workers", value) for value in (-1, 1.5, True)),
        *(("steps_per_call", value) for value in (0, 2.0, True)),
        *(("time_limit", value) for value in (-1.0, float("nan"))),
    ],
)
def test_an_option_out_of_range_is_refused(option, value):
    with pytest.raises(ValueError, match=rf"^{option} must be .*at least [01].*; got"):
        Session(**{option: value})


@pytest.mark.parametrize(
    "model", [dataclasses.replace(TINY.model, depths=(2,)), TINY_VIT], ids=["swin", "vit"]
)
def test_float16_scales_the_loss_and_a_resumed_run_goes_on_with_the_scale(
    model, dataset, tmp_path, monkeypatch
):
    """Shifted windows and a masked diagonal. The first scale overflows, so steps are left out."""
    recipe = dataclasses.replace(TINY, model=model)
    scaled, first = keras.optimizers.LossScaleOptimizer, 2.0**24
    start = scaled.__init__
    monkeypatch.setattr(scaled, "__init__", lambda *a, **k: start(*a, initial_scale=first, **k))
    session = Session(precision="mixed_float16")
    whole = train(recipe, dataset, tmp_path / "whole", session=session)
    hurried = dataclasses.replace(session, time_limit=1e-3)
    train(recipe, dataset, tmp_path / "cut", session=hurried)

    with runtime.device_settings(session.for_this_device()):
        compiled = loop.build_model(recipe)
        loop.compile_model(compiled, recipe, 90)
        assert isinstance(compiled.optimizer, scaled)
        assert Checkpoint(tmp_path / "cut" / "tiny" / "seed-0").restore(compiled) == 1
    scale, steps = float(compiled.optimizer.dynamic_scale), int(compiled.optimizer.iterations)
    assert 1 <= scale < first and steps == 9 - np.log2(first / scale)

    resumed = train(recipe, dataset, tmp_path / "cut", session=session)
    assert without_times(resumed) == without_times(whole)


def test_an_unknown_place_or_precision_is_refused():
    with pytest.raises(ValueError, match="augment must be host or device; got 'gpu'"):
        Session(augment="gpu")
    with pytest.raises(ValueError, match=r"precision must be one of float32, .*; got 'float8'"):
        Session(precision="float8")


@pytest.mark.parametrize(
    ("precision", "backends"), [("float32", {"tensorflow", "jax"}), ("mixed_bfloat16", {"jax"})]
)
def test_on_a_cpu_xla_compiles_where_it_gains(precision, backends, monkeypatch):
    monkeypatch.setattr(runtime, "on_cpu", lambda: True)
    with runtime.device_settings(Session(precision=precision)):
        model = loop.build_model(TINY)
        loop.compile_model(model, TINY, 100)
    assert model.jit_compile == (keras.backend.backend() in backends)


def test_several_steps_a_call_give_the_same_run(finished, dataset, tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras takes one step at a time on torch")
    several = train(TINY, dataset, tmp_path, seed=3, session=Session(steps_per_call=2))
    losses = [[epoch["loss"] for epoch in r.history] for r in (several, finished[1])]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_distribution_takes_jax(dataset, tmp_path):
    if keras.backend.backend() == "jax":
        pytest.skip("it is JAX")
    with pytest.raises(TrainingError, match="needs JAX; Keras runs on"):
        train(TINY, dataset, tmp_path, session=Session(distribute=True))


def test_batches_that_devices_cannot_share_are_told_in_one_sentence(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "cpu:1", "cpu:2"])
    with pytest.raises(TrainingError, match="3 devices cannot share batches of 10 and 16 images"):
        runtime.require_divisible({16, 10, 0})


def test_on_a_cpus_cores_the_losses_are_those_on_one_device(tmp_path):
    """Of six cores four can share batches of 16, 8 and 4 images."""
    if keras.backend.backend() != "jax":
        pytest.skip("JAX spreads runs over devices")
    script = tmp_path / "spread.py"
    script.write_text(SPREAD)
    printed = subprocess.run(
        [sys.executable, script, tmp_path, Path(__file__).parents[1]],
        capture_output=True,
        text=True,
    )
    assert printed.returncode == 0, printed.stderr
    devices, four, one = json.loads(printed.stdout.splitlines()[-1])
    assert devices == 4
    np.testing.assert_allclose(four, one, rtol=1e-3)


SPREAD = """
import dataclasses, json, os, sys
from pathlib import Path

os.cpu_count = lambda: 6
sys.path.insert(0, sys.argv[2])
import jax
from samples import TINY, tiny_dataset

from smallvit.data.mixing import CutMixOrMixup
from smallvit.training.loop import train
from smallvit.training.runtime import Session

mixing = CutMixOrMixup(probability=1.0)
recipe = dataclasses.replace(TINY, validation_fraction=0.2, batch_size=16, mixing=mixing)
losses = []
for distribute in (True, False):
    out = Path(sys.argv[1]) / str(distribute)
    session = Session(distribute=distribute, augment="device" if distribute else "host")
    record = train(recipe, tiny_dataset(), out, session=session)
    losses.append([epoch["loss"] for epoch in record.history])
print(json.dumps([jax.device_count(), *losses]))
"""


TINY_PAPER = dataclasses.replace(
    get_recipe("sl-vit-paper"), name="tiny", model=TINY_VIT, epochs=2, batch_size=32
)


@pytest.mark.parametrize(
    ("seed", "augment"), [(0, "host"), (1, "host"), (2, "host"), (0, "device")]
)
def test_the_papers_augmentation_resumes_wherever_it_was_killed(tmp_path, dataset, seed, augment):
    """All random parts at once, stopped at a random step: the same record as without a stop."""
    recipe, session = TINY_PAPER, Session(augment=augment)
    whole = train(recipe, dataset, tmp_path / "whole", seed, session=session)
    stop_at = int(np.random.default_rng(seed).integers(1, 18))  # of 2 epochs of 9 steps
    steps = itertools.count(1)

    class Killer(Checkpoint):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if next(steps) == stop_at:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "Checkpoint", Killer)
        train(recipe, dataset, tmp_path / "killed", seed, session=session)
    session = dataclasses.replace(session, workers=2)
    resumed = train(recipe, dataset, tmp_path / "killed", seed, session=session)
    assert without_times(resumed) == without_times(whole)


@pytest.mark.parametrize("recipe", [TINY, TINY_PAPER], ids=["swin", "paper"])
def test_a_run_may_go_on_on_the_device_and_is_the_same(tmp_path, dataset, recipe):
    """To rounding; its weights are those of the network, as those of other runs are."""
    whole = train(recipe, dataset, tmp_path / "whole")
    train(recipe, dataset, tmp_path / "cut", session=Session(time_limit=1e-3))
    steps = 1 if keras.backend.backend() == "torch" else 2
    session = Session(augment="device", steps_per_call=steps)
    cut = train(recipe, dataset, tmp_path / "cut", session=session)
    weights, figures = [], []
    for name, record in {"whole": whole, "cut": cut}.items():
        network = loop.build_model(recipe)
        network.load_weights(tmp_path / name / "tiny" / "seed-0.weights.h5")
        weights.append([keras.ops.convert_to_numpy(weight) for weight in network.weights])
        losses = [epoch[name] for epoch in record.history for name in ("loss", "val_loss")]
        figures.append([record.parameters, *record.test.values(), *losses])
    np.testing.assert_allclose(*figures, rtol=1e-3)
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_on_the_device_half_precision_scales_the_loss_but_finds_pixels_in_float32(
    dataset, monkeypatch
):
    recipe = dataclasses.replace(TINY, transforms=get_recipe("vit-keras").transforms)
    recipe = recipe.for_dataset(dataset)
    with runtime.device_settings(Session(precision="mixed_float16")):
        network = loop.build_model(TINY)
        model = OnDevice(network, recipe.transforms, None)
        loop.compile_model(model, recipe, 100)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert [id(each) for each in model.variables] == [id(each) for each in network.variables]
    seen = []
    monkeypatch.setattr(type(network), "__call__", lambda _, x, training: seen.append(x) or x)
    inputs, _ = recipe.batches(*dataset.train, seed=1, on_device=True)[0]
    model(tuple(map(keras.ops.convert_to_tensor, inputs)), training=True)
    expected, _ = recipe.batches(*dataset.train, seed=1)[0]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(seen[0]), expected, atol=1e-4)


def test_a_recipe_may_take_the_first_of_the_training_images_only(dataset, tmp_path, monkeypatch):
    seen = []

    class Watched(Batches):
        def __init__(self, images, labels, **options):
            super().__init__(images, labels, **options)
            seen.append((len(images), len(labels)))

    monkeypatch.setattr(recipes, "Batches", Watched)
    train(dataclasses.replace(TINY, train_images=30), dataset, tmp_path, epochs=1)
    assert sorted(seen) == [(10, 10), (30, 30), (40, 40)]  # validation, training, test


def test_what_is_not_recorded_is_listed_from_the_cheapest_on(finished, monkeypatch):
    costs = {"large": (3, 1), "tiny": (1, 1), "long": (1, 5), "small": (1, 2)}  # blocks, epochs
    those = {
        name: dataclasses.replace(
            TINY, name=name, model=dataclasses.replace(TINY_VIT, depth=depth), epochs=epochs
        )
        for name, (depth, epochs) in costs.items()
    }
    monkeypatch.setattr(loop, "RECIPES", those)
    out, _ = finished  # it holds a record of "tiny"
    assert [recipe.name for recipe in loop.unrecorded(out)] == ["small", "large", "long"]


def assert_same_weights(path, other_path):
    def weights(path):
        model = swin_transformer(TINY.model)
        model.load_weights(path)
        return [keras.ops.convert_to_numpy(weight) for weight in model.weights]

    for mine, theirs in zip(weights(path), weights(other_path), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def without_times(record):
    """Without what two runs of the same settings may differ in.

    The weights file's checksum is such a thing: Keras writes names into it that it counts up.
    """
    timed = ("seconds", "step_seconds")
    history = [{k: v for k, v in epoch.items() if k not in timed} for epoch in record.history]
    return {**dataclasses.asdict(record), "weights": None, "history": history}
