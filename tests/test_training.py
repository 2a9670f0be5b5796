import dataclasses
import json

import keras
import numpy as np
import pytest

from smallvit import training
from smallvit.recipes import get_recipe
from smallvit.results import read_record
from smallvit.shapes import shapes100
from smallvit.swin import SwinConfig, swin_transformer
from smallvit.training import Batches, Checkpoint, Dataset, TrainingError, split_validation, train

TINY = dataclasses.replace(
    get_recipe("swin-keras"),
    name="tiny",
    model=SwinConfig(
        image_size=8, embed_dim=8, depths=(1,), num_heads=(2,), window_size=2, attn_drop_rate=0.1
    ),
    epochs=3,
    batch_size=16,
    shuffle=True,
)


@pytest.fixture(scope="module")
def dataset():
    return Dataset("shapes100", shapes100(100, 0, image_size=8), shapes100(40, 1, image_size=8))


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """A run that was left alone: the folder it wrote to, and its record."""
    out = tmp_path_factory.mktemp("finished")
    return out, train(TINY, dataset, out, seed=3, command="as typed")


def batch_of(batches, index):
    images, labels = batches[index]
    return images.copy(), labels.copy()


def test_batches_depend_on_seed_epoch_and_place_alone(dataset):
    straight = Batches(*dataset.train, TINY, seed=5)
    straight.on_epoch_end()
    resumed = Batches(*dataset.train, TINY, seed=5, first_epoch=1)
    for mine, theirs in zip(batch_of(straight, 2), batch_of(resumed, 2), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    other = Batches(*dataset.train, TINY, seed=6, first_epoch=1)
    assert (other[2][1] != straight[2][1]).any()


def test_a_shuffled_epoch_has_every_image_once(dataset):
    batches = Batches(*dataset.train, TINY, seed=0)
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    assert len(batches) == 7
    np.testing.assert_array_equal(labels.sum(axis=0), np.bincount(dataset.train[1], minlength=100))
    assert (labels.argmax(axis=1) != dataset.train[1]).any()


def test_without_shuffling_the_order_is_kept(dataset):
    recipe = dataclasses.replace(TINY, shuffle=False)
    _, labels = Batches(*dataset.train, recipe, seed=0)[1]
    np.testing.assert_array_equal(labels.argmax(axis=1), dataset.train[1][16:32])


def test_evaluation_leaves_the_images_alone(dataset):
    images, labels = Batches(*dataset.test, TINY)[0]
    assert images.dtype == labels.dtype == "float32"
    np.testing.assert_allclose(images, dataset.test[0][:16] / 255, rtol=1e-6)


def test_the_last_tenth_is_held_out():
    images, labels = np.zeros((50_000, 1)), np.arange(50_000)
    (_, train_labels), (_, validation_labels) = split_validation(images, labels, 0.1)
    assert len(train_labels) == 45_000
    np.testing.assert_array_equal(validation_labels, np.arange(45_000, 50_000))


def test_a_run_leaves_a_record_and_weights_and_nothing_else(finished):
    out, record = finished
    assert sorted(path.name for path in (out / "tiny").iterdir()) == [
        "seed-3.json",
        "seed-3.weights.h5",
    ]
    assert read_record(out / "tiny" / "seed-3.json") == record
    assert (record.epochs, record.complete, record.dataset) == (3, False, "shapes100")
    assert [epoch["epoch"] for epoch in record.history] == [1, 2, 3]
    assert {"loss", "top1", "top5", "val_loss", "val_top1", "seconds", "step_seconds"} <= (
        record.history[0].keys()
    )
    assert record.test.keys() == {"loss", "top1", "top5"}
    assert record.command == "as typed"


def test_the_recorded_weights_give_the_recorded_figures(finished, dataset):
    out, record = finished
    model = training.build_model(TINY)
    keras.Model(model.inputs, model.outputs).load_weights(out / "tiny" / "seed-3.weights.h5")
    test = model.evaluate(Batches(*dataset.test, TINY), return_dict=True, verbose=0)
    assert test == pytest.approx(record.test, rel=1e-5)


def test_a_finished_run_is_not_run_again(finished, dataset, monkeypatch):
    out, record = finished
    monkeypatch.setattr(training, "build_model", None)
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


def test_a_settled_run_with_other_settings_is_not_resumed(dataset, tmp_path):
    settings = tmp_path / "tiny" / "seed-0" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"epochs": 99}))
    with pytest.raises(TrainingError, match="holds a run with another"):
        train(TINY, dataset, tmp_path)


def test_load_dataset_says_what_it_gives(tmp_path, monkeypatch):
    assert training.load_dataset("shapes100").name == "shapes100"
    images, labels = shapes100(20, 0)
    np.savez(
        tmp_path / "cifar100.npz", x_train=images, y_train=labels, x_test=images, y_test=labels
    )
    assert training.load_dataset(str(tmp_path)).name == "cifar100"


def assert_same_weights(path, other_path):
    def weights(path):
        model = swin_transformer(TINY.model)
        model.load_weights(path)
        return [keras.ops.convert_to_numpy(weight) for weight in model.weights]

    for mine, theirs in zip(weights(path), weights(other_path), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def without_times(record):
    timed = ("seconds", "step_seconds")
    history = [{k: v for k, v in epoch.items() if k not in timed} for epoch in record.history]
    return {**dataclasses.asdict(record), "seconds": None, "history": history}
