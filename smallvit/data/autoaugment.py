"""AutoAugment: a policy, found by search, that applies up to two of fourteen operations per image.

An operation has a name and, but for three, a magnitude on a scale from 0 to 9. A sub-policy is two
operations, each `(name, probability, index on the scale)`; a policy is a choice of sub-policies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from smallvit.data.transforms import Transform

CIFAR10_POLICY = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translateX", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shearY", 0.5, 8), ("translateY", 0.7, 9)),
    (("autocontrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shearY", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translateX", 0.5, 8)),
    (("equalize", 0.3, 7), ("autocontrast", 0.4, 8)),
    (("translateY", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("autocontrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("autocontrast", 0.9, 3)),
    (("translateY", 0.9, 9), ("translateY", 0.7, 9)),
    (("autocontrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translateY", 0.7, 9), ("autocontrast", 0.9, 1)),
)
"""The policy for CIFAR-10. Source: Cubuk et al. 2019, table 7."""

_PROBABILITIES = np.array([[operation[1] for operation in pair] for pair in CIFAR10_POLICY])
_GREY = (128, 128, 128)


class _Operation(NamedTuple):
    apply: Callable[[Image.Image, float], Image.Image]
    first: float = 0  # the magnitude at index 0
    last: float = 0  # and at index 9
    signed: bool = False


def _affine(image: Image.Image, *coefficients: float, resample: int = 0) -> Image.Image:
    transform = Image.Transform.AFFINE
    return image.transform(image.size, transform, coefficients, resample, fillcolor=_GREY)


def _shear(image: Image.Image, x: float, y: float) -> Image.Image:
    return _affine(image, 1, x, 0, y, 1, 0, resample=Image.Resampling.BICUBIC)


def _translate(image: Image.Image, x: float, y: float) -> Image.Image:
    return _affine(image, 1, 0, x * image.width, 0, 1, y * image.height)


def _enhance(kind: type, image: Image.Image, magnitude: float) -> Image.Image:
    return kind(image).enhance(1 + magnitude)


_TABLE = {
    "shearX": _Operation(lambda image, m: _shear(image, m, 0), 0, 0.3, signed=True),
    "shearY": _Operation(lambda image, m: _shear(image, 0, m), 0, 0.3, signed=True),
    "translateX": _Operation(lambda image, m: _translate(image, m, 0), 0, 150 / 331, signed=True),
    "translateY": _Operation(lambda image, m: _translate(image, 0, m), 0, 150 / 331, signed=True),
    "rotate": _Operation(lambda image, m: image.rotate(m, fillcolor=_GREY), 0, 30),
    "color": _Operation(partial(_enhance, ImageEnhance.Color), 0, 0.9, signed=True),
    "contrast": _Operation(partial(_enhance, ImageEnhance.Contrast), 0, 0.9, signed=True),
    "brightness": _Operation(partial(_enhance, ImageEnhance.Brightness), 0, 0.9, signed=True),
    "sharpness": _Operation(partial(_enhance, ImageEnhance.Sharpness), 0, 0.9, signed=True),
    "posterize": _Operation(ImageOps.posterize, 8, 4),
    "solarize": _Operation(ImageOps.solarize, 256, 0),
    "autocontrast": _Operation(lambda image, _: ImageOps.autocontrast(image)),
    "equalize": _Operation(lambda image, _: ImageOps.equalize(image)),
    "invert": _Operation(lambda image, _: ImageOps.invert(image)),
}
OPERATIONS = tuple(_TABLE)
SIGNED = frozenset(name for name, operation in _TABLE.items() if operation.signed)
"""The operations whose magnitude is negative half the time."""


def magnitude_of(name: str, index: int) -> float:
    """The magnitude of an operation at an index from 0 to 9.

    Returns:
        Shears: pixels of shift per pixel of distance. Translations: fraction of the image's side.
        `"rotate"`: degrees. `"color"`, `"contrast"`, `"brightness"`, `"sharpness"`: what is added
        to 1 to make Pillow's enhancement factor. `"posterize"`: bits to keep, an integer.
        `"solarize"`: the level from which pixels are inverted. 0 for the others.

    Raises:
        ValueError: if there is no such operation or index.

    Source: Cubuk et al. 2019 (AutoAugment), table 6, with the ranges of DeepVoltaire/AutoAugment.
    """
    operation = _find(name)
    if index not in range(10):
        raise ValueError(f"A magnitude's index is a whole number from 0 to 9; got {index!r}.")
    magnitude = operation.first + (operation.last - operation.first) * index / 9
    return round(magnitude) if name == "posterize" else magnitude


def apply_operation(image: Image.Image, name: str, magnitude: float = 0) -> Image.Image:
    """Apply one operation to one image.

    Args:
        image: in mode `"RGB"`.
        name: one of `OPERATIONS`.
        magnitude: as `magnitude_of` returns it, or its negative for those in `SIGNED`. A positive
            translation shows what lies to the right or below; a positive angle turns
            counterclockwise.

    Returns:
        A new image of the same size. Places outside the old one are grey, 128 in each channel.

    Raises:
        ValueError: if there is no such operation.

    Source: `CIFAR10Policy` of DeepVoltaire/AutoAugment. Shears are bicubic; translations and
    rotation take the nearest pixel.
    """
    return _find(name).apply(image, magnitude)


def _find(name: str) -> _Operation:
    if name not in _TABLE:
        raise ValueError(f"There is no operation {name!r}; choose from {', '.join(OPERATIONS)}.")
    return _TABLE[name]


@dataclass(frozen=True)
class AutoAugment(Transform):
    """Apply one of the 25 sub-policies of `CIFAR10_POLICY`, drawn uniformly, to each RGB image.

    Each of its two operations is applied, in order, with its own probability and, if it is in
    `SIGNED`, a random sign.

    Source: Cubuk et al. 2019 (AutoAugment), section 3.
    """

    dtype: ClassVar = "uint8"
    on_device: ClassVar = False

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        chosen = rng.integers(len(CIFAR10_POLICY), size=shape[0])
        applied = rng.random((shape[0], 2)) < _PROBABILITIES[chosen]
        return chosen, applied, rng.choice((-1, 1), (shape[0], 2))

    def apply(self, images: np.ndarray, drawn: tuple) -> np.ndarray:
        count, height, width, _ = images.shape
        chosen, applied, signs = drawn
        # All images as a single tall one: converting each by itself would take longer.
        tall = Image.fromarray(images.reshape(count * height, width, 3))
        for place in np.flatnonzero(applied.any(axis=1)).tolist():
            box = (0, place * height, width, (place + 1) * height)
            image = tall.crop(box)
            for number in np.flatnonzero(applied[place]).tolist():
                name, _, index = CIFAR10_POLICY[chosen[place]][number]
                sign = int(signs[place, number]) if name in SIGNED else 1
                image = apply_operation(image, name, sign * magnitude_of(name, index))
            tall.paste(image, box)
        return np.array(tall).reshape(images.shape)
