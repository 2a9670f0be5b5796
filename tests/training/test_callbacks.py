import dataclasses
import errno
import itertools
import json
import os
import re
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from samples import TINY, TINY_PAPER, without_times

from smallvit.layers.fast import Dropout
from smallvit.models.swin import swin_transformer
from smallvit.training import callbacks, loop
from smallvit.training.callbacks import Checkpoint, tell_time
from smallvit.training.errors import OtherRunError, TrainingError
from smallvit.training.loop import train
from smallvit.training.records import read_record
from smallvit.training.runtime import Session


class Noise(keras.utils.PyDataset):
    """Five batches of random numbers."""

    def __len__(self):
        return 5

    def __getitem__(self, number):
        rng = np.random.default_rng(number)
        return rng.random((4, 3), "float32"), rng.random((4, 1), "float32")


def small_model():
    layers = [keras.Input((3,)), keras.layers.Dense(4), Dropout(0.5, seed=0), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse", metrics=["mae"])
    return model


def state(model):
    return [keras.ops.convert_to_numpy(v) for v in callbacks._state_variables(model)]


def fit(model, folder, epochs):
    checkpoint = Checkpoint(folder)
    first_epoch = checkpoint.restore(model)
    model.fit(Noise(), initial_epoch=first_epoch, epochs=epochs, callbacks=[checkpoint], verbose=0)
    return checkpoint


@pytest.mark.parametrize(("steps", "per_step"), [(4, 0.5), (32, 0.125)])
def test_the_seconds_of_a_step_are_those_of_a_call_over_its_steps(
    steps, per_step, tmp_path, monkeypatch
):
    """A call takes up to 16 steps, and 2 seconds."""
    clock = itertools.count(step=2)
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(Checkpoint, "_write_state", lambda *_: None)
    checkpoint = Checkpoint(tmp_path / "run")
    checkpoint.set_params({"steps": steps})
    checkpoint.set_model(SimpleNamespace(steps_per_execution=16))
    checkpoint.on_epoch_begin(0)
    for step in range(min(15, steps - 1), steps, 16):
        checkpoint.on_train_batch_end(step)
    checkpoint.on_epoch_end(0)
    assert checkpoint.history[0]["step_seconds"] == per_step


def test_the_time_is_told_after_a_few_steps_and_each_epoch(monkeypatch, capsys):
    """Of ten steps an epoch, two a call; the first call compiles."""
    clock = iter([0, 100, 103, 105, 107, 109, 110, 200, 202, 204, 206, 208, 210, 248])
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(callbacks, "describe_device", lambda: "Tesla T4")
    keeper = callbacks.TimeKeeper(epochs=8)
    keeper.set_params({"steps": 10})
    keeper.set_model(SimpleNamespace(steps_per_execution=2, stop_training=False))
    resumed = {5: {"loss": 2.678, "val_top1": 0.3047}, 6: {"loss": 2}}
    for epoch, logs in resumed.items():
        keeper.on_epoch_begin(epoch)
        for step in (1, 3, 5, 7, 9):
            keeper.on_train_batch_end(step)
        keeper.on_epoch_end(epoch, logs)
    assert capsys.readouterr().out.splitlines() == [
        "About 30 s for 3 epochs on Tesla T4.",  # 3 epochs, 5 calls, 2 s
        "Stop at any time: the run resumes after its last finished epoch.",
        "6 of 8 epochs: loss 2.68, validation top-1 30.5 %; about 24 s to go",
        "7 of 8 epochs: loss 2.00; about 30 s to go",  # 12 s and 48 s
    ]


def test_the_last_epoch_leaves_nothing_to_go(capsys):
    keeper = callbacks.TimeKeeper(epochs=1)
    small_model().fit(Noise(), callbacks=[keeper], verbose=0)
    first, _, last = capsys.readouterr().out.splitlines()
    assert first.startswith("About 0 s for 1 epoch on ")
    assert re.fullmatch(r"1 of 1 epochs: loss \d\.\d\d", last)


def test_a_full_disk_is_told_and_costs_one_epoch(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    fit(small_model(), folder, epochs=2)

    def write_to_a_full_disk(path, **arrays):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.np, "savez", write_to_a_full_disk)
        with pytest.raises(TrainingError, match=r"Epoch 3 could not be saved in .*No space left"):
            fit(small_model(), folder, epochs=4)
    assert Checkpoint(folder).restore(small_model()) == 2
    history = fit(small_model(), folder, epochs=4).history
    assert [figures["epoch"] for figures in history] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("seconds", "told"), [(45.2, "45 s"), (89, "89 s"), (720, "12 min"), (6300, "1 h 45 min")]
)
def test_times_are_told_as_people_say_them(seconds, told):
    assert tell_time(seconds) == told


def rewrite_state(path, **changes):
    """Change what is saved beside the variables."""
    with np.load(path) as state:
        arrays = dict(state)
    about = json.loads(str(arrays["about"])) | changes
    np.savez(path, **{**arrays, "about": json.dumps(about)})


@pytest.mark.parametrize("stop_at", [(0, 2), (2, 3)])
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


@pytest.mark.parametrize(
    ("number", "message"), [(0, "variable_0"), (None, "it has more variables than the model")]
)
def test_a_state_with_fewer_or_more_variables_is_refused(copied, dataset, number, message):
    out, state = copied
    with np.load(state) as saved:
        arrays = dict(saved)
    if number is None:
        arrays[f"variable_{len(arrays) - 2}"] = np.zeros(1)
    else:
        del arrays[f"variable_{number}"]
    np.savez(state, **arrays)
    with pytest.raises(TrainingError, match=rf"seed-3 is damaged \(.*{message}.*\); delete it"):
        train(TINY, dataset, out, seed=3)


def test_a_state_of_another_seed_is_refused(begun, dataset, tmp_path):
    shutil.copytree(begun[0] / "tiny" / "seed-3", tmp_path / "tiny" / "seed-4")
    with pytest.raises(OtherRunError, match="seed-4 holds a run with another seed; give"):
        train(TINY, dataset, tmp_path, seed=4)


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


@pytest.mark.parametrize("augment", ["host", "device"])
def test_the_papers_augmentation_resumes_where_it_was_killed(tmp_path, dataset, augment):
    """All random parts at once, stopped within an epoch: the same record as without a stop."""
    recipe, session = TINY_PAPER, Session(augment=augment)
    whole = train(recipe, dataset, tmp_path / "whole", session=session)
    steps = itertools.count(1)

    class Killer(Checkpoint):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if next(steps) == 15:  # of 2 epochs of 9 steps
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "Checkpoint", Killer)
        train(recipe, dataset, tmp_path / "killed", session=session)
    session = dataclasses.replace(session, workers=2)
    resumed = train(recipe, dataset, tmp_path / "killed", session=session)
    assert without_times(resumed) == without_times(whole)


def assert_same_weights(path, other_path):
    def weights(path):
        model = swin_transformer(TINY.model)
        model.load_weights(path)
        return [keras.ops.convert_to_numpy(weight) for weight in model.weights]

    for mine, theirs in zip(weights(path), weights(other_path), strict=True):
        np.testing.assert_array_equal(mine, theirs)
