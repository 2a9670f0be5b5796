import contextlib
import csv
import dataclasses
import itertools
import shutil

import keras
import pytest
from samples import TINY, TINY_PAPER, TINY_VIT, cifar100_stub, without_times

from smallvit.data.batches import Batches
from smallvit.data.datasets import paint_dataset
from smallvit.training import files, loop, recipes, runtime
from smallvit.training.errors import OtherRunError, TrainingError
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


def test_a_finished_run_is_not_run_again(finished, dataset, monkeypatch):
    out, record = finished
    monkeypatch.setattr(loop, "build_model", None)
    assert train(TINY, dataset, out, seed=3) == record


def test_another_run_in_the_same_place_is_refused(finished, dataset):
    out, _ = finished
    with pytest.raises(TrainingError, match="another epochs; give another --out"):
        train(TINY, dataset, out, seed=3, epochs=2)


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


def test_a_shorter_run_does_not_replace_a_record_whose_state_is_gone(copied, dataset):
    out, state = copied
    state.unlink()
    record = out / "tiny" / "seed-3.json"
    before = record.read_bytes()
    with pytest.raises(OtherRunError, match=r"seed-3\.json goes to epoch 1, the state in .* to ep"):
        train(TINY, dataset, out, seed=3)
    assert record.read_bytes() == before


def test_what_a_kill_left_of_a_finished_run_is_removed(finished, begun, dataset, tmp_path):
    for out, _ in (begun, finished):
        shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    assert (tmp_path / "tiny" / "seed-3").is_dir()
    assert train(TINY, dataset, tmp_path, seed=3) == finished[1]
    assert not (tmp_path / "tiny" / "seed-3").exists()


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
def test_a_record_of_the_repository_answers_for_its_run_or_the_run_goes_on(
    path, tmp_path, monkeypatch
):
    """Whoever trains a recorded recipe in a folder with its record does not harm the record."""
    recipe, record = get_recipe(path.parent.name), read_record(path)
    copy = tmp_path / recipe.name / path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    monkeypatch.setattr(loop.keras.backend, "backend", lambda: record.backend)

    class Trains(Exception): ...

    def fit(*args):
        raise Trains

    monkeypatch.setattr(loop, "_fit", fit)
    session = Session(precision=record.precision)
    with contextlib.nullcontext() if record.finished else pytest.raises(Trains):
        assert train(recipe, cifar100_stub(), tmp_path, record.seed, session=session) == record
    assert copy.read_bytes() == path.read_bytes()


def test_the_table_says_what_the_record_says(finished):
    out, record = finished
    with (out / "tiny" / "seed-3.csv").open(encoding="utf-8") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    for row, epoch in zip(rows, record.history, strict=True):
        assert row == pytest.approx(epoch, abs=1e-4)


def test_the_recorded_test_figures_are_those_of_the_last_epoch_and_the_best(dataset, tmp_path):
    watched = dataclasses.replace(TINY, protocol=BEST_EPOCH, validation_fraction=0.0)
    record = train(watched, dataset, tmp_path)
    last = {
        name.removeprefix("val_"): x for name, x in record.history[-1].items() if "val_" in name
    }
    assert record.test == pytest.approx(last, rel=1e-5)
    assert record.best["val_top1"] == max(epoch["val_top1"] for epoch in record.history)


def test_a_recipe_may_take_the_first_of_the_training_images_only(dataset, tmp_path, monkeypatch):
    seen = []

    class Watched(Batches):
        def __init__(self, images, labels, **options):
            super().__init__(images, labels, **options)
            seen.append((len(images), len(labels)))

    monkeypatch.setattr(recipes, "Batches", Watched)
    train(dataclasses.replace(TINY, train_images=30), dataset, tmp_path, epochs=1)
    assert sorted(seen) == [(10, 10), (30, 30), (40, 40)]  # validation, training, test


@pytest.mark.parametrize(("passes", "sizes"), [(1, {32, 9, 0}), (3, {32, 0})])
def test_a_smaller_last_batch_counts_where_there_is_one(passes, sizes):
    recipe = dataclasses.replace(TINY_PAPER, passes=passes)
    assert loop._batch_sizes(recipe, paint_dataset(105, 64, 8)) == sizes


def test_each_epoch_has_its_own_batches(dataset, tmp_path, monkeypatch):
    asked = []

    class Watched(Batches):
        def __getitem__(self, index):
            if self.seed is not None:
                asked.append((self.epoch, index))
            return super().__getitem__(index)

    monkeypatch.setattr(recipes, "Batches", Watched)
    train(TINY, dataset, tmp_path, epochs=2)
    steps = TINY.steps_per_epoch(int(0.9 * len(dataset.train[0])))
    assert list(dict.fromkeys(asked)) == list(itertools.product(range(2), range(steps)))


def test_what_is_not_recorded_is_listed_from_the_cheapest_on(finished, dataset, monkeypatch):
    costs = {"large": (3, 1), "tiny": (1, 1), "long": (1, 5), "small": (1, 2)}  # blocks, epochs
    those = {
        name: dataclasses.replace(
            TINY, name=name, model=dataclasses.replace(TINY_VIT, depth=depth), epochs=epochs
        )
        for name, (depth, epochs) in costs.items()
    }
    monkeypatch.setattr(loop, "RECIPES", those)
    out, _ = finished  # it holds a record of "tiny"
    assert [recipe.name for recipe in loop.unrecorded(out, dataset)] == ["small", "large", "long"]


def test_a_trial_does_not_count_as_a_record(finished, dataset, monkeypatch):
    out, record = finished
    monkeypatch.setattr(loop, "RECIPES", {"tiny": TINY})
    assert loop.unrecorded(out, dataset) == []
    assert loop.unrecorded(out, paint_dataset(30, 10, 8)) == [TINY]
    trial = dataclasses.replace(record, config={**record.config, "epochs": record.epochs + 1})
    monkeypatch.setattr(loop, "read_results", lambda _: {"tiny": [trial]})
    assert loop.unrecorded(out, dataset) == [TINY]


def test_too_few_images_for_a_single_batch_are_refused(tmp_path):
    with pytest.raises(ValueError, match="batches of 128 images, and 30 images times 3 make none"):
        train(dataclasses.replace(TINY_PAPER, batch_size=128), paint_dataset(30, 10, 8), tmp_path)


def test_no_images_to_train_on_are_refused(tmp_path):
    with pytest.raises(ValueError, match="and 0 images times 1 make none; give it more"):
        train(get_recipe("swin-keras"), paint_dataset(1, 2), tmp_path, epochs=1)


def test_a_folder_that_cannot_be_written_to_is_refused(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/tiny/seed-0 cannot be written to \(Not a dir"):
        train(TINY, dataset, tmp_path / "file")


def test_weights_that_cannot_be_saved_leave_the_state(dataset, tmp_path, monkeypatch):
    for error in (OSError, RuntimeError):  # HDF5 raises either

        def save_weights(model, path, error=error):
            raise error("no room\nand much more")

        monkeypatch.setattr(keras.Model, "save_weights", save_weights)
        with pytest.raises(TrainingError, match=r"weights.h5 could not be saved \(no room\)\. All"):
            train(TINY, dataset, tmp_path, epochs=1)
        assert (tmp_path / "tiny" / "seed-0" / "state.npz").exists()


def test_test_figures_that_are_no_numbers_leave_the_state(dataset, tmp_path, monkeypatch):
    figures = {"loss": float("nan"), "top1": 0.0, "top5": 0.0}
    monkeypatch.setattr(keras.Model, "evaluate", lambda *_, **__: figures)
    monkeypatch.setattr(loop, "_fit", lambda *_: (keras.Model(), _State([{"epoch": 1}])))
    with pytest.raises(TrainingError, match="figures on the test images are not finite"):
        train(TINY, dataset, tmp_path, epochs=1)
    assert (tmp_path / "tiny" / "seed-0").exists()


class _State:
    def __init__(self, history):
        self.history = history
