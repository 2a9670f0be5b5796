"""Train a recipe: in sight, to a record, and on from where it was interrupted."""

import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

import keras
import numpy as np

from smallvit.data import fingerprint
from smallvit.pipeline import Batches, Dataset, split_validation
from smallvit.recipes import Recipe
from smallvit.results import (
    Record,
    describe_commit,
    describe_device,
    describe_versions,
    read_record,
    write_json,
    write_record,
)
from smallvit.swin import swin_transformer


class TrainingError(RuntimeError):
    """Why a run cannot start or go on, in one sentence."""


class Checkpoint(keras.callbacks.Callback):
    """Keep a run's history and state on disk after each epoch, so that a kill costs one at most.

    Keras's `BackupAndRestore` and `save_weights` leave out the state of the seed generators, so a
    run resumed from them goes on with other dropout masks. This keeps every variable of model and
    optimizer. Both files are replaced in one motion; the history may be one epoch ahead of the
    state, never behind.

    Args:
        folder: where the files are kept; made when needed.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.history_path = folder / "history.json"
        self.state_path = folder / "state.npz"
        self.history: list[dict] = []

    def restore(self, model: keras.Model) -> int:
        """Set a compiled model to the kept state, if there is one; return its epochs.

        Raises:
            TrainingError: if the files cannot be read.
        """
        if not self.state_path.exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        try:
            with np.load(self.state_path) as state:
                epochs = int(state["epochs"])
                for number, variable in enumerate(_state_variables(model)):
                    variable.assign(state[f"variable_{number}"])
            self.history = json.loads(self.history_path.read_text(encoding="utf-8"))[:epochs]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise TrainingError(
                f"{self.state_path.parent} is damaged ({error}); delete it to start the run afresh."
            ) from error
        return epochs

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self._started = time.perf_counter()
        self._step_ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Note when the step ended."""
        self._step_ends.append(time.perf_counter())

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the epoch's figures, then the state they belong to."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        steps = np.diff([self._started, *self._step_ends])
        figures |= {
            "seconds": time.perf_counter() - self._started,
            "step_seconds": float(np.median(steps)),
        }
        self.history.append({"epoch": epoch + 1, **figures})
        write_json(self.history_path, self.history)
        self._write_state(epoch + 1)

    def _write_state(self, epochs: int) -> None:
        variables = {
            f"variable_{number}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(_state_variables(self.model))
        }
        temporary = self.state_path.with_suffix(".part.npz")
        np.savez(temporary, epochs=epochs, **variables)
        os.replace(temporary, self.state_path)


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


def build_model(recipe: Recipe) -> keras.Model:
    """The recipe's network, compiled with its loss, optimizer and metrics."""
    model = swin_transformer(recipe.model, name=recipe.name.replace("-", "_"))
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        optimizer=keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="top1"),
            keras.metrics.TopKCategoricalAccuracy(5, name="top5"),
        ],
    )
    return model


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    seed: int = 0,
    epochs: int | None = None,
    command: str = "",
) -> Record:
    """Train a recipe and write its record; go on where an earlier call was interrupted.

    The record goes to `OUT/RECIPE/seed-N.json`, the weights beside it to
    `seed-N.weights.h5`. While the run lasts, its state is kept in the folder `seed-N`.

    Args:
        recipe: what to train.
        dataset: what to train on.
        out: folder for records and weights.
        seed: for the weights, the order, the augmentation and the dropout.
        epochs: how many to train; by default the recipe's own.
        command: how a reader would start the same run, for the record.

    Returns:
        The record; the one on disk, where the same run has been finished before.

    Raises:
        TrainingError: if `out` holds a run of this recipe and seed with other settings, or a
            damaged state.
    """
    epochs = recipe.epochs if epochs is None else epochs
    run = out / recipe.name / f"seed-{seed}"
    record_path = run.with_name(run.name + ".json")
    settings = _settings(recipe, dataset, seed, epochs)
    if record_path.exists():
        record = read_record(record_path)
        _require_same(settings, {name: getattr(record, name) for name in settings}, record_path)
        return record
    _claim_folder(run, settings)
    model, history = _fit(recipe, dataset.train, run, seed, epochs)
    test = model.evaluate(
        Batches(*dataset.test, recipe), return_dict=True, verbose=progress_verbosity()
    )
    record = Record(
        recipe=recipe.name,
        complete=epochs == recipe.epochs and dataset.name == "cifar100",
        history=history,
        test={name: float(value) for name, value in test.items()},
        parameters=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        seconds=sum(epoch["seconds"] for epoch in history),
        device=describe_device(),
        versions=describe_versions(),
        commit=describe_commit(),
        command=command,
        **settings,
    )
    without_optimizer = keras.Model(model.inputs, model.outputs)
    without_optimizer.save_weights(run.with_name(run.name + ".weights.h5"))
    write_record(record_path, record)
    shutil.rmtree(run)
    return record


def progress_verbosity() -> int:
    """Keras's progress bar on a terminal, a line an epoch in a log."""
    return 1 if sys.stdout.isatty() else 2


def _settings(recipe: Recipe, dataset: Dataset, seed: int, epochs: int) -> dict:
    """What two runs must share for one to go on where the other stopped."""
    settings = {
        "config": recipe.to_dict(),
        "dataset": dataset.name,
        "seed": seed,
        "epochs": epochs,
        "backend": keras.backend.backend(),
        "data_fingerprint": fingerprint(*dataset.train, *dataset.test),
    }
    return json.loads(json.dumps(settings))  # as they read back: tuples become lists


def _claim_folder(run: Path, settings: dict) -> None:
    """Leave the settings in a new run's folder, or compare them with those of an older run."""
    path = run / "settings.json"
    if path.exists():
        _require_same(settings, json.loads(path.read_text(encoding="utf-8")), run)
    else:
        write_json(path, settings)


def _fit(
    recipe: Recipe, train: tuple[np.ndarray, np.ndarray], run: Path, seed: int, epochs: int
) -> tuple[keras.Model, list[dict]]:
    """Train from the state in `run`, or from the seed; return the model and all its history."""
    keras.utils.set_random_seed(seed)
    model = build_model(recipe)
    checkpoint = Checkpoint(run)
    first_epoch = checkpoint.restore(model)
    train_split, validation_split = split_validation(*train, recipe.validation_fraction)
    model.fit(
        Batches(*train_split, recipe, seed, first_epoch),
        validation_data=Batches(*validation_split, recipe),
        initial_epoch=first_epoch,
        epochs=epochs,
        shuffle=False,  # `Batches` sees to the order
        callbacks=[EpochSeed(seed), checkpoint],
        verbose=progress_verbosity(),
    )
    return model, checkpoint.history


def _state_variables(model: keras.Model) -> list:
    """All that the next step depends on: weights, seed generators, optimizer."""
    return [*model.variables, *model.optimizer.variables]


def _require_same(settings: dict, found: dict, where: Path) -> None:
    differing = [name for name in settings if settings[name] != found.get(name)]
    if differing:
        raise TrainingError(
            f"{where} holds a run with another {' and '.join(differing)}; "
            "give another --out, or move that run away."
        )
