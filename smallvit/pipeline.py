"""From a dataset to the batches that a model is fed."""

import os
from dataclasses import dataclass
from functools import lru_cache

import keras
import numpy as np

from smallvit.data import load_cifar100
from smallvit.recipes import Recipe
from smallvit.shapes import shapes100


@dataclass(frozen=True)
class Dataset:
    """Images and labels, with the name that a record calls them by.

    Args:
        name: `"cifar100"` or `"shapes100"`.
        train: uint8 images `(n, height, width, 3)` and integer labels `(n,)`.
        test: likewise.
    """

    name: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def load_dataset(source: str | None = None) -> Dataset:
    """The dataset that a word on the command line stands for.

    Args:
        source: where CIFAR-100 lies, as `load_cifar100` takes it, or `"shapes100"` for 10,000
            training and 2,000 test images of the synthetic set.
    """
    if source == "shapes100":
        return Dataset("shapes100", shapes100(10_000, seed=0), shapes100(2_000, seed=1))
    return Dataset("cifar100", *load_cifar100(source))


class Batches(keras.utils.PyDataset):
    """Batches of a training or evaluation set, the same ones whenever they are asked for.

    What a batch holds depends on the seed, the epoch and its place in the epoch, and on nothing
    that came before, so a run that is resumed sees what it would have seen, and so do any number
    of workers.

    Args:
        images: uint8 array `(n, height, width, 3)`.
        labels: integer array `(n,)`.
        recipe: what is done to the images, in what order they come, how many at once.
        seed: the run's seed, or `None` for evaluation: in order, and nothing random done.
        first_epoch: epochs that were trained before.
        workers: threads that prepare batches while the model trains.

    Each batch is float32 images `(batch, size, size, 3)` and float32 labels
    `(batch, num_classes)`, one-hot or mixed.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        recipe: Recipe,
        seed: int | None = None,
        first_epoch: int = 0,
        workers: int | None = None,
    ):
        super().__init__(workers=default_workers() if workers is None else workers)
        self.images, self.labels, self.recipe = images, labels, recipe
        self.seed, self.epoch = seed, first_epoch

    def __len__(self) -> int:
        if self.seed is None:
            return -(-len(self.images) // self.recipe.batch_size)
        return steps_per_epoch(self.recipe, len(self.images))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        places = slice(index * self.recipe.batch_size, (index + 1) * self.recipe.batch_size)
        if self.seed is None:
            return self._prepare(places, None)
        if self.recipe.shuffle:
            places = _epoch_order(self.seed, self.epoch, len(self.images), self.recipe.passes)[
                places
            ]
        return self._prepare(places, np.random.default_rng((self.seed, self.epoch, index)))

    def _prepare(self, places, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
        images = self.images[places]
        labels = np.eye(self.recipe.model.num_classes, dtype="float32")[self.labels[places]]
        for step in self.recipe.steps:
            if rng is not None or not step.random:
                images = step(images, rng)
        if rng is not None and self.recipe.mixing is not None:
            return self.recipe.mixing(images, labels, rng)
        return images, labels

    def on_epoch_end(self) -> None:
        self.epoch += 1


def default_workers() -> int:
    """Threads to prepare batches with: a few, and one core left to the model."""
    return max(1, min(8, (os.cpu_count() or 1) - 1))


def steps_per_epoch(recipe: Recipe, num_images: int) -> int:
    """Optimizer steps in an epoch of so many training images."""
    if recipe.passes > 1:
        return recipe.passes * num_images // recipe.batch_size
    return -(-num_images // recipe.batch_size)


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, num_images: int, passes: int) -> np.ndarray:
    """The places of all of an epoch's images, pass after pass; every batch asks for them."""
    rng = np.random.default_rng((seed, epoch))
    return np.concatenate([rng.permutation(num_images) for _ in range(passes)])


def split_validation(images: np.ndarray, labels: np.ndarray, fraction: float) -> tuple:
    """Hold out the last images: `(images, labels)` to train on, and `(images, labels)` to check."""
    first = int(len(images) * (1 - fraction))
    return (images[:first], labels[:first]), (images[first:], labels[first:])
