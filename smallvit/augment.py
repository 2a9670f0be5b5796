"""Changes to training images that leave their label true."""

import numpy as np


def random_flip(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirror each image left to right with probability one half.

    Args:
        images: array `(batch, height, width, channels)`, any dtype.
        rng: where the coin tosses come from.

    Returns:
        A new array of the same shape and dtype.
    """
    flipped = rng.random(len(images)) < 0.5
    return np.where(flipped[:, None, None, None], images[:, :, ::-1], images)
