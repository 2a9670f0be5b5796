"""From a dataset to the batches that a model is fed."""

from dataclasses import dataclass

import keras
import numpy as np

from smallvit.augment import random_flip
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
    that came before, so a run that is resumed sees what it would have seen.

    Args:
        images: uint8 array `(n, height, width, 3)`.
        labels: integer array `(n,)`.
        recipe: gives batch size and order, and the number of classes.
        seed: the run's seed, or `None` for evaluation: in order, and nothing changed.
        first_epoch: epochs that were trained before.

    Each batch is float32 images in [0, 1] and float32 one-hot labels `(batch, num_classes)`.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        recipe: Recipe,
        seed: int | None = None,
        first_epoch: int = 0,
    ):
        super().__init__()
        self.images, self.labels, self.recipe = images, labels, recipe
        self.seed, self.epoch = seed, first_epoch

    def __len__(self) -> int:
        return -(-len(self.images) // self.recipe.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        places = slice(index * self.recipe.batch_size, (index + 1) * self.recipe.batch_size)
        if self.seed is None:
            return self._prepare(self.images[places], self.labels[places])
        if self.recipe.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.images))
            places = order[places]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return self._prepare(random_flip(self.images[places], rng), self.labels[places])

    def _prepare(self, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        one_hot = np.eye(self.recipe.model.num_classes, dtype="float32")[labels]
        return images.astype("float32") / 255, one_hot

    def on_epoch_end(self) -> None:
        self.epoch += 1


def split_validation(images: np.ndarray, labels: np.ndarray, fraction: float) -> tuple:
    """Hold out the last images: `(images, labels)` to train on, and `(images, labels)` to check."""
    first = int(len(images) * (1 - fraction))
    return (images[:first], labels[:first]), (images[first:], labels[first:])
