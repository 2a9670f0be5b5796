import numpy as np

from smallvit.augment import random_flip


def test_each_image_is_itself_or_its_mirror_image_about_half_the_time(rng):
    images = rng.integers(0, 256, (2000, 3, 4, 3), dtype="uint8")
    flipped = random_flip(images, rng)
    assert flipped.dtype == "uint8"
    same = (flipped == images).all(axis=(1, 2, 3))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same | mirrored).all()
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / 2000**0.5  # four standard errors


def test_the_same_generator_gives_the_same_flips(rng):
    images = rng.integers(0, 256, (50, 2, 2, 3))
    first, second = (random_flip(images, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
