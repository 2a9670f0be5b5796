"""Train a recipe, write its record, resume interrupted runs."""

import dataclasses
import math
import shutil
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import keras

from smallvit.data.batches import Batches, OnDevice, split_validation, tensorflow_datasets
from smallvit.data.datasets import Dataset
from smallvit.data.workers import start_workers
from smallvit.layers.sizes import to_count
from smallvit.models.cost import count_macs, count_parameters
from smallvit.training.build import build_model, compile_model
from smallvit.training.callbacks import Checkpoint, EpochSeed, TimeKeeper
from smallvit.training.errors import OtherRunError, TrainingError, first_line
from smallvit.training.files import replacing, require_mounted
from smallvit.training.processes import (
    process_place,
    require_agreement,
    share,
    shared_lock,
    sharing_fate,
)
from smallvit.training.recipes import BEST_EPOCH, RECIPES, Recipe
from smallvit.training.records import (
    Record,
    describe_commit,
    describe_versions,
    fingerprint_file,
    read_record,
    read_results,
    record_path,
    require_same,
    weights_path,
    write_record,
)
from smallvit.training.runtime import (
    Session,
    describe_device,
    device_settings,
    find_devices,
    progress_verbosity,
    require_divisible,
)


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path | str,
    seed: int = 0,
    epochs: int | None = None,
    command: str = "",
    session: Session | None = None,
) -> Record:
    """Train a recipe and write its record; continue if an earlier call was interrupted.

    The record goes to `OUT/RECIPE/seed-N.json`, the history as a table to `seed-N.csv` and the
    weights to `seed-N.weights.h5`. During the run, its state is in the folder `seed-N`.

    Args:
        recipe: what to train.
        dataset: what to train on.
        out: folder for records and weights.
        seed: for the weights, the order, the augmentation and the dropout; 0 to 2**32 - 1.
        epochs: how many to train, by default the recipe's own; a schedule is compressed to fit.
        command: how a reader would start the same run, for the record.
        session: how to carry it out.

    Returns:
        The record; the one on disk if the same run has been finished before. If the time limit
        came first, `record.finished` is false, and the same call continues.

    Raises:
        TrainingError: if `out` holds a run of this recipe and seed with other settings, a damaged
            state or a record of more epochs than the state, or cannot be written to; if another
            process is at this run; or if the loss is not finite.
        ValueError: if seed or epochs are out of range, the images make no batch, or the record of
            this run cannot be read.
    """
    out, seed = Path(out).expanduser(), to_count(seed, "seed", minimum=0)
    if seed >= 2**32:
        raise ValueError(f"seed must be at most {2**32 - 1}; got {seed}.")
    epochs = to_count(recipe.epochs if epochs is None else epochs, "epochs")
    planned = dataclasses.replace(recipe.for_dataset(dataset), epochs=epochs)
    require_mounted(out)
    session = session or Session()
    if session.distribute:
        find_devices(_batch_sizes(recipe, dataset))
    session = session.for_this_device()
    run = out / recipe.name / f"seed-{seed}"
    settings = {
        "config": {**planned.to_dict(), "epochs": recipe.epochs},
        "seed": seed,
        "epochs": epochs,
        "backend": keras.backend.backend(),
        "precision": session.precision,
        "data_fingerprint": dataset.fingerprint,
    }
    record = _find_finished(run, settings)
    with sharing_fate():
        require_agreement(settings, record)
    if not record:
        with sharing_fate(), shared_lock(run):
            # Another process may have finished it before it gave up the lock.
            record = _find_finished(run, settings)
            record = record or _train(planned, dataset, run, settings, session, command)
    if record.finished and _writes():
        shutil.rmtree(run, ignore_errors=True)  # after the lock: NFS keeps open files
    return record


def unrecorded(out: Path, dataset: Dataset, elsewhere: Collection[str] = ()) -> list[Recipe]:
    """The recipes without a record of a whole run on a dataset, the cheapest first.

    Args:
        out: folder with records; those of trials, shorter or on other data, do not count.
        dataset: what the runs must have been trained on.
        elsewhere: names of recipes that have a record in another place.
    """
    done = {
        record.recipe
        for records in read_results(out).values()
        for record in records
        if record.finished
        and record.epochs == record.config["epochs"]
        and record.data_fingerprint == dataset.fingerprint
    }
    left = [recipe for recipe in RECIPES.values() if recipe.name not in {*done, *elsewhere}]
    names = " ".join(recipe.name for recipe in left)
    print(f"Building {len(left)} models to begin with the cheapest: {names}", flush=True)
    return sorted(left, key=_cost)


def join_others(dataset: Dataset) -> None:
    """Call `find_devices` for all recipes, before the first model is built."""
    find_devices(set().union(*(_batch_sizes(recipe, dataset) for recipe in RECIPES.values())))


def _find_finished(run: Path, settings: dict) -> Record | None:
    """The record of this run if it is finished; what is there must be this run."""
    path, weights = record_path(run), weights_path(run)
    if not path.exists():
        return None
    record = read_record(path)
    require_same(settings, dataclasses.asdict(record), path)
    if not record.finished:
        return None
    if record.weights and weights.exists() and fingerprint_file(weights) != record.weights:
        raise TrainingError(
            f"{weights} is damaged, or not of the run in {path.name}: restore it, or delete both "
            "files to train again."
        )
    return record


def _writes() -> bool:
    """Whether this is the process that writes the run's files."""
    return process_place()[0] == 0


def _train(
    recipe: Recipe, data: Dataset, run: Path, settings: dict, session: Session, command: str
) -> Record:
    """Train, evaluate if that was the last epoch, and write the record."""
    with device_settings(session):
        model, checkpoint = _fit(recipe, data, run, settings, session)
        finished = len(checkpoint.history) == recipe.epochs
        test = _evaluate(model, recipe, data) if finished else None
    record = Record(
        recipe=recipe.name,
        dataset=data.name,
        published_data=data.published,
        classes=list(data.classes),
        image_size=list(data.train[0].shape[1:3]),
        history=checkpoint.history,
        test=test,
        parameters=count_parameters(model),
        sittings=checkpoint.sittings,
        command=command,
        weights=_write_weights(model, weights_path(run)) if finished and _writes() else None,
        **settings,
    )
    if _writes():
        write_record(record_path(run), record)
    return record


def _require_no_loss(run: Path, epochs: int) -> None:
    """Refuse to go on from a state that is behind the record it would replace."""
    path = record_path(run)
    recorded = len(read_record(path).history) if path.exists() else 0
    if recorded > epochs:
        raise OtherRunError(
            f"{path} goes to epoch {recorded}, the state in {run} to epoch {epochs}: bring back "
            "the later state, give another --out, or delete the record to train again."
        )


def _fit(
    recipe: Recipe, data: Dataset, run: Path, settings: dict, session: Session
) -> tuple[keras.Model, Checkpoint]:
    """Train from the state in `run`, or from the seed."""
    seed = settings["seed"]
    keras.utils.set_random_seed(seed)
    train_split, validation_split = _splits(recipe, data)
    if len(train_split[0]) < (recipe.train_images or 0):
        wanted = f"{recipe.name} wants {recipe.train_images:,} training images"
        print(f"{wanted}; there are {len(train_split[0]):,}.", flush=True)
    if session.distribute:
        require_divisible(_batch_sizes(recipe, data))
        devices = len(keras.distribution.list_devices())
        print("Devices that share each batch:", devices, flush=True)
    model = build_model(recipe)
    if on_device := session.augment == "device":
        model = OnDevice(model, recipe.transforms, recipe.mixing)
    compile_model(model, recipe, len(train_split[0]), session.steps_per_call)
    place = {"commit": describe_commit(), "device": describe_device()}
    place["versions"] = describe_versions()
    checkpoint = Checkpoint(run, settings, place)
    # Of several processes, each reads the same folder.
    first_epoch = checkpoint.restore(model)
    require_agreement(first_epoch, checkpoint.history)
    _require_no_loss(run, first_epoch)
    if model.jit_compile and first_epoch < recipe.epochs:
        print("XLA compiles the first step; it can take a minute.", flush=True)
    keeper = TimeKeeper(recipe.epochs, session.time_limit)
    begin = {"seed": seed, "first_epoch": first_epoch, "on_device": on_device}
    with start_workers(session.workers) as pool:
        training = recipe.batches(*train_split, pool=pool, **begin)
        validation = recipe.batches(*validation_split, pool=pool)
        with _feeding(training, validation) as (to_train_on, to_validate_with):
            model.fit(
                to_train_on,
                validation_data=to_validate_with,
                initial_epoch=first_epoch,
                epochs=recipe.epochs,
                shuffle=False,  # `Batches` sees to the order
                callbacks=[EpochSeed(seed, training), checkpoint, keeper],
                verbose=progress_verbosity(),
            )
    return model, checkpoint


def _feeding(*sets: Batches) -> AbstractContextManager[list]:
    """Batches in the form in which this backend, and this process, is best fed."""
    if keras.backend.backend() == "tensorflow":
        return tensorflow_datasets(*sets)
    return nullcontext([share(batches) for batches in sets])


def _write_weights(model: keras.Model, path: Path) -> str:
    """Write the weights without the optimizer; return the file's SHA-256."""
    network = model.model if isinstance(model, OnDevice) else model
    try:
        with replacing(path) as temporary:
            keras.Model(network.inputs, network.outputs).save_weights(temporary)
    except (OSError, RuntimeError) as error:  # HDF5 raises either if the disk is full
        raise TrainingError(
            f"{path} could not be saved ({first_line(error)}). All epochs are still "
            "there: make room on the disk, then start the run again."
        ) from error
    return fingerprint_file(path)


def _cost(recipe: Recipe) -> int:
    """Multiply-accumulates of the forward passes of a whole run on CIFAR-100."""
    num_images = recipe.train_images or int(50_000 * (1 - recipe.validation_fraction))
    return count_macs(build_model(recipe)) * num_images * recipe.passes * recipe.epochs


def _evaluate(model: keras.Model, recipe: Recipe, dataset: Dataset) -> dict[str, float]:
    """Loss and accuracies on the test images."""
    with _feeding(recipe.batches(*dataset.test)) as (test,):
        figures = model.evaluate(test, return_dict=True, verbose=progress_verbosity())
    figures = {name: float(value) for name, value in figures.items()}
    if not all(map(math.isfinite, figures.values())):
        raise TrainingError(f"The figures on the test images are not finite: {figures}.")
    return figures


def _splits(recipe: Recipe, dataset: Dataset) -> tuple:
    """Images and labels to train on, and to validate with."""
    train_split, held_out = split_validation(*dataset.train, recipe.validation_fraction)
    train_split = tuple(array[: recipe.train_images] for array in train_split)
    return train_split, dataset.test if recipe.protocol == BEST_EPOCH else held_out


def _batch_sizes(recipe: Recipe, dataset: Dataset) -> set[int]:
    """Images that a batch can have, the last of an epoch included."""
    train_split, *parts = (*_splits(recipe, dataset), dataset.test)
    if recipe.passes == 1:  # With more, the last, smaller batch is dropped.
        parts.append(train_split)
    return {recipe.batch_size, *(len(images) % recipe.batch_size for images, _ in parts)}
