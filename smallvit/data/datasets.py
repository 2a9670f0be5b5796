"""Datasets: images, labels, and what a model and a record need to know about them."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from smallvit.data.cifar100 import CIFAR100_CLASSES, Split, load_cifar100
from smallvit.data.shapes import SHAPES100_CLASSES, shapes100

CIFAR100_MEAN = (0.5071, 0.4865, 0.4409)
CIFAR100_STD = (0.2673, 0.2564, 0.2762)
"""Of red, green and blue over CIFAR-100's training images, with pixels in [0, 1]."""

_PUBLISHED = {
    "cifar100": (
        "36ce7a701fbea47796e570c34382aad50f2539687cfcbc6ae96e2f56530d29b6",
        "d3cd5d87a1b9317a0982c8ef5535fe3b86da8da90b13ce5e9b23ea06400dd5eb",
    )
}
"""Content of the published training and test sets, as `content_fingerprint` names it."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set, with what a model and a record need to know about them.

    Args:
        name: what a record calls it.
        classes: the classes' names; a label is a place in them.
        train: uint8 images `(n, height, width, 3)` and integer labels `(n,)`.
        test: likewise.
        synthetic: whether the images are painted by a program.
        published: whether the content is that of the published dataset of this name.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    synthetic: bool = False
    published: bool = False

    @cached_property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel over the training images, with pixels in [0, 1], to 4 decimals."""
        return self._statistics[0]

    @cached_property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, likewise; at least one grey level."""
        return self._statistics[1]

    @cached_property
    def fingerprint(self) -> str:
        """The exact content, in its order, as `fingerprint` names it."""
        return fingerprint(*self.train, *self.test)

    @cached_property
    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        # From counts of the 256 levels: exact, and without a copy in floats.
        channels = np.moveaxis(self.train[0], -1, 0)
        counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in channels])
        shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
        mean = shares @ levels
        std = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(axis=1)).clip(1 / 255)
        return tuple(mean.round(4).tolist()), tuple(std.round(4).tolist())


def load_dataset(source: str | None = None) -> Dataset:
    """Load the dataset that a word on the command line stands for.

    Args:
        source: where CIFAR-100 is, as for `load_cifar100`, or `"shapes100"` for 10,000 training
            and 2,000 test images of the synthetic set.
    """
    if source == "shapes100":
        return paint_dataset(10_000, 2_000)
    train, test = load_cifar100(source)
    published = (content_fingerprint(*train), content_fingerprint(*test)) == _PUBLISHED["cifar100"]
    name = "cifar100" if published else "unverified-cifar100"
    return Dataset(name, CIFAR100_CLASSES, train, test, published=published)


def paint_dataset(num_train: int, num_test: int, image_size: int = 32) -> Dataset:
    """Paint training and test images of `shapes100`, with seeds 0 and 1."""
    train, test = shapes100(num_train, 0, image_size), shapes100(num_test, 1, image_size)
    return Dataset("shapes100", SHAPES100_CLASSES, train, test, synthetic=True)


def fingerprint(*arrays: np.ndarray) -> str:
    """Name the exact content of some arrays, for the record of a run.

    Args:
        *arrays: arrays of any shape, of numbers, strings or booleans, in an order that counts.

    Returns:
        SHA-256 of every array's dtype, shape and bytes (row by row), as 64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return digest.hexdigest()


def content_fingerprint(images: np.ndarray, labels: np.ndarray) -> str:
    """Name a set of labelled images whatever their order.

    Args:
        images: uint8 array `(n, height, width, 3)`.
        labels: integer array `(n,)`, 0 to 255.

    Returns:
        SHA-256 of the sorted SHA-256s of each image's label and pixels, as 64 hexadecimal digits.
    """
    pairs = zip(labels.tolist(), images, strict=True)
    rows = (hashlib.sha256(bytes([label]) + image.tobytes()).digest() for label, image in pairs)
    return hashlib.sha256(b"".join(sorted(rows))).hexdigest()
