"""Callbacks of a run: its state on disk, its seeds, its time limit."""

import csv
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
    and optimizer, with the history they belong to, in one file that is replaced whole.

    Args:
        folder: where the state is kept; made when needed. The history is also written beside it,
            as a table for people: `FOLDER.csv`.
        settings: what a run must share to continue from the state, as `differences` takes them;
            `None` to continue from any.
        place: the `commit`, `device` and `versions` of this sitting, for the record.

    Raises:
        TrainingError: if the folder is on a Google Drive that is not mounted; from `fit`, at the
            step after which the loss is not finite, or at the end of an epoch with another such
            figure or that cannot be written. The last good state is kept.
    """

    def __init__(self, folder: Path, settings: dict | None = None, place: dict | None = None):
        super().__init__()
        require_mounted(folder)
        self.folder = folder
        self.state_path = folder / "state.npz"
        self.settings, self.place = settings, place
        self.history: list[dict] = []
        self.sittings: list[dict] = []

    def restore(self, model: keras.Model) -> int:
        """Set a compiled model to the saved state, if there is one; return its epochs.

        Raises:
            TrainingError: if the state is damaged or of a run with other settings.
        """
        if not self.state_path.exists():
            return 0
        model.optimizer.build(model.trainable_variables)
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
        """Start the clock."""
        self._started = time.perf_counter()
        self._step_ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Note when the step ended, and check that its loss is finite."""
        self._step_ends.append(time.perf_counter())
        self._require_finite(logs or {}, f"at step {batch + 1} of epoch {len(self.history) + 1}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Save the epoch's figures and the state they belong to."""
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
        path = self.folder.with_name(self.folder.name + ".csv")
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.DictWriter(file, self.history[-1].keys())
            table.writeheader()
            for figures in self.history:
                table.writerow({k: round(value, 4) for k, value in figures.items()})

    def _write_state(self, epochs: int) -> None:
        variables = {
            f"variable_{number}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(_state_variables(self.model))
        }
        about = {"settings": self.settings, "history": self.history, "sittings": self.sittings}
        with replacing(self.state_path) as temporary:
            np.savez(temporary, epochs=epochs, about=json.dumps(about), **variables)


class EpochSeed(keras.callbacks.Callback):
    """Seed the backend's own random numbers from the run's seed and the epoch.

    On torch, Keras's dropout draws from torch's generator, whose state no variable holds.

    Args:
        seed: the run's seed.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Seed Python, NumPy and the backend."""
        state = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        keras.utils.set_random_seed(int(state[0]))


class TimeKeeper(keras.callbacks.Callback):
    """Say after each epoch how long the rest will take, and stop before a limit is overrun.

    Args:
        epochs: of the whole run.
        limit: seconds that this sitting may take; `None` for as many as it needs. The run stops
            after the epoch whose successor would likely end later, never before the first one.
    """

    def __init__(self, epochs: int, limit: float | None = None):
        super().__init__()
        self.epochs = epochs
        self.limit = limit
        self._sitting_started = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self._epoch_started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Tell the time that is left; ask Keras to stop where it is too short."""
        now = time.perf_counter()
        seconds, left = now - self._epoch_started, self.epochs - epoch - 1
        if left:
            print(
                f"{epoch + 1} of {self.epochs} epochs; about {tell_time(left * seconds)} to go",
                flush=True,
            )
        if left and self.limit is not None and now + seconds > self._sitting_started + self.limit:
            self.model.stop_training = True


def require_mounted(folder: Path) -> None:
    """See that a folder on Google Drive is really there, and not one that Colab will forget.

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
    """How long `fit` will take, by a few steps that leave no trace in the model.

    Args:
        model: compiled, for one step a call.
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
    """All that the next step depends on: weights, seed generators, optimizer."""
    return [*model.variables, *model.optimizer.variables]
