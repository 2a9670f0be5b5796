"""Paint a synthetic set of 100 classes: ten shapes in ten colours.

A shape is a signed distance: negative inside, zero on the outline, positive outside, in units of
the shape's radius, `y` pointing up. The distance in pixels gives how much of a pixel the shape
covers, which makes the edges soft.
"""

import numpy as np

from smallvit.layers.sizes import to_count

_CHUNK = 500  # Images painted at once, so that memory does not grow with the set.
_NOISE = 6.0  # Standard deviation of the noise, in grey levels.


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 0.9


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.8


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _heights(x, y - 0.15, sides=3).max(axis=0) - 0.55


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.75) - 0.2


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 1.0, np.minimum(x, y) - 0.28)


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # A five-pointed star is every place beyond at most one side of a pentagon, corner down.
    return np.partition(_heights(x, -y, sides=5), 3, axis=0)[3] - 0.36


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # A square on its corner with a disc on each of its two upper edges.
    x, y, half = np.abs(x), y + 0.1, 0.8
    square = (x + np.abs(y) - half) / np.sqrt(2)
    disc = np.hypot(x - half / 2, y - half / 2) - half / np.sqrt(2)
    return np.minimum(square, disc)


def _moon(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(x, y) - 1.0, 0.8 - np.hypot(x - 0.5, y))


def _hourglass(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    return np.maximum((x - y - 0.1) / np.sqrt(2), y - 0.8)


def _arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    head = np.maximum((x + y - 1.0) / np.sqrt(2), -y)
    shaft = np.maximum(x - 0.28, np.abs(y + 0.4) - 0.6)
    return np.minimum(head, shaft)


def _heights(x: np.ndarray, y: np.ndarray, sides: int) -> np.ndarray:
    """How far a point lies from the centre towards each side of a regular polygon, corner up."""
    angles = np.pi / 2 + np.pi * (2 * np.arange(sides) + 1) / sides
    return np.stack([x * np.cos(angle) + y * np.sin(angle) for angle in angles])


_DISTANCES = {
    distance.__name__.removeprefix("_"): distance
    for distance in (
        *(_circle, _square, _triangle, _ring, _cross),
        *(_star, _heart, _moon, _hourglass, _arrow),
    )
}
_PALETTE = {
    "red": (222, 52, 52),
    "orange": (247, 140, 40),
    "yellow": (250, 215, 60),
    "green": (56, 165, 82),
    "cyan": (70, 208, 220),
    "blue": (48, 98, 222),
    "purple": (132, 66, 188),
    "pink": (248, 132, 190),
    "brown": (128, 78, 44),
    "white": (246, 246, 242),
}
_RGB = np.array(list(_PALETTE.values()), dtype=float)
_IS_BRIGHT = _RGB @ (0.299, 0.587, 0.114) > 140  # Luma, ITU-R BT.601.
_PAPER, _NIGHT = np.array((255.0, 252.0, 246.0)), np.array((18.0, 20.0, 40.0))

SHAPES = tuple(_DISTANCES)
COLOURS = tuple(_PALETTE)
SHAPES100_CLASSES = tuple(f"{colour} {shape}" for shape in SHAPES for colour in COLOURS)


def shapes100(
    num_images: int, seed: int = 0, image_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Paint a set of 100 classes that needs no download and cannot be mistaken for photographs.

    Place, size, rotation (half of the shapes are upright) and background vary. The background has
    one or two of the other nine colours, lighter or darker, so that counting colours does not
    reveal the shape's. Take another seed for the test set.

    Args:
        num_images: how many images to paint, 1 or more; class sizes differ by one at most.
        seed: an integer, 0 or more; the same arguments give the same set.
        image_size: height and width in pixels, 8 or more.

    Returns:
        Images, uint8 `(num_images, image_size, image_size, 3)`, and labels, int64
        `(num_images,)` in shuffled order, where label `10 * shape + colour` has the name
        `SHAPES100_CLASSES[label]`.

    Raises:
        ValueError: if an argument is not an integer in its range.
    """
    to_count(num_images, "num_images")
    to_count(seed, "seed", minimum=0)
    to_count(image_size, "image_size", minimum=8)
    rng = np.random.default_rng(seed)
    num_classes = len(SHAPES100_CLASSES)
    # Fewer images than classes, or a remainder, take random classes and not the first ones.
    labels = rng.permutation(np.resize(rng.permutation(num_classes), num_images)).astype(np.int64)
    images = np.empty((num_images, image_size, image_size, 3), np.uint8)
    for start in range(0, num_images, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        images[chunk] = _paint(labels[chunk], image_size, rng)
    return images, labels


def _paint(labels: np.ndarray, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Paint one image per label, uint8 `(N, image_size, image_size, 3)`."""
    shapes, colours = np.divmod(labels, len(COLOURS))
    cover = _cover(shapes, image_size, rng)[..., np.newaxis]
    backdrop = _backdrop(colours, image_size, rng)
    images = backdrop + cover * (_RGB[colours][:, np.newaxis, np.newaxis] - backdrop)
    images += rng.normal(0.0, _NOISE, images.shape)
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def _cover(shapes: np.ndarray, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the fraction of each pixel that the shape covers, 0 to 1, `(N, height, width)`."""
    count = len(shapes)
    radius = image_size * _uniform(rng, 0.25, 0.40, count)
    room = 0.8 * (image_size / 2 - radius)
    turn = _uniform(rng, -np.pi, np.pi, count) * (_uniform(rng, 0, 1, count) < 0.5)
    x, y = _grid(image_size)
    x = (x - room * _uniform(rng, -1, 1, count)) / radius
    y = (y - room * _uniform(rng, -1, 1, count)) / radius
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    distance = np.empty((count, image_size, image_size))
    for index, distance_to in enumerate(_DISTANCES.values()):
        chosen = shapes == index
        distance[chosen] = distance_to(x[chosen], y[chosen])
    return np.clip(0.5 - distance * radius, 0, 1)


def _backdrop(colours: np.ndarray, image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a wavy blend of two draws from the other nine colours, `(N, height, width, 3)`."""
    count = len(colours)
    others = (colours[:, np.newaxis] + rng.integers(1, len(COLOURS), (count, 2))) % len(COLOURS)
    # Bright shapes stand out from the night, dark ones from paper.
    ground = np.where(_IS_BRIGHT[colours][:, np.newaxis], _NIGHT, _PAPER)[:, np.newaxis]
    hues = 0.4 * _RGB[others] + 0.6 * ground
    first, second = hues[:, 0, np.newaxis, np.newaxis], hues[:, 1, np.newaxis, np.newaxis]
    turn = _uniform(rng, -np.pi, np.pi, count)
    x, y = (axis / image_size for axis in _grid(image_size))
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    wave = np.sin(_uniform(rng, 4, 9, count) * across + _uniform(rng, 0, 2 * np.pi, count))
    blend = np.clip(0.5 + 0.8 * along + 0.15 * wave, 0, 1)[..., np.newaxis]
    return first + blend * (second - first)


def _grid(image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres from the image's middle, x to the right and y up, ready to broadcast."""
    centres = np.arange(image_size) + 0.5 - image_size / 2
    return centres[np.newaxis, np.newaxis, :], -centres[np.newaxis, :, np.newaxis]


def _uniform(rng: np.random.Generator, low: float, high: float, count: int) -> np.ndarray:
    """Draw one number per image, shaped `(count, 1, 1)` to broadcast over its pixels."""
    return rng.uniform(low, high, (count, 1, 1))
