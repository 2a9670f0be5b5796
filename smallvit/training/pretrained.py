"""Models with the weights of recorded runs, images as they take them, and predictions."""

from pathlib import Path

import keras
import numpy as np

from smallvit.data.errors import one_sentence
from smallvit.data.folders import read_image
from smallvit.data.transforms import prepare
from smallvit.training.build import build_model
from smallvit.training.recipes import Recipe, get_recipe
from smallvit.training.records import (
    Record,
    fingerprint_file,
    read_record,
    record_path,
    results_folder,
    weights_path,
)


def load_pretrained(name: str, seed: int = 0, results: Path | str | None = None) -> keras.Model:
    """A recipe's model with the weights that a run of it ended with.

    Args:
        name: the recipe's name.
        seed: the run's seed.
        results: the folder that the run was written to; by default that of the runs recorded with
            this package, whose weights are kept if they take at most 2 MB.

    Returns:
        A model from images as `prepare_images` makes them, `(batch, height, width, 3)`, to logits
        `(batch, num_classes)`.

    Raises:
        ValueError: if there is no such recipe, no weights of that run, or if the file does not fit
            the recipe's model; the message says what to run.
    """
    run = _find(name, seed, results)
    if not weights_path(run).is_file():
        raise ValueError(
            f"No weights of {name} with seed {seed} are kept in {run.parent}: run "
            f"{_command(name)} --seed {seed} --out FOLDER`, then "
            f'load_pretrained("{name}", {seed}, "FOLDER").'
        )
    _, model = load_run(record_path(run))
    return model


def prepare_images(
    images: np.ndarray, name: str, seed: int = 0, results: Path | str | None = None
) -> np.ndarray:
    """Images as a recorded run's model takes them.

    Args:
        images: uint8 array `(n, height, width, 3)`, of the size that the run was trained on.
        name: as for `load_pretrained`.
        seed: likewise.
        results: likewise.

    Returns:
        What the recipe's transforms that are not random make of them, float32.

    Raises:
        ValueError: if there is no such recipe, no record of that run, or the images are of another
            type, rank or size.
    """
    record = read_record(record_path(_find(name, seed, results)))
    height, width = record.image_size
    if images.shape[1:] != (height, width, 3):
        raise ValueError(
            f"{name} was trained on images (n, {height}, {width}, 3); got {images.shape}."
        )
    return _as_in_evaluation(images, record)


def load_run(path: Path) -> tuple[Record, keras.Model]:
    """A run's record, and its model with the weights it ended with.

    Args:
        path: the record, with the weights beside it.

    Raises:
        ValueError: if the record cannot be read, or the weights are missing or of another run.
    """
    record, weights = read_record(path), weights_path(Path(path).with_suffix(""))
    if not weights.is_file():
        raise ValueError(f"{weights} does not exist; finish the run, or put its weights there.")
    if record.weights not in (None, fingerprint_file(weights)):
        raise ValueError(f"{weights} is damaged, or not of the run in {path}; restore it.")
    try:
        model = build_model(Recipe.from_dict(record.config))
        model.load_weights(weights)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{weights} does not fit the model that {path} describes; train it again with "
            f"{_command(record.recipe)} --out FOLDER`."
        ) from error
    return record, model


def predict(record: Record, model: keras.Model, path: Path) -> list[tuple[str, float]]:
    """Name the classes of an image file, with their probabilities, the most likely first.

    Args:
        record: of the run that the model comes from.
        model: as `load_run` returns it.
        path: an image of any size, which `read_image` crops and resizes as it does a dataset's.

    Raises:
        ValueError: if the file is not an image, or cannot be read.
    """
    with one_sentence(path):
        pixels = read_image(path, record.image_size)
    logits = model(_as_in_evaluation(pixels[None], record))
    shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[0]
    names = record.classes or [f"class {number}" for number in range(len(shares))]
    return [(names[number], float(shares[number])) for number in np.argsort(-shares)]


def _find(name: str, seed: int, results: Path | str | None) -> Path:
    """A run's files, without their endings."""
    return Path(results or results_folder()).expanduser() / get_recipe(name).name / f"seed-{seed}"


def _as_in_evaluation(images: np.ndarray, record: Record) -> np.ndarray:
    transforms = Recipe.from_dict(record.config).transforms
    labels = np.zeros((len(images), 1), "float32")
    return prepare(images, labels, transforms, None, key=None)[0]


def _command(recipe: str) -> str:
    return f"`python -m smallvit train {recipe}"
