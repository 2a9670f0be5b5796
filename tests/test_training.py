import dataclasses
import json

import keras
import numpy as np
import pytest

from smallvit import training
from smallvit.callbacks import Checkpoint, TrainingError
from smallvit.pipeline import Batches, Dataset
from smallvit.recipes import Cosine, get_recipe
from smallvit.results import read_record
from smallvit.shapes import shapes100
from smallvit.swin import SwinConfig, swin_transformer
from smallvit.training import train

TINY = dataclasses.replace(
    get_recipe("swin-keras"),
    name="tiny",
    model=SwinConfig(
        image_size=8, embed_dim=8, depths=(1,), num_heads=(2,), window_size=2, attn_drop_rate=0.1
    ),
    epochs=3,
    batch_size=16,
    shuffle=True,
    schedule=Cosine(),
)


@pytest.fixture(scope="module")
def dataset():
    return Dataset("shapes100", shapes100(100, 0, image_size=8), shapes100(40, 1, image_size=8))


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """A run that was left alone: the folder it wrote to, and its record."""
    out = tmp_path_factory.mktemp("finished")
    return out, train(TINY, dataset, out, seed=3, command="as typed")


def test_a_run_leaves_a_record_and_weights_and_nothing_else(finished):
    out, record = finished
    assert sorted(path.name for path in (out / "tiny").iterdir()) == [
        "seed-3.csv",
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
    training.compile_model(model, TINY, 100)
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


def test_a_run_killed_before_its_record_was_written_only_writes_it(
    finished, dataset, tmp_path, monkeypatch
):
    def kill(path, record):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "write_record", kill)
        train(TINY, dataset, tmp_path, seed=3, command="as typed")
    resumed = train(TINY, dataset, tmp_path, seed=3, command="as typed")
    assert without_times(resumed) == without_times(finished[1])
    assert resumed.seconds > 0


def test_a_damaged_state_is_told_in_one_sentence(dataset, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            Checkpoint, "_write_state", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        train(TINY, dataset, tmp_path)
    (tmp_path / "tiny" / "seed-0" / "state.npz").write_bytes(b"PK not an archive")
    with pytest.raises(TrainingError, match=r"seed-0 is damaged .* delete it to start"):
        train(TINY, dataset, tmp_path)


def test_an_unfinished_run_with_other_settings_is_not_resumed(dataset, tmp_path):
    settings = tmp_path / "tiny" / "seed-0" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"epochs": 99}))
    with pytest.raises(TrainingError, match="holds a run with another"):
        train(TINY, dataset, tmp_path)


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
