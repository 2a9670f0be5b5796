import errno
import os
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from smallvit.layers.fast import Dropout
from smallvit.training import callbacks
from smallvit.training.callbacks import Checkpoint, TrainingError, tell_time


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


def test_the_time_is_told_after_a_few_steps_and_each_epoch(monkeypatch, capsys):
    """Of ten steps an epoch, two a call; the first call compiles."""
    clock = iter([0, 100, 103, 105, 107, 109, 110, 200, 202, 204, 206, 208, 210, 212])
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
        "7 of 8 epochs: loss 2.00; about 12 s to go",
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
