"""From a dataset to the batches that a model is fed."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context

import keras
import numpy as np

from smallvit.data.cifar100 import load_cifar100
from smallvit.data.shapes import shapes100
from smallvit.data.transforms import prepare
from smallvit.training.recipes import Recipe

AHEAD = 16
"""Batches that processes make before the model asks for them. Keras's own workers are not used:
on JAX they lose a batch when the model is built in `fit`."""


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
    that came before, so a run that is resumed sees what it would have seen, and so does one with
    other workers.

    Args:
        images: uint8 array `(n, height, width, 3)`.
        labels: integer array `(n,)`.
        recipe: what is done to the images, in what order they come, how many at once.
        seed: the run's seed, or `None` for evaluation: in order, and nothing random done.
        first_epoch: epochs that were trained before.
        pool: processes that make batches ready while the model trains, as `start_workers` gives
            them; `None` to do it here.

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
        pool: ProcessPoolExecutor | None = None,
    ):
        super().__init__()
        self.images, self.labels, self.recipe = images, labels, recipe
        self.seed, self.epoch, self.pool = seed, first_epoch, pool
        self._ahead: dict[int, Future] = {}

    def __len__(self) -> int:
        if self.seed is None:
            return -(-len(self.images) // self.recipe.batch_size)
        return steps_per_epoch(self.recipe, len(self.images))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self.pool is None:
            return prepare(*self._ingredients(index))
        for later in range(index, min(index + AHEAD, len(self))):
            if later not in self._ahead:
                self._ahead[later] = self.pool.submit(prepare, *self._ingredients(later))
        return self._ahead.pop(index).result()

    def _ingredients(self, index: int) -> tuple:
        """What `prepare` makes a batch from."""
        places = slice(index * self.recipe.batch_size, (index + 1) * self.recipe.batch_size)
        if self.seed is not None and self.recipe.shuffle:
            order = _epoch_order(self.seed, self.epoch, len(self.images), self.recipe.passes)
            places = order[places]
        one_hot = np.eye(self.recipe.model.num_classes, dtype="float32")[self.labels[places]]
        key = None if self.seed is None else (self.seed, self.epoch, index)
        return self.images[places], one_hot, self.recipe.steps, self.recipe.mixing, key

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._ahead.clear()


@contextlib.contextmanager
def start_workers(count: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes for `Batches`, ended afterwards; `None` where none are wanted.

    They are processes since Pillow keeps threads waiting for one another, and they are started
    afresh rather than forked since JAX and TensorFlow do not survive a fork.

    Args:
        count: how many; 0 for none.
    """
    if not count:
        yield None
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield pool


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
