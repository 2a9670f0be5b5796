"""AutoAugment: each image meets two of fourteen operations, in a policy found by search.

An operation has a name and, but for three, a magnitude on a scale from 0 to 9. A sub-policy is two
operations, each `(name, probability, index on the scale)`; a policy is the sub-policies to choose
from. The pixels are Pillow's work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

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
"""What AutoAugment's search found for CIFAR-10. Source: Cubuk et al. 2019, table 7."""

_PROBABILITIES = np.array([[operation[1] for operation in pair] for pair in CIFAR10_POLICY])
_GREY = (128, 128, 128)


def _shear_x(image: Image.Image, magnitude: float) -> Image.Image:
    return _affine(image, (1, magnitude, 0, 0, 1, 0), Image.Resampling.BICUBIC)


def _shear_y(image: Image.Image, magnitude: float) -> Image.Image:
    return _affine(image, (1, 0, 0, magnitude, 1, 0), Image.Resampling.BICUBIC)


def _translate_x(image: Image.Image, magnitude: float) -> Image.Image:
    return _affine(image, (1, 0, magnitude * image.width, 0, 1, 0))


def _translate_y(image: Image.Image, magnitude: float) -> Image.Image:
    return _affine(image, (1, 0, 0, 0, 1, magnitude * image.height))


def _affine(
    image: Image.Image,
    coefficients: tuple[float, ...],
    resample: Image.Resampling = Image.Resampling.NEAREST,
) -> Image.Image:
    transform = Image.Transform.AFFINE
    return image.transform(image.size, transform, coefficients, resample, fillcolor=_GREY)


def _rotate(image: Image.Image, magnitude: float) -> Image.Image:
    return image.rotate(magnitude, fillcolor=_GREY)


def _color(image: Image.Image, magnitude: float) -> Image.Image:
    return ImageEnhance.Color(image).enhance(1 + magnitude)


def _contrast(image: Image.Image, magnitude: float) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(1 + magnitude)


def _brightness(image: Image.Image, magnitude: float) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1 + magnitude)


def _sharpness(image: Image.Image, magnitude: float) -> Image.Image:
    return ImageEnhance.Sharpness(image).enhance(1 + magnitude)


def _autocontrast(image: Image.Image, _: float) -> Image.Image:
    return ImageOps.autocontrast(image)


def _equalize(image: Image.Image, _: float) -> Image.Image:
    return ImageOps.equalize(image)


def _invert(image: Image.Image, _: float) -> Image.Image:
    return ImageOps.invert(image)


_FUNCTIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "shearX": _shear_x,
    "shearY": _shear_y,
    "translateX": _translate_x,
    "translateY": _translate_y,
    "rotate": _rotate,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "posterize": ImageOps.posterize,
    "solarize": ImageOps.solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
}
_SCALES = {  # the magnitudes at index 0 and at index 9
    "shearX": (0, 0.3),
    "shearY": (0, 0.3),
    "translateX": (0, 150 / 331),
    "translateY": (0, 150 / 331),
    "rotate": (0, 30),
    "color": (0, 0.9),
    "contrast": (0, 0.9),
    "brightness": (0, 0.9),
    "sharpness": (0, 0.9),
    "posterize": (8, 4),
    "solarize": (256, 0),
}

OPERATIONS = tuple(_FUNCTIONS)
SIGNED = frozenset(
    ("shearX", "shearY", "translateX", "translateY", "color", "contrast", "brightness", "sharpness")
)
"""The operations whose magnitude is negative half the time."""


def magnitude_of(name: str, index: int) -> float:
    """What an index on the scale from 0 to 9 means to an operation.

    Args:
        name: one of `OPERATIONS`.
        index: whole number from 0 to 9.

    Returns:
        Shears: pixels of shift for each pixel of distance. Translations: share of the image's
        side. `"rotate"`: degrees. `"color"`, `"contrast"`, `"brightness"`, `"sharpness"`: what
        is added to 1 to make Pillow's enhancement factor. `"posterize"`: bits that are kept, a
        whole number. `"solarize"`: the level from which on a pixel is inverted. 0 for the three
        that have no magnitude.

    Raises:
        ValueError: if there is no such operation, or no such index.

    Source: Cubuk et al. 2019 (AutoAugment), table 6, with the ranges of DeepVoltaire/AutoAugment.
    """
    _require_operation(name)
    if index not in range(10):
        raise ValueError(f"A magnitude's index is a whole number from 0 to 9; got {index!r}.")
    first, last = _SCALES.get(name, (0, 0))
    magnitude = first + (last - first) * index / 9
    return round(magnitude) if name == "posterize" else magnitude


def apply_operation(image: Image.Image, name: str, magnitude: float = 0) -> Image.Image:
    """Apply one operation to one image.

    Args:
        image: in mode `"RGB"`.
        name: one of `OPERATIONS`.
        magnitude: as `magnitude_of` returns it, or its negative for those in `SIGNED`. A positive
            translation shows what lies to the right or below, a positive angle turns
            counterclockwise.

    Returns:
        A new image of the same size. Grey, 128 in each channel, comes in from outside.

    Raises:
        ValueError: if there is no such operation.

    Source: `CIFAR10Policy` of DeepVoltaire/AutoAugment. Shears are bicubic, translations and
    rotation take the nearest pixel.
    """
    _require_operation(name)
    return _FUNCTIONS[name](image, magnitude)


def _require_operation(name: str) -> None:
    if name not in _FUNCTIONS:
        raise ValueError(f"There is no operation {name!r}; choose from {', '.join(OPERATIONS)}.")


@dataclass(frozen=True)
class AutoAugment:
    """Put each image through one of the 25 sub-policies of `CIFAR10_POLICY`, drawn evenly.

    Each of the sub-policy's two operations is applied, in order, with its own probability, and
    with a sign of its own if it is in `SIGNED`.

    Called with uint8 images `(n, height, width, 3)` and a generator, it returns a new array of the
    same shape and dtype, or raises a `ValueError` if the images are anything else.

    Source: Cubuk et al. 2019 (AutoAugment), section 3.
    """

    random: ClassVar[bool] = True

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(
                "AutoAugment takes uint8 images (n, height, width, 3); got "
                f"{images.dtype} {images.shape}: let it come before what makes floats."
            )
        count, height, width, _ = images.shape
        chosen = rng.integers(len(CIFAR10_POLICY), size=count)
        applied = rng.random((count, 2)) < _PROBABILITIES[chosen]
        signs = rng.choice((-1, 1), (count, 2))
        # All images in one tall one: to convert each by itself would take longer.
        tall = Image.fromarray(images.reshape(count * height, width, 3))
        for place in np.flatnonzero(applied.any(axis=1)).tolist():
            box = (0, place * height, width, (place + 1) * height)
            image = tall.crop(box)
            for step in np.flatnonzero(applied[place]).tolist():
                name, _, index = CIFAR10_POLICY[chosen[place]][step]
                sign = int(signs[place, step]) if name in SIGNED else 1
                image = apply_operation(image, name, sign * magnitude_of(name, index))
            tall.paste(image, box)
        return np.array(tall).reshape(images.shape)
