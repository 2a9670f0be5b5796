"""Callbacks of a run: checkpoints, seeds, the time limit."""

import json
import math
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from smallvit.training.files import TrainingError, replacing
from smallvit.training.records import require_same
from smallvit.training.upgrade import upgrade_settings

GOOGLE_DRIVE = Path("/content/drive")
"""Where Colab mounts it."""


class Checkpoint(keras.callbacks.Callback):
    """Save a run's history and state after each epoch, so that a kill costs one at most.

    Keras's `BackupAndRestore` and `save_weights` leave out the state of the seed generators, so a
    run resumed from them continues with other dropout masks. This saves every variable of model
    and optimizer, with the history they belong to, in one file that is replaced atomically.

    Args:
        folder: where to keep the state, made if needed. The history is also written beside it, as
            a table for people: `FOLDER.csv`.
        settings: what a run must share to continue from the state, as `differences` takes them;
            `None` to continue from any.
        place: the `commit`, `device` and `versions` of this sitting, for the record.

    Raises:
        TrainingError: if the folder is on a Google Drive that is not mounted; from `fit`, if a
            figure is not finite or an epoch cannot be saved. The last good state is kept.
    """

    def __init__(self, folder: Path, settings: dict | None = None, place: dict | None = None):
        super().__init__()
        require_mounted(folder)
        self.folder, self.state_path = folder, folder / "state.npz"
        self.settings, self.place = settings, place
        self.history: list[dict] = []
        self.sittings: list[dict] = []

    def restore(self, model: keras.Model) -> int:
        """Set a compiled model to the saved state, if there is one; return its epochs.

        Raises:
            TrainingError: if the state is damaged or of a run with other settings.
        """
        # In any case: TensorFlow would trace a step that creates variables twice.
        model.optimizer.build(model.trainable_variables)
        if not self.state_path.exists():
            return 0
        variables = _state_variables(model)
        try:
            with np.load(self.state_path) as state:
                epochs = int(state["epochs"])
                about = self._read_about(state, epochs)
                if self.settings is not None:
                    require_same(self.settings, about["settings"], self.folder)
                values = [state[f"variable_{number}"] for number in range(len(variables))]
                if f"variable_{len(variables)}" in state:
                    raise ValueError("it has more variables than the model")
            self.history, self.sittings = about["history"][:epochs], about["sittings"]
            if [figures["epoch"] for figures in self.history] != list(range(1, epochs + 1)):
                raise ValueError(f"its history is not of {epochs} epochs")
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        except (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"{self.folder} is damaged ({error}); delete it to start the run afresh."
            ) from error
        return epochs

    def _read_about(self, state: Mapping, epochs: int) -> dict:
        """The run that a state belongs to; older versions kept that in two files beside it."""
        if "about" in state:
            return json.loads(str(state["about"]))
        settings, history = (
            json.loads((self.folder / name).read_text(encoding="utf-8"))
            for name in ("settings.json", "history.json")
        )
        before = {"commit": None, "device": "unknown", "versions": {}, "epochs": epochs}
        return {"settings": upgrade_settings(settings), "history": history, "sittings": [before]}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started = time.perf_counter()
        self._step_ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._step_ends.append(time.perf_counter())
        self._require_finite(logs or {}, f"at step {batch + 1} of epoch {len(self.history) + 1}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self._require_finite(figures, f"at the end of epoch {epoch + 1}")
        steps = np.diff([self._started, *self._step_ends])
        figures |= {
            "seconds": time.perf_counter() - self._started,
            "step_seconds": float(np.median(steps)) / self.model.steps_per_execution,
        }
        self.history.append({"epoch": epoch + 1, **figures})
        self._count_epoch()
        try:
            self._write_state(epoch + 1)
            self._write_table()
        except OSError as error:
            raise TrainingError(
                f"Epoch {epoch + 1} could not be saved in {self.folder} ({error.strerror}). "
                "Earlier epochs are still there: make room on the disk, then start the run again."
            ) from error

    def _count_epoch(self) -> None:
        """Add the epoch to the last sitting, or begin another if commit or device changed."""
        place = self.place or {}
        if not self.sittings or {**self.sittings[-1], **place} != self.sittings[-1]:
            self.sittings.append({**place, "epochs": 0})
        self.sittings[-1] = {**self.sittings[-1], "epochs": self.sittings[-1]["epochs"] + 1}

    def _require_finite(self, figures: dict, when: str) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"The run's {name} is {value} {when}. The state of the epoch before is in "
                    f"{self.folder}; try a lower learning rate, or float32."
                )

    def _write_table(self) -> None:
        names = list(self.history[-1])
        rows = [[str(round(figures[name], 4)) for name in names] for figures in self.history]
        table = "".join(",".join(row) + "\n" for row in [names, *rows])
        with replacing(self.folder.with_name(self.folder.name + ".csv")) as temporary:
            temporary.write_text(table, encoding="utf-8")

    def _write_state(self, epochs: int) -> None:
        variables = {
            f"variable_{number}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(_state_variables(self.model))
        }
        about = {"settings": self.settings, "history": self.history, "sittings": self.sittings}
        with replacing(self.state_path) as temporary:
            np.savez(temporary, epochs=epochs, about=json.dumps(about), **variables)


class EpochSeed(keras.callbacks.Callback):
    """Seed Python, NumPy and the backend from the run's seed and the epoch.

    On torch, Keras's dropout draws from torch's generator, whose state no variable holds.

    Args:
        seed: the run's seed.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        state = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        keras.utils.set_random_seed(int(state[0]))


class TimeKeeper(keras.callbacks.Callback):
    """Print the remaining time after each epoch, and stop before a limit is exceeded.

    Args:
        epochs: of the whole run.
        limit: seconds that this sitting may take; `None` for no limit. The run stops after the
            epoch whose successor would probably end later, never before the first one.
    """

    def __init__(self, epochs: int, limit: float | None = None):
        super().__init__()
        self.epochs = epochs
        self._end = math.inf if limit is None else time.perf_counter() + limit

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch_started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        now, done = time.perf_counter(), epoch + 1
        seconds, left = now - self._epoch_started, self.epochs - done
        if left:
            remaining = tell_time(left * seconds)
            print(f"{done} of {self.epochs} epochs; about {remaining} to go", flush=True)
            self.model.stop_training |= now + seconds > self._end


def require_mounted(folder: Path) -> None:
    """Check that a folder on Google Drive is really there, and not one that Colab discards.

    Raises:
        TrainingError: if the folder is on the Drive and the Drive is not mounted.
    """
    if GOOGLE_DRIVE in Path(folder).absolute().parents and not GOOGLE_DRIVE.is_mount():
        raise TrainingError(
            f"{folder} is on Google Drive, which is not mounted. Run `from google.colab import "
            f"drive; drive.mount('{GOOGLE_DRIVE}')` first, or name another folder."
        )


def estimate_seconds(
    model: keras.Model, batches: keras.utils.PyDataset, epochs: int, steps: int = 3
) -> float:
    """Estimate how long `fit` takes from a few steps, whose effect on the model is undone.

    Args:
        model: compiled, for one step per call.
        batches: what it will be trained on.
        epochs: how many times.
        steps: how many to time, after one that compiles.

    Returns:
        Seconds, without the validation after each epoch.
    """
    model.optimizer.build(model.trainable_variables)
    kept = [keras.ops.convert_to_numpy(variable) for variable in _state_variables(model)]
    for number in range(steps + 1):
        if number == 1:
            started = time.perf_counter()
        model.train_on_batch(*batches[number % len(batches)])
    seconds = time.perf_counter() - started
    for variable, value in zip(_state_variables(model), kept, strict=True):
        variable.assign(value)
    model.reset_metrics()
    return seconds / steps * len(batches) * epochs


def tell_time(seconds: float) -> str:
    """A duration as people say it: `45 s`, `12 min`, `1 h 45 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _state_variables(model: keras.Model) -> list:
    """Everything that the next step depends on: weights, seed generators, optimizer."""
    return [*model.variables, *model.optimizer.variables]
