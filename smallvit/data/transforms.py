"""What is done to images before a model sees them, one transform after another.

A transform first draws its random numbers, always with NumPy, and then computes with functions that
NumPy and `keras.ops` have in common: `xp` is one of these two modules.
"""

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from smallvit.data.errors import require
from smallvit.data.mixing import CutMixOrMixup, is_inside, mix


class Transform:
    """What a recipe does to images: called with a batch and a NumPy generator, returns a new batch.

    Subclasses are frozen dataclasses that define `apply` and, if they are `random`, that is
    augmentation, for training only, `draw`. They say which `dtype` RGB images must have (with
    `None`, any images do) and whether they can be applied to tensors `on_device`.

    Raises:
        ValueError: if called with other images, or not with a batch.
    """

    random: ClassVar[bool] = True
    dtype: ClassVar[str | None] = None
    on_device: ClassVar[bool] = True

    def __call__(self, images: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        fits = self.dtype is None or (images.dtype == self.dtype and images.shape[-1] == 3)
        if images.ndim != 4 or not fits:
            advice = "give it a batch of RGB images" if self.dtype else "give it a batch"
            if self.dtype not in (None, images.dtype):
                place = "before" if self.dtype == "uint8" else "after"
                advice = f"put it {place} Normalize, which turns uint8 into float32"
            raise ValueError(
                f"{type(self).__name__} takes {self.dtype or 'any'} images (n, height, width, "
                f"{3 if self.dtype else 'channels'}); got {images.dtype} {images.shape}: {advice}."
            )
        return self.apply(images, self.draw(images.shape, rng))

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator | None) -> Any:
        """Draw what `apply` takes for images of the shape `(n, height, width, channels)`.

        Arrays `(n, ...)`, or `None` if nothing is random.
        """

    def apply(self, images: Any, drawn: Any, xp: ModuleType = np) -> Any:
        """Return the images, changed as drawn; those given stay as they are."""
        raise NotImplementedError


@dataclass(frozen=True)
class Normalize(Transform):
    """Turn uint8 images into float32 ones of about zero mean and unit variance.

    Args:
        mean: of each channel, with pixels in [0, 1]; `None` for the dataset's own, which
            `fill_in_statistics` fills in.
        std: standard deviation, likewise.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    random: ClassVar = False
    dtype: ClassVar = "uint8"

    def apply(self, images: Any, drawn: None, xp: ModuleType = np) -> Any:
        _require_statistics(self, self.mean, self.std)
        mean, std = (xp.array(x, "float32") for x in (self.mean, self.std))
        return (xp.array(images, "float32") / 255 - mean) / std


UNIT_RANGE = Normalize(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""Turn uint8 images into float32 ones in [0, 1]."""


@dataclass(frozen=True)
class Resize(Transform):
    """Enlarge images to a square, bilinearly, with pixel centres as in `keras.layers.Resizing`.

    Args:
        size: the new height and width in pixels, not smaller than the old ones.

    Raises:
        ValueError: if the size is no positive integer or, when called, smaller than an image.
    """

    size: int
    random: ClassVar = False
    dtype: ClassVar = "float32"

    def __post_init__(self):
        require(isinstance(self.size, int) and self.size > 0, self, "a positive integer size")

    def apply(self, images: Any, drawn: None, xp: ModuleType = np) -> Any:
        if xp is not np:  # No products of matrices, which a GPU may round to three digits.
            sides = self.size, self.size
            return xp.image.resize(images, sides, "bilinear", data_format="channels_last")
        count, height, width, channels = images.shape
        rows, columns = (_interpolation_matrix(side, self.size) for side in (height, width))
        tall = rows @ images.reshape(count, height, width * channels)
        return columns @ tall.reshape(count, self.size, width, channels)


@dataclass(frozen=True)
class RandomFlip(Transform):
    """Mirror each image left to right with probability one half."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.random(shape[0]) < 0.5

    def apply(self, images: Any, drawn: Any, xp: ModuleType = np) -> Any:
        return xp.where(drawn[:, None, None, None], xp.flip(images, axis=2), images)


@dataclass(frozen=True)
class RandomCrop(Transform):
    """Move each image by up to `padding` pixels along each axis; zeros come in at the edges.

    Zero is black before `Normalize`, and the mean colour after it.

    Args:
        padding: the border of zeros, in pixels, from which a crop of the old size is taken.

    Raises:
        ValueError: if that is not an integer, or negative.
    """

    padding: int

    def __post_init__(self):
        holds = isinstance(self.padding, int) and self.padding >= 0
        require(holds, self, "an integer padding, 0 or more")

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, 2 * self.padding + 1, size=(2, shape[0])).T  # top, left

    def apply(self, images: Any, drawn: Any, xp: ModuleType = np) -> Any:
        border = (self.padding, self.padding)
        padded = xp.pad(images, ((0, 0), border, border, (0, 0)))
        rows, columns = (xp.arange(side, dtype="int32") for side in images.shape[1:3])
        top, left = drawn[:, :1, None], drawn[:, 1:, None]
        return _pick(padded, top + rows[:, None], left + columns, xp)


class _Warp(Transform):
    """Draws a matrix for each image, for `warp`."""

    dtype = "float32"

    def apply(self, images: Any, drawn: Any, xp: ModuleType = np) -> Any:
        return warp(images, drawn, xp)


@dataclass(frozen=True)
class RandomRotation(_Warp):
    """Rotate each image about its centre, bilinearly, mirrored beyond the edges.

    Args:
        factor: the angle is drawn uniformly from `-factor` to `factor` full turns.

    Raises:
        ValueError: unless the factor is 0 to 1.
    """

    factor: float

    def __post_init__(self):
        require(0 <= self.factor <= 1, self, "0 <= factor <= 1")

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        angle = 2 * np.pi * rng.uniform(-self.factor, self.factor, shape[0])
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([cos, sin, -sin, cos], axis=-1).reshape(-1, 2, 2)


@dataclass(frozen=True)
class RandomZoom(_Warp):
    """Stretch or squeeze each axis of each image by its own factor, mirrored beyond the edges.

    Args:
        factor: an axis shows from `1 - factor` to `1 + factor` of what it showed.

    Raises:
        ValueError: unless the factor is 0 to 1.
    """

    factor: float

    def __post_init__(self):
        require(0 <= self.factor <= 1, self, "0 <= factor <= 1")

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        shown = rng.uniform(1 - self.factor, 1 + self.factor, (shape[0], 2))
        return shown[:, :, None] * np.eye(2)


@dataclass(frozen=True)
class RandomErasing(Transform):
    """Paint over a rectangle of some of the images.

    Args:
        probability: of an image being painted on.
        min_area: smallest fraction of the image that a rectangle takes.
        max_area: largest fraction.
        min_aspect: smallest height over width; the largest is its inverse.
        fill: the paint, for each channel, in the units of the images; `None` for the dataset's
            mean of pixels from 0 to 1, which `fill_in_statistics` fills in. After `Normalize` that
            is half a spread above the mean colour, as in the paper's code.

    Raises:
        ValueError: if one of them is out of range or, when called, if no rectangle fits.

    Source: Zhong et al. 2020 (random erasing), algorithm 1.
    """

    probability: float = 0.25
    min_area: float = 0.02
    max_area: float = 0.4
    min_aspect: float = 0.3
    fill: tuple[float, ...] | None = None
    dtype: ClassVar = "float32"

    def __post_init__(self):
        require(0 <= self.probability <= 1, self, "0 <= probability <= 1")
        require(0 < self.min_area <= self.max_area < 1, self, "0 < min_area <= max_area < 1")
        require(0 < self.min_aspect <= 1, self, "0 < min_aspect <= 1")

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        boxes = np.zeros((shape[0], 4), "int32")
        for index in np.flatnonzero(rng.random(shape[0]) < self.probability):
            boxes[index] = self.draw_box(*shape[1:3], rng)
        return boxes

    def apply(self, images: Any, drawn: Any, xp: ModuleType = np) -> Any:
        _require_statistics(self, self.fill)
        return xp.where(is_inside(drawn, *images.shape[1:3], xp), np.float32(self.fill), images)

    def draw_box(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, ...]:
        """A rectangle `(top, left, height, width)` that fits into `height` by `width` pixels."""
        for _ in range(1000):  # Draw again what does not fit.
            area = height * width * rng.uniform(self.min_area, self.max_area)
            aspect = rng.uniform(self.min_aspect, 1 / self.min_aspect)
            tall, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
            if tall < height and wide < width:
                top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
                return int(top), int(left), tall, wide
        raise ValueError(f"No rectangle of {self} fits into an image of {height} x {width} pixels.")


def fill_in_statistics(
    transforms: tuple[Transform, ...], mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Transform, ...]:
    """The transforms with a dataset's statistics in place of `None`.

    Args:
        transforms: in any order.
        mean: of each channel of the dataset, with pixels in [0, 1].
        std: standard deviation, likewise.
    """
    statistics = {"mean": mean, "std": std, "fill": mean}
    unset = [[name for name, x in vars(each).items() if x is None] for each in transforms]
    return tuple(
        replace(transform, **{name: statistics[name] for name in names if name in statistics})
        for transform, names in zip(transforms, unset, strict=True)
    )


def _require_statistics(transform: Transform, *statistics: tuple[float, ...] | None) -> None:
    if None in statistics:
        raise ValueError(
            f"{type(transform).__name__} lacks the dataset's statistics: give them, or use "
            "fill_in_statistics or Recipe.for_dataset."
        )


def prepare(
    images: np.ndarray,
    labels: np.ndarray,
    transforms: tuple[Transform, ...],
    mixing: CutMixOrMixup | None,
    key: tuple[int, ...] | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make a batch ready for a model.

    Args:
        images: uint8 array `(n, height, width, 3)`.
        labels: one-hot float32 array `(n, num_classes)`.
        transforms: what to do to the images, in this order.
        mixing: what to do to images and labels after that, or `None`.
        key: the seed of everything random; `None` to do nothing random.

    Returns:
        `(images, labels)`, float32.

    Raises:
        ValueError: if the transforms do not make the images float32, as `Normalize` does.
    """
    if key is None:
        transforms, mixing = [x for x in transforms if not x.random], None
    rng = None if key is None else np.random.default_rng(key)
    for transform in transforms:
        images = transform(images, rng)
    if images.dtype != "float32":
        raise ValueError(f"The images are {images.dtype}; add Normalize.")
    return mixing(images, labels, rng) if mixing else (images, labels)


def defer(
    images: np.ndarray,
    labels: np.ndarray,
    transforms: tuple[Transform, ...],
    mixing: CutMixOrMixup | None,
    key: tuple[int, ...],
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Draw for a batch, but leave to a device what can be done there.

    Args:
        images: as for `prepare`.
        labels: likewise.
        transforms: likewise.
        mixing: likewise.
        key: likewise, but not `None`.

    Returns:
        `((images, *draws), labels)`: what `finish` takes, and the labels that `prepare` returns.
        The images are uint8, the draws arrays `(n, ...)` of 32 bits at most.
    """
    rng, later = np.random.default_rng(key), _later(transforms)
    for transform in transforms[: len(transforms) - len(later)]:
        images = transform(images, rng)
    none, draws = images[:0], []  # no images, but of their shape and dtype after each transform
    for transform in later:
        if transform.random:
            draws.append(transform.draw((len(images), *none.shape[1:]), rng))
        none = transform(none, rng)
    if mixing:
        drawn, labels = mixing.defer((len(images), *none.shape[1:3]), labels, rng)
        draws += drawn
    narrow = {"b": "bool", "i": "int32", "f": "float32"}
    return (images, *(each.astype(narrow[each.dtype.kind]) for each in draws)), labels


def finish(
    inputs: tuple,
    transforms: tuple[Transform, ...],
    mixing: CutMixOrMixup | None,
    xp: ModuleType,
) -> Any:
    """Do what `defer` left, with `xp`; return the images that `prepare` returns."""
    images, *draws = inputs
    supply = iter(draws)
    for transform in _later(transforms):
        images = transform.apply(images, next(supply) if transform.random else None, xp)
    return mix(images, *supply, xp) if mixing else images


def _later(transforms: tuple[Transform, ...]) -> tuple[Transform, ...]:
    """Those after the last that a device cannot apply."""
    places = [n for n, transform in enumerate(transforms, 1) if not transform.on_device]
    return transforms[max(places, default=0) :]


def warp(images: Any, matrices: Any, xp: ModuleType = np) -> Any:
    """Map images linearly about their centres, bilinearly, mirrored beyond the edges.

    Args:
        images: float32 array `(n, height, width, channels)`.
        matrices: array `(n, 2, 2)`, from a place in the new image to the place in the old one that
            its colour comes from, both `(row, column)` from the centre, in pixels. The magnitudes
            in a row sum to 2 at most.
        xp: `keras.ops` for tensors.

    Returns:
        A new float32 array of the shape of `images`.
    """
    sides = images.shape[1:3]
    # In integers: a compiler may compute a place twice, and rounding could put the two on either
    # side of a pixel's border. The unit is the finest that 32 bits leave room for.
    bits = 30 - max(sides).bit_length()
    one = 2**bits
    # In halves, since offsets from the centre of an even side are.
    halves = xp.array(xp.round(matrices * (one / 2)), "int32")[..., None, None]
    y, x = (xp.array(2 * np.arange(side) - (side - 1), "int32") for side in sides)
    corners, lower_weights = [], []
    for axis, side in enumerate(sides):
        places = halves[:, axis, 0] * y[:, None] + halves[:, axis, 1] * x + (side - 1) * one // 2
        first = xp.right_shift(places, bits)
        lower_weights.append(xp.array(places - first * one, "float32")[..., None] / one)
        corners.append([_mirror(first + step, side, xp) for step in (0, 1)])
    rows, columns = corners

    def blend_columns(row: Any) -> Any:
        left, right = (_pick(images, row, column, xp) for column in columns)
        return left + lower_weights[1] * (right - left)

    above, below = blend_columns(rows[0]), blend_columns(rows[1])
    return above + lower_weights[0] * (below - above)


def _pick(images: Any, rows: Any, columns: Any, xp: ModuleType) -> Any:
    """The pixels at places `(n, new_height, new_width)` of each image."""
    _, height, width, channels = images.shape
    starts = xp.arange(xp.shape(images)[0], dtype="int32")[:, None, None] * (height * width)
    return xp.take(xp.reshape(images, (-1, channels)), starts + rows * width + columns, axis=0)


def _mirror(index: Any, side: int, xp: ModuleType) -> Any:
    """Bring an index back into `range(side)` by reflection: 2 1 0 | 0 1 2 | 2 1 0."""
    index = index % (2 * side)
    return xp.minimum(index, 2 * side - 1 - index)


def _interpolation_matrix(old: int, new: int) -> np.ndarray:
    """The `(new, old)` weights with which old pixels enter the new ones along one axis."""
    if new < old:
        raise ValueError(f"Resize only enlarges; got images of {old} pixels for a size of {new}.")
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(old))).astype("float32")
