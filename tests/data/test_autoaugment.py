import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from smallvit.data.autoaugment import (
    CIFAR10_POLICY,
    OPERATIONS,
    SIGNED,
    AutoAugment,
    apply_operation,
    magnitude_of,
)

TABLE = Path(__file__).parents[3] / "shared" / "autoaugment_cifar10.json"
GREY = (128, 128, 128)
SCALES = {
    "shearX": np.linspace(0, 0.3, 10),
    "shearY": np.linspace(0, 0.3, 10),
    "translateX": np.linspace(0, 150 / 331, 10),
    "translateY": np.linspace(0, 150 / 331, 10),
    "rotate": np.linspace(0, 30, 10),
    "color": np.linspace(0, 0.9, 10),
    "contrast": np.linspace(0, 0.9, 10),
    "brightness": np.linspace(0, 0.9, 10),
    "sharpness": np.linspace(0, 0.9, 10),
    "posterize": np.array([8, 8, 7, 7, 6, 6, 5, 5, 4, 4]),
    "solarize": np.linspace(256, 0, 10),
    "autocontrast": np.zeros(10),
    "equalize": np.zeros(10),
    "invert": np.zeros(10),
}


def by_pillow(image, name, magnitude):
    """The operations as the public PyTorch implementation has them."""
    if name in ("shearX", "shearY", "translateX", "translateY"):
        coefficients, resample = {
            "shearX": ((1, magnitude, 0, 0, 1, 0), Image.BICUBIC),
            "shearY": ((1, 0, 0, magnitude, 1, 0), Image.BICUBIC),
            "translateX": ((1, 0, magnitude * image.size[0], 0, 1, 0), Image.NEAREST),
            "translateY": ((1, 0, 0, 0, 1, magnitude * image.size[1]), Image.NEAREST),
        }[name]
        return image.transform(image.size, Image.AFFINE, coefficients, resample, fillcolor=GREY)
    if name == "rotate":
        turned = image.convert("RGBA").rotate(magnitude)
        grey = Image.new("RGBA", image.size, (128,) * 4)
        return Image.composite(turned, grey, turned).convert("RGB")
    if name in ("color", "contrast", "brightness", "sharpness"):
        return getattr(ImageEnhance, name.capitalize())(image).enhance(1 + magnitude)
    if name in ("posterize", "solarize"):
        return getattr(ImageOps, name)(image, magnitude)
    return getattr(ImageOps, name)(image)


def random_image(rng, height=16, width=20):
    """Noise over a gradient that leaves the ends of the scale to autocontrast and equalize."""
    levels = np.linspace(40, 180, width)[None, :, None] * [1.0, 0.8, 0.6]
    return (levels + rng.integers(0, 40, (height, width, 3))).astype("uint8")


@pytest.fixture
def image(rng):
    return random_image(rng)


def pixels_of(image, name, magnitude=0):
    return np.asarray(apply_operation(Image.fromarray(image), name, magnitude))


def test_the_policy_is_25_pairs_of_known_operations():
    assert len(CIFAR10_POLICY) == 25
    for sub_policy in CIFAR10_POLICY:
        assert len(sub_policy) == 2
        for name, probability, index in sub_policy:
            assert name in OPERATIONS
            assert 10 * probability in range(11)
            assert index in range(10)
    names = Counter(name for pair in CIFAR10_POLICY for name, _, _ in pair)
    assert names == {
        **{"equalize": 9, "autocontrast": 7, "translateY": 5, "sharpness": 5, "color": 5},
        **{"brightness": 4, "solarize": 4, "invert": 3, "contrast": 2, "translateX": 2},
        **{"shearY": 2, "rotate": 1, "posterize": 1},
    }


@pytest.mark.skipif(not TABLE.exists(), reason="needs the published table beside the checkout")
def test_the_policy_is_the_published_one():
    published = json.loads(TABLE.read_text())["sub_policies"]
    assert [[list(operation) for operation in pair] for pair in CIFAR10_POLICY] == published


@pytest.mark.parametrize("name", OPERATIONS)
def test_scales(name):
    magnitudes = [magnitude_of(name, index) for index in range(10)]
    np.testing.assert_allclose(magnitudes, SCALES[name], rtol=1e-12)
    assert name != "posterize" or all(isinstance(bits, int) for bits in magnitudes)


def test_rotation_and_what_pillow_takes_as_a_level_or_bits_have_no_sign():
    unsigned = {"rotate", "posterize", "solarize", "autocontrast", "equalize", "invert"}
    assert set(OPERATIONS) - SIGNED == unsigned


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("index", [0, 4, 9])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_what_pillow_does(image, name, index, sign):
    magnitude = magnitude_of(name, index) * (sign if name in SIGNED else 1)
    expected = np.asarray(by_pillow(Image.fromarray(image), name, magnitude))
    np.testing.assert_array_equal(pixels_of(image, name, magnitude), expected)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"autocontrast", "equalize", "invert"}))
def test_at_index_0_nothing_changes(image, name):
    np.testing.assert_array_equal(pixels_of(image, name, magnitude_of(name, 0)), image)


def test_operations_on_levels_by_their_definitions(image):
    np.testing.assert_array_equal(pixels_of(image, "invert"), 255 - image)
    np.testing.assert_array_equal(pixels_of(image, "posterize", 5), image // 8 * 8)
    inverted = np.where(image < 100, image, 255 - image)
    np.testing.assert_array_equal(pixels_of(image, "solarize", 100), inverted)
    low, high = image.min((0, 1)).astype(int), image.max((0, 1)).astype(int)
    stretched = (image - low) * 255 / (high - low)
    assert np.abs(pixels_of(image, "autocontrast") - stretched).max() <= 1
    brighter = np.minimum(image * 1.5, 255)
    assert np.abs(pixels_of(image, "brightness", 0.5) - brighter).max() <= 1


def test_a_positive_translation_shows_what_lies_to_the_right_or_below(image):
    shifted = pixels_of(image, "translateX", 0.25)  # 5 of 20 columns
    np.testing.assert_array_equal(shifted[:, :15], image[:, 5:])
    assert (shifted[:, 15:] == 128).all()
    shifted = pixels_of(image, "translateY", -0.25)  # 4 of 16 rows
    np.testing.assert_array_equal(shifted[4:], image[:12])
    assert (shifted[:4] == 128).all()


def test_what_a_rotation_uncovers_is_grey():
    white = np.full((32, 32, 3), 255, "uint8")
    turned = pixels_of(white, "rotate", 30)
    assert set(np.unique(turned)) == {128, 255}
    assert (turned[[0, 0, -1, -1], [0, -1, 0, -1]] == 128).all()


def outcomes(image):
    """Every image that the policy can make of one, as bytes, with its chance."""
    chances = Counter()
    for pair in CIFAR10_POLICY:
        choices = []
        for name, probability, index in pair:
            signs = (1, -1) if name in SIGNED else (1,)
            applied = [(name, sign * SCALES[name][index].item()) for sign in signs]
            choices.append([(None, 1 - probability)])
            choices[-1] += [(step, probability / len(signs)) for step in applied]
        for (first, p), (second, q) in itertools.product(*choices):
            result = Image.fromarray(image)
            for step in filter(None, (first, second)):
                result = by_pillow(result, *step)
            chances[result.tobytes()] += p * q / len(CIFAR10_POLICY)
    return chances


def test_each_outcome_comes_as_often_as_the_policy_says(rng, image):
    count = 10_000
    chances = outcomes(image)
    augmented = AutoAugment()(np.repeat(image[None], count, axis=0), rng)
    seen = Counter(result.tobytes() for result in augmented)
    assert len(chances) > 100
    assert seen.keys() <= {result for result, chance in chances.items() if chance > 0}
    for result, chance in chances.items():
        assert abs(seen[result] - count * chance) <= 4.5 * (count * chance * (1 - chance)) ** 0.5


def test_a_batch_stays_as_it_is_and_a_seed_repeats_itself(rng):
    images = np.stack([random_image(rng) for _ in range(50)])
    before = images.copy()
    first, second = (AutoAugment()(images, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(images, before)
    assert first.dtype == "uint8"
    assert first.flags.writeable
    assert not np.shares_memory(first, images)
    assert (first != AutoAugment()(images, np.random.default_rng(4))).any()


def test_a_batch_may_be_empty(rng):
    assert AutoAugment()(np.zeros((0, 4, 4, 3), "uint8"), rng).shape == (0, 4, 4, 3)


def test_a_view_is_as_good_as_a_copy(rng):
    images = np.stack([random_image(rng) for _ in range(20)])
    flipped = images[:, :, ::-1]
    view, copy = (
        AutoAugment()(batch, np.random.default_rng(3)) for batch in (flipped, flipped.copy())
    )
    np.testing.assert_array_equal(view, copy)


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (np.zeros((2, 4, 4, 3), "float32"), r"float32 \(2, 4, 4, 3\)"),
        (np.zeros((4, 4, 3), "uint8"), r"uint8 \(4, 4, 3\)"),
        (np.zeros((2, 4, 4, 1), "uint8"), r"uint8 \(2, 4, 4, 1\)"),
    ],
)
def test_only_uint8_rgb_images_are_taken(rng, images, got):
    with pytest.raises(ValueError, match="AutoAugment takes uint8 images .* got " + got):
        AutoAugment()(images, rng)


def test_unknown_operations_and_indices_are_refused(image):
    with pytest.raises(ValueError, match="no operation 'blur'; choose from shearX, shearY"):
        apply_operation(Image.fromarray(image), "blur")
    with pytest.raises(ValueError, match="no operation 'blur'"):
        magnitude_of("blur", 3)
    with pytest.raises(ValueError, match="whole number from 0 to 9; got 10"):
        magnitude_of("rotate", 10)
