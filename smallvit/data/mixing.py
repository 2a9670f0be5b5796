"""Mixup and CutMix: blend training images, and their labels, with others of the batch."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from smallvit.data.errors import require

Box = tuple[int, int, int, int]
"""Top, left, height and width of a rectangle, in pixels."""


def mixup(
    images: np.ndarray, labels: np.ndarray, share: float, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Blend each image with another one of the batch.

    Args:
        images: float32 array `(n, height, width, channels)`.
        labels: float32 array `(n, num_classes)`, rows that sum to 1.
        share: weight of the image itself, 0 to 1; its partner has the rest.
        order: integer array `(n,)`: the index in the batch of each image's partner.

    Returns:
        New images and labels, of the same shapes and dtypes.

    Raises:
        ValueError: if the labels are not such an array.

    Source: Zhang et al. 2018 (mixup), section 2.
    """
    share = float(share)  # One of NumPy's would turn float32 into float64.
    return _blend(images, share, order), _blend_labels(labels, share, order)


def cutmix(
    images: np.ndarray, labels: np.ndarray, box: Box, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Paste a rectangle of another image of the batch into each one, in the same place.

    Args:
        images: as for `mixup`.
        labels: as for `mixup`, with its errors.
        box: the rectangle's `(top, left, height, width)` in pixels, inside the image.
        order: as for `mixup`.

    Returns:
        New images and labels; the weight of the partner's label is the rectangle's fraction of the
        area.

    Source: Yun et al. 2019 (CutMix), equation 1.
    """
    top, left, height, width = box
    rows, columns = slice(top, top + height), slice(left, left + width)
    mixed = images.copy()
    mixed[:, rows, columns] = images[order, rows, columns]
    share = _share_outside(box, *images.shape[1:3])
    return mixed, _blend_labels(labels, share, order)


def draw_box(height: int, width: int, share: float, rng: np.random.Generator) -> Box:
    """Draw the rectangle that leaves about `share` of an image as it was.

    It has the image's proportions, sides of an even number of pixels, and its centre anywhere in
    the image; what lies outside is cut off, so it may leave more.

    Args:
        height: of the image, in pixels.
        width: likewise.
        share: fraction of the area that stays, 0 to 1.
        rng: draws the centre.

    Returns:
        The rectangle's `(top, left, height, width)`.

    Source: Yun et al. 2019 (CutMix), equation 2; the rounding is that of clovaai/CutMix-PyTorch.
    """
    top, bottom = _draw_side(height, share, rng)
    left, right = _draw_side(width, share, rng)
    return top, left, bottom - top, right - left


def mix(images: Any, shares: Any, boxes: Any, order: Any, xp: ModuleType = np) -> Any:
    """Do what `mixup` or `cutmix` does to images, as `CutMixOrMixup.defer` has drawn it.

    Args:
        images: float32 `(n, height, width, channels)`, as an array, or a tensor for `keras.ops`.
        shares: float32 `(n,)`: weight of the image itself in its box; outside, it is 1.
        boxes: integers `(n, 4)`: top, left, height and width, in pixels.
        order: as for `mixup`.
        xp: `numpy` or `keras.ops`.

    Returns:
        New images, of the same shape and dtype.
    """
    inside = is_inside(boxes, *images.shape[1:3], xp)
    return _blend(images, xp.where(inside, shares[:, None, None, None], 1.0), order, xp)


def is_inside(boxes: Any, height: int, width: int, xp: ModuleType = np) -> Any:
    """Which pixels lie in boxes `(n, 4)`, as for `mix`: booleans `(n, height, width, 1)`."""
    rows = xp.arange(height, dtype="int32")[:, None, None]
    columns = xp.arange(width, dtype="int32")[:, None]
    top, left, tall, wide = (boxes[:, place, None, None, None] for place in range(4))
    return (rows >= top) & (rows < top + tall) & (columns >= left) & (columns < left + wide)


@dataclass(frozen=True)
class CutMixOrMixup:
    """Mix some batches, half of them by CutMix and half by Mixup.

    Args:
        probability: of a batch being mixed.
        alpha: `share` is drawn, once per batch, from Beta(alpha, alpha); 1 is uniform.

    Called with images, labels and a generator, it returns new images and labels. Partners are a
    random permutation of the batch, so an image may be its own.

    Raises:
        ValueError: if the probability is not one, or alpha not positive.

    Source: Lee, Lee and Song 2021 (arXiv 2112.13492), `main.py` of aanna0701/SPT_LSA_ViT.
    """

    probability: float = 0.5
    alpha: float = 1.0

    def __post_init__(self):
        require(0 <= self.probability <= 1, self, "0 <= probability <= 1")
        require(self.alpha > 0, self, "alpha > 0")

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        share, box, order = self.draw(images.shape, rng)
        if box:
            return cutmix(images, labels, box, order)
        return mixup(images, labels, share, order)

    def draw(
        self, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[float, Box | None, np.ndarray]:
        """Draw for images of the shape `(n, height, width, ...)`.

        Returns:
            The share, CutMix's box, or `None` for Mixup, and the order. A batch that is not mixed
            has a share of 1.
        """
        if rng.random() >= self.probability:
            return 1.0, None, np.arange(shape[0])
        order = rng.permutation(shape[0])
        share = rng.beta(self.alpha, self.alpha)
        box = draw_box(*shape[1:3], share, rng) if rng.random() < 0.5 else None
        return share, box, order

    def defer(
        self, shape: tuple[int, int, int], labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Mix the labels of images `(n, height, width)`; for these, return what `mix` takes."""
        count, *sides = shape
        share, box, order = self.draw(shape, rng)
        labels = _blend_labels(labels, _share_outside(box, *sides) if box else share, order)
        boxes = np.tile(box or (0, 0, *sides), (count, 1))
        return (np.full(count, 0.0 if box else share), boxes, order), labels


def _share_outside(box: Box, height: int, width: int) -> float:
    """Fraction of an image's area that lies outside a box."""
    *_, rows, columns = box
    return float(1 - rows * columns / (height * width))


def _blend(values: Any, share: Any, order: Any, xp: ModuleType = np) -> Any:
    return share * values + (1 - share) * xp.take(values, order, axis=0)


def _blend_labels(labels: np.ndarray, share: float, order: np.ndarray) -> np.ndarray:
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.floating):
        raise ValueError(
            "Mixing takes one-hot labels, a float array (n, num_classes); got "
            f"{labels.dtype} {labels.shape}: turn class numbers into rows first."
        )
    return _blend(labels, share, order)


def _draw_side(length: int, share: float, rng: np.random.Generator) -> tuple[int, int]:
    """Where the box begins and ends along an axis of `length` pixels."""
    half = int(length * (1 - share) ** 0.5) // 2
    centre = int(rng.integers(length))
    return max(centre - half, 0), min(centre + half, length)
