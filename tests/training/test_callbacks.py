import errno
import os

import keras
import numpy as np
import pytest

from smallvit.layers.fast import Dropout
from smallvit.training import callbacks
from smallvit.training.callbacks import Checkpoint, TrainingError, estimate_seconds, tell_time


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


def test_an_estimate_leaves_no_trace():
    model = small_model()
    model.optimizer.build(model.trainable_variables)
    before = state(model)
    assert 0 < estimate_seconds(model, Noise(), epochs=2) < 600
    for old, new in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_estimate_grows_with_the_epochs(monkeypatch):
    model, clock = small_model(), iter(range(100))
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    assert estimate_seconds(model, Noise(), epochs=6, steps=2) == 1 / 2 * 5 * 6


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


def test_a_drive_that_is_not_mounted_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "GOOGLE_DRIVE", tmp_path / "drive")
    with pytest.raises(TrainingError, match=r"not mounted. Run .*drive\.mount\('.*/drive'\)"):
        Checkpoint(tmp_path / "drive" / "MyDrive" / "runs")
    assert not (tmp_path / "drive").exists()
    Checkpoint(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("seconds", "told"), [(45.2, "45 s"), (89, "89 s"), (720, "12 min"), (6300, "1 h 45 min")]
)
def test_times_are_told_as_people_say_them(seconds, told):
    assert tell_time(seconds) == told
