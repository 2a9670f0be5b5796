"""Train a recipe: in sight, to a record, and on from where it was interrupted."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import keras

from smallvit.data.batches import split_validation, start_workers
from smallvit.data.datasets import Dataset
from smallvit.models.convnet import ConvNetConfig, convolutional_network
from smallvit.models.cost import count_macs, count_parameters
from smallvit.models.swin import SwinConfig, swin_transformer
from smallvit.models.vit import VitConfig, vision_transformer
from smallvit.training.callbacks import (
    Checkpoint,
    EpochSeed,
    TimeKeeper,
    TrainingError,
    require_mounted,
)
from smallvit.training.recipes import BEST_EPOCH, RECIPES, Recipe
from smallvit.training.records import (
    Record,
    describe_commit,
    describe_device,
    describe_versions,
    on_cpu,
    read_record,
    read_results,
    write_json,
    write_record,
)

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Session:
    """How a run is carried out, which its result hardly depends on.

    Args:
        precision: Keras's dtype policy, one of `PRECISIONS`; `None` for bfloat16 where there is an
            accelerator and float32 where there is none.
        steps_per_call: optimizer steps that Keras takes in one call; `None` for 16 where there is
            an accelerator, which small models would leave waiting, and 1 where there is none, or
            the backend is torch, on which Keras takes one at a time.
        distribute: whether the batch is spread over all devices, which takes JAX; where there is
            only a CPU, over its cores.
        workers: processes that make batches ready; `None` for all cores but one, at most 8, where
            there is an accelerator, and for 0 where there is none: there the model needs them.
        time_limit: seconds after which to stop, to go on another time; `None` for no limit.
    """

    precision: str | None = None
    steps_per_call: int | None = None
    distribute: bool = False
    workers: int | None = None
    time_limit: float | None = None

    def __post_init__(self):
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}; got {self.precision!r}."
            )

    def for_this_device(self) -> "Session":
        """The same with what was left open decided."""
        if on_cpu():
            defaults = {"precision": "float32", "steps_per_call": 1, "workers": 0}
        else:
            workers = max(1, min(8, (os.cpu_count() or 1) - 1))
            steps = 1 if keras.backend.backend() == "torch" else 16
            defaults = {"precision": "mixed_bfloat16", "steps_per_call": steps, "workers": workers}
        undecided = {name: x for name, x in defaults.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **undecided)


def build_model(recipe: Recipe) -> keras.Model:
    """The recipe's network, not compiled."""
    build = {
        ConvNetConfig: convolutional_network,
        SwinConfig: swin_transformer,
        VitConfig: vision_transformer,
    }[type(recipe.model)]
    return build(recipe.model, name=recipe.name.replace("-", "_"))


def build_schedule(
    recipe: Recipe, num_images: int
) -> float | keras.optimizers.schedules.CosineDecay:
    """The recipe's learning rate: a number, or a schedule by steps.

    Args:
        recipe: with its schedule and epochs.
        num_images: training images.
    """
    if recipe.schedule is None:
        return recipe.learning_rate
    steps = recipe.epochs * recipe.steps_per_epoch(num_images)
    warmup_steps = round(recipe.schedule.warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.schedule.floor,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=steps - warmup_steps,
        alpha=recipe.schedule.floor / recipe.learning_rate,
    )


def compile_model(
    model: keras.Model, recipe: Recipe, num_images: int, steps_per_call: int = 1
) -> None:
    """Give a model the recipe's loss, optimizer and metrics, and have XLA compile its steps.

    By itself Keras leaves XLA out where TensorFlow has only a CPU. These models are made of many
    small operations, and gain by it there, too, but for bfloat16: XLA computes that in float32,
    and TensorFlow's own kernels in the processor's units for it.

    Args:
        model: as `build_model` gives it.
        recipe: what to compile it for.
        num_images: training images, which the schedule's length follows.
        steps_per_call: optimizer steps that Keras takes in one call.
    """
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        ),
        optimizer=keras.optimizers.AdamW(
            build_schedule(recipe, num_images), weight_decay=recipe.weight_decay
        ),
        metrics=[
            keras.metrics.CategoricalAccuracy(name="top1"),
            keras.metrics.TopKCategoricalAccuracy(5, name="top5"),
        ],
        steps_per_execution=steps_per_call,
        jit_compile=_gains_by_xla(model.compute_dtype),
    )


def _gains_by_xla(dtype: str) -> bool:
    """Whether XLA makes training steps in `dtype` faster, on this backend and device."""
    if keras.backend.backend() == "tensorflow":
        return dtype == "float32" or not on_cpu()
    return keras.backend.backend() == "jax"


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    seed: int = 0,
    epochs: int | None = None,
    command: str = "",
    session: Session | None = None,
) -> Record:
    """Train a recipe and write its record; go on where an earlier call was interrupted.

    The record goes to `OUT/RECIPE/seed-N.json`, the history as a table to `seed-N.csv` and the
    weights to `seed-N.weights.h5`. While the run lasts, its state is kept in the folder `seed-N`.

    Args:
        recipe: what to train.
        dataset: what to train on.
        out: folder for records and weights.
        seed: for the weights, the order, the augmentation and the dropout.
        epochs: how many to train; by default the recipe's own. A schedule is drawn together.
        command: how a reader would start the same run, for the record.
        session: how to carry it out.

    Returns:
        The record; the one on disk, where the same run has been finished before. Where the time
        limit came first, `record.finished` is false, and the same call goes on.

    Raises:
        TrainingError: if `out` holds a run of this recipe and seed with other settings, or a
            damaged state; if `out` cannot be written to; or if the loss is no longer a number.
    """
    require_mounted(out)
    recipe = recipe.for_dataset(dataset)
    session = session or Session()
    if session.distribute:
        split_cpu(_batch_sizes(recipe, dataset))
    session = session.for_this_device()
    planned = dataclasses.replace(recipe, epochs=recipe.epochs if epochs is None else epochs)
    run = out / recipe.name / f"seed-{seed}"
    record_path = run.with_name(run.name + ".json")
    settings = _settings(recipe, dataset, seed, planned.epochs, session.precision)
    if record_path.exists():
        record = read_record(record_path)
        _require_same(settings, {name: getattr(record, name) for name in settings}, record_path)
        if record.finished:
            return record
    _claim_folder(run, settings)
    with device_settings(session):
        model, history = _fit(planned, dataset, run, seed, session)
        finished = len(history) == planned.epochs
        test = _evaluate(model, planned, dataset) if finished else None
    record = Record(
        recipe=recipe.name,
        complete=len(history) == recipe.epochs and dataset.name == "cifar100" and dataset.published,
        history=history,
        test=test,
        parameters=count_parameters(model),
        seconds=sum(epoch["seconds"] for epoch in history),
        device=describe_device(),
        versions=describe_versions(),
        commit=describe_commit(),
        command=command,
        **settings,
    )
    if finished:
        without_optimizer = keras.Model(model.inputs, model.outputs)
        without_optimizer.save_weights(run.with_name(run.name + ".weights.h5"))
    write_record(record_path, record)
    if finished:
        shutil.rmtree(run)
    return record


def unrecorded(out: Path) -> list[Recipe]:
    """The recipes that have no finished record in a folder, the one that computes least first."""
    records = read_results(out)
    done = {name for name, those in records.items() if any(r.finished for r in those)}
    return sorted((r for r in RECIPES.values() if r.name not in done), key=_cost)


def progress_verbosity() -> int:
    """Keras's progress bar on a terminal, a line an epoch in a log."""
    return 1 if sys.stdout.isatty() else 2


def split_cpu(batch_sizes: set[int]) -> None:
    """Have JAX take the CPU's cores for devices, as many as can share each batch evenly.

    JAX multiplies small matrices on one core, however many there are; with a part of the batch for
    each core, all have work. This comes too late where JAX has looked for devices already, and
    leaves things as they are.

    Args:
        batch_sizes: how many images a batch can have; 0 stands for any number.

    Raises:
        TrainingError: if Keras does not run on JAX.
    """
    if keras.backend.backend() != "jax":
        raise TrainingError(
            f"Spreading a run over devices takes JAX; Keras runs on {keras.backend.backend()}. "
            "Set KERAS_BACKEND=jax."
        )
    import jax

    shared = math.gcd(*batch_sizes)
    cores = max(n for n in range(1, os.cpu_count() + 1) if shared % n == 0)
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", cores)


@contextlib.contextmanager
def device_settings(session: Session) -> Iterator[None]:
    """Set Keras's precision and distribution, and set them back.

    Args:
        session: with nothing of it left open; `split_cpu` comes first where it distributes.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(session.precision)
    if session.distribute:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
        if session.distribute:
            keras.distribution.set_distribution(None)


def _settings(recipe: Recipe, dataset: Dataset, seed: int, epochs: int, precision: str) -> dict:
    """What two runs must share for one to go on where the other stopped."""
    settings = {
        "config": recipe.to_dict(),
        "dataset": dataset.name,
        "seed": seed,
        "epochs": epochs,
        "backend": keras.backend.backend(),
        "precision": precision,
        "data_fingerprint": dataset.fingerprint,
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
    recipe: Recipe, dataset: Dataset, run: Path, seed: int, session: Session
) -> tuple[keras.Model, list[dict]]:
    """Train from the state in `run`, or from the seed; return the model and all its history."""
    keras.utils.set_random_seed(seed)
    train_split, validation_split = split_validation(*dataset.train, recipe.validation_fraction)
    train_split = tuple(array[: recipe.train_images] for array in train_split)
    if recipe.protocol == BEST_EPOCH:
        validation_split = dataset.test
    if session.distribute:
        _require_even_batches(_batch_sizes(recipe, dataset))
    model = build_model(recipe)
    compile_model(model, recipe, len(train_split[0]), session.steps_per_call)
    checkpoint = Checkpoint(run)
    first_epoch = checkpoint.restore(model)
    with start_workers(session.workers) as pool:
        model.fit(
            recipe.batches(*train_split, seed, first_epoch, pool),
            validation_data=recipe.batches(*validation_split, pool=pool),
            initial_epoch=first_epoch,
            epochs=recipe.epochs,
            shuffle=False,  # `Batches` sees to the order
            callbacks=[
                EpochSeed(seed),
                checkpoint,
                TimeKeeper(recipe.epochs, session.time_limit),
            ],
            verbose=progress_verbosity(),
        )
    return model, checkpoint.history


def _cost(recipe: Recipe) -> int:
    """What all of a recipe's training steps multiply and add, on CIFAR-100, going forward."""
    num_images = recipe.train_images or int(50_000 * (1 - recipe.validation_fraction))
    num_images *= recipe.passes
    return count_macs(build_model(recipe)) * num_images * recipe.epochs


def _evaluate(model: keras.Model, recipe: Recipe, dataset: Dataset) -> dict[str, float]:
    """Loss and accuracies on the test images."""
    figures = model.evaluate(
        recipe.batches(*dataset.test), return_dict=True, verbose=progress_verbosity()
    )
    return {name: float(value) for name, value in figures.items()}


def _batch_sizes(recipe: Recipe, dataset: Dataset) -> set[int]:
    """How many images a batch can have, the last ones of an epoch among them."""
    parts = (*split_validation(*dataset.train, recipe.validation_fraction), dataset.test)
    left_over = {len(images) % recipe.batch_size for images, _ in parts}
    return {recipe.batch_size, *left_over}


def _require_even_batches(sizes: set[int]) -> None:
    """See that batches of these sizes can be shared out to all devices."""
    devices = len(keras.distribution.list_devices())
    uneven = sorted(size for size in sizes if size % devices)
    if uneven:
        raise TrainingError(
            f"{devices} devices cannot share batches of {' and '.join(map(str, uneven))} images; "
            "choose a number of devices that divides them, or train without --distribute."
        )


def _require_same(settings: dict, found: dict, where: Path) -> None:
    differing = [name for name in settings if settings[name] != found.get(name)]
    if differing:
        raise TrainingError(
            f"{where} holds a run with another {' and '.join(differing)}; "
            "give another --out, or move that run away."
        )
