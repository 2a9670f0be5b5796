"""Callbacks of a run: checkpoints, seeds, the time limit."""

import json
import math
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from smallvit.data.batches import Batches
from smallvit.training.errors import TrainingError
from smallvit.training.files import replacing
from smallvit.training.processes import any_process, process_place
from smallvit.training.records import require_same
from smallvit.training.runtime import describe_device


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
        TrainingError: from `fit`, if a figure is not finite or an epoch cannot be saved. The last
            good state is kept.
    """

    def __init__(self, folder: Path, settings: dict | None = None, place: dict | None = None):
        super().__init__()
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
                about = json.loads(str(state["about"]))
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

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._started = time.perf_counter()
        self._step_ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._step_ends.append(time.perf_counter())
        self._require_finite(logs or {}, f"at step {batch + 1} of epoch {len(self.history) + 1}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self._require_finite(figures, f"at the end of epoch {epoch + 1}")
        calls, per_call = np.diff([self._started, *self._step_ends]), self.model.steps_per_execution
        figures |= {
            "seconds": time.perf_counter() - self._started,
            "step_seconds": float(np.median(calls)) / min(per_call, self.params["steps"]),
        }
        self.history.append({"epoch": epoch + 1, **figures})
        self._count_epoch()
        if process_place()[0]:
            return
        try:
            self._write_state(epoch + 1)
            self._write_table()
        except OSError as error:
            raise TrainingError(
                f"Epoch {epoch + 1} could not be saved in {self.folder} ({error.strerror}). "
                "Earlier epochs are still there: make room on the disk, then start the run again."
            ) from error

    def _count_epoch(self) -> None:
        """Add the epoch to the last sitting, or begin another if anything in it has changed."""
        place = self.place or {}
        if not self.sittings or {**self.sittings[-1], **place} != self.sittings[-1]:
            self.sittings.append({**place, "epochs": 0})
        self.sittings[-1] = {**self.sittings[-1], "epochs": self.sittings[-1]["epochs"] + 1}

    def _require_finite(self, figures: dict, when: str) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                kept = f" The state of the epoch before is in {self.folder}." * bool(self.history)
                raise TrainingError(
                    f"The run's {name} is {value} {when}.{kept} Try a lower learning rate, or "
                    "float32."
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
    """Seed Python, NumPy, the backend and the batches from the run's seed and the epoch.

    On torch, Keras's dropout draws from torch's generator, whose state no variable holds. On
    TensorFlow, nothing else tells the batches that an epoch begins.

    Args:
        seed: the run's seed.
        batches: what the model trains on; they have the seed.
    """

    def __init__(self, seed: int, batches: Batches):
        super().__init__()
        self.seed, self.batches = seed, batches

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.batches.epoch = epoch
        state = np.random.SeedSequence((self.seed, epoch)).generate_state(1)
        keras.utils.set_random_seed(int(state[0]))


class TimeKeeper(keras.callbacks.Callback):
    """Print how long the run takes, after a few steps and each epoch, and stop before a limit.

    Args:
        epochs: of the whole run.
        limit: seconds that this sitting may take; `None` for no limit. The run stops after the
            epoch whose successor would probably end later, never before the first one.
    """

    def __init__(self, epochs: int, limit: float | None = None):
        super().__init__()
        self.epochs = epochs
        self._end = math.inf if limit is None else time.perf_counter() + limit
        self._estimated, self._seconds = False, []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._epoch, self._ends = epoch, [time.perf_counter()]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self._ends.append(time.perf_counter())
        if len(self._ends) == 5 and not self._estimated:
            self._estimated, left = True, self.epochs - self._epoch
            calls = left * math.ceil(self.params["steps"] / self.model.steps_per_execution)
            took = tell_time(calls * np.median(np.diff(self._ends)[1:]))  # the first compiles
            print(f"About {took} for {left} epoch{'s' * (left > 1)} on {describe_device()}.")
            print("Stop at any time: the run resumes after its last finished epoch.", flush=True)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        now, done, calls = time.perf_counter(), epoch + 1, np.diff(self._ends)
        # As if the first call, which may compile, took as long as others.
        seconds = now - self._ends[0] - calls[0] + np.median(calls)
        self._seconds.append(seconds)
        line = f"{done} of {self.epochs} epochs: loss {logs['loss']:.2f}"
        if "val_top1" in logs:
            line += f", validation top-1 {100 * logs['val_top1']:.1f} %"
        if left := self.epochs - done:
            line += f"; about {tell_time(left * np.mean(self._seconds))} to go"
            self.model.stop_training |= any_process(now + seconds > self._end)
        print(line, flush=True)


def tell_time(seconds: float) -> str:
    """A duration as people say it: `45 s`, `12 min`, `1 h 45 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _state_variables(model: keras.Model) -> list:
    """Everything that the next step depends on: weights, seed generators, optimizer."""
    return [*model.variables, *model.optimizer.variables]
