"""Datasets: images, labels, and what a model and a record need to know about them."""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from smallvit.data.cifar import CIFAR10, CIFAR100, Split, load_cifar
from smallvit.data.errors import DataError
from smallvit.data.folders import load_folder
from smallvit.data.shapes import SHAPES100_CLASSES, shapes100
from smallvit.layers.sizes import Size

CIFAR100_MEAN = (0.5071, 0.4865, 0.4409)
CIFAR100_STD = (0.2673, 0.2564, 0.2762)
"""Of red, green and blue over CIFAR-100's training images, with pixels in [0, 1]."""

_CIFAR = {
    "cifar100": (CIFAR100, "8644255d9af5558fc4fd6a43193ac39e74eced82cd052000cd57af7873af1409"),
    "cifar10": (CIFAR10, None),
}
"""By name: the published form, and its content as `content_fingerprint` names it, if known."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set, with what a model and a record need to know about them.

    Args:
        name: what a record calls it.
        classes: the classes' names; a label is an index into them.
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
        # From counts of the 256 levels, 1,000 images at a time: exact, and without a large copy.
        images = self.train[0]
        counts = np.zeros((images.shape[-1], 256), "int64")
        for start in range(0, len(images), 1000):
            for channel, pixels in enumerate(np.moveaxis(images[start : start + 1000], -1, 0)):
                counts[channel] += np.bincount(pixels.ravel(), minlength=256)
        shares, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
        mean = shares @ levels
        std = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(axis=1)).clip(1 / 255)
        return tuple(mean.round(4).tolist()), tuple(std.round(4).tolist())


def load_dataset(
    name: str | os.PathLike = "cifar100",
    data_dir: str | os.PathLike | None = None,
    image_size: Size = 32,
) -> Dataset:
    """Load a dataset by its name, or a folder of images.

    Args:
        name: `"cifar100"`, `"cifar10"`, `"shapes100"` (10,000 training and 2,000 test images,
            painted on the spot) or the path of a folder of images, as for `load_folder`.
        data_dir: where a copy of CIFAR is, as for `load_cifar`.
        image_size: height and width to which a folder's images are resized; the other datasets
            have 32 x 32 pixels.

    Returns:
        The dataset. Its name is the one asked for; `unverified-cifar100` or `unverified-cifar10`
        if the content is not known to be the published one; or `folder:` and the folder's own name.

    Raises:
        DataError: if it cannot be loaded; the message says why and what to do.
    """
    if name == "shapes100":
        return paint_dataset(10_000, 2_000)
    if name in _CIFAR:
        form, contents = _CIFAR[name]
        train, test, published = load_cifar(form, data_dir)
        if contents and not published:
            published = content_fingerprint(*train, *test) == contents
        name = name if published else f"unverified-{name}"
        return Dataset(name, form.classes, train, test, published=published)
    folder = Path(name).expanduser()
    if not folder.exists():
        raise DataError(
            f"There is no dataset or folder {str(name)!r}; choose {', '.join(_CIFAR)}, shapes100 "
            "or the path of a folder that holds a folder of images per class."
        )
    return Dataset(f"folder:{folder.resolve().name}", *load_folder(folder, image_size))


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


def content_fingerprint(*arrays: np.ndarray) -> str:
    """Name some sets of labelled images whatever the order of the images in each.

    Args:
        *arrays: uint8 images `(n, height, width, 3)` and labels `(n,)`, 0 to 255, of each set.

    Returns:
        SHA-256 of the sorted SHA-256s of each image's label and pixels, set after set, as 64
        hexadecimal digits.
    """
    digest = hashlib.sha256()
    for images, labels in zip(arrays[::2], arrays[1::2], strict=True):
        pairs = zip(labels.tolist(), images, strict=True)
        rows = (hashlib.sha256(bytes([label]) + image.tobytes()).digest() for label, image in pairs)
        digest.update(b"".join(sorted(rows)))
    return digest.hexdigest()
