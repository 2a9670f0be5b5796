import keras
import numpy as np
import pytest
from keras import ops

from smallvit.data.autoaugment import AutoAugment
from smallvit.data.datasets import CIFAR100_MEAN, CIFAR100_STD
from smallvit.data.mixing import CutMixOrMixup
from smallvit.data.transforms import (
    UNIT_RANGE,
    Normalize,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomZoom,
    Resize,
    defer,
    finish,
    prepare,
    warp,
)

TRANSFORMS = [
    UNIT_RANGE,
    Normalize(CIFAR100_MEAN, CIFAR100_STD),
    Resize(18),
    RandomFlip(),
    RandomCrop(2),
    RandomRotation(0.02),
    RandomZoom(0.2),
    RandomErasing(probability=0.5, fill=CIFAR100_MEAN),
]


@pytest.fixture
def photos():
    return np.random.default_rng(1).integers(0, 256, (6, 12, 9, 3), dtype="uint8")


@pytest.fixture
def floats(photos):
    return photos.astype("float32") / 255


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda each: type(each).__name__)
def test_a_transform_repeats_itself_and_leaves_its_input_alone(transform, photos, floats):
    images = photos if isinstance(transform, Normalize) else floats
    before = images.copy()
    first, second = (transform(images, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(images, before)
    assert first.dtype == "float32"


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda each: type(each).__name__)
def test_images_of_another_form_are_refused(transform, photos, floats):
    """Bytes would wrap around in an interpolation, and floats be divided by 255 once more."""
    wrong = [photos[0]]
    if not isinstance(transform, RandomFlip | RandomCrop):
        wrong += [photos[..., :1], photos.astype("float64")]
        wrong += [floats] if isinstance(transform, Normalize) else [photos]
    for images in wrong:
        with pytest.raises(ValueError, match=rf"takes .* \(n, .*; got {images.dtype} \("):
            transform(images, np.random.default_rng(0))


def test_the_refusal_says_what_to_do(photos, floats):
    for transform, images, advice in [
        (AutoAugment(), floats, "put it before Normalize, which"),
        (Resize(72), photos, "put it after Normalize, which"),
        (Resize(72), floats[..., :1], "give it a batch of RGB images"),
        (RandomFlip(), photos[0], "give it a batch"),
    ]:
        with pytest.raises(ValueError, match=rf"\): {advice}[^\n]*\.$"):
            transform(images, np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(1, 5, 9, 3), (6, 12, 7, 3), (3, 16, 16, 3)])
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda each: type(each).__name__)
def test_a_tensor_is_changed_as_an_array_is(transform, shape):
    """By the same draws, in float32, though NumPy computes places in float64."""
    images = np.random.default_rng(1).integers(0, 256, shape, dtype="uint8")
    if transform.dtype == "float32":
        images = images.astype("float32") / 255
    for seed in range(3):
        key, labels = (seed,), np.eye(len(images), dtype="float32")
        expected = transform(images, np.random.default_rng(key))
        inputs, same_labels = defer(images, labels, (transform,), None, key)
        assert all(len(each) == len(images) and each.dtype.itemsize <= 4 for each in inputs)
        found = finish(tuple(map(ops.convert_to_tensor, inputs)), (transform,), None, ops)
        assert keras.backend.standardize_dtype(found.dtype) == expected.dtype
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-5)
        assert same_labels is labels


def test_a_batch_that_is_not_made_float32_is_refused(photos):
    with pytest.raises(ValueError, match="The images are uint8; add Normalize"):
        prepare(photos, np.eye(6), (RandomFlip(),), None, (0,))


def test_what_a_transform_refuses_is_not_left_to_a_device(photos):
    with pytest.raises(ValueError, match="Resize takes float32 images"):
        defer(photos, np.eye(6), (Resize(72),), None, (0,))


def test_normalize_is_the_formula(photos):
    normalized = Normalize(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))(photos, None)
    expected = (photos / 255 - [0.5, 0.4, 0.3]) / [0.1, 0.2, 0.3]
    np.testing.assert_allclose(normalized, expected, atol=1e-5)


def test_resize_is_that_of_keras(floats):
    expected = ops.convert_to_numpy(ops.image.resize(floats, (25, 25), interpolation="bilinear"))
    np.testing.assert_allclose(Resize(25)(floats, None), expected, atol=1e-5)


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


def test_a_tensor_is_resized_channels_last_whatever_keras_is_set_to(floats, channels_first):
    found = Resize(25).apply(ops.convert_to_tensor(floats), None, ops)
    np.testing.assert_allclose(ops.convert_to_numpy(found), Resize(25)(floats, None), atol=1e-5)


def test_resize_does_not_shrink(floats):
    with pytest.raises(ValueError, match="only enlarges; got images of 12 pixels for a size of 8"):
        Resize(8)(floats, None)


def test_each_image_is_itself_or_its_mirror_image(photos):
    flipped = RandomFlip()(np.tile(photos, (200, 1, 1, 1)), np.random.default_rng(0))
    mirrored = 0
    for index, image in enumerate(flipped):
        original = photos[index % len(photos)]
        is_mirrored = (image == original[:, ::-1]).all()
        assert is_mirrored or (image == original).all()
        mirrored += is_mirrored
    assert mirrored == pytest.approx(600, abs=60)  # 1,200 coins: 3.5 standard deviations


def test_a_crop_is_cut_from_the_padded_image_anywhere(photos):
    crops = RandomCrop(1)(np.tile(photos[:1], (900, 1, 1, 1)), np.random.default_rng(0))
    padded = np.zeros((14, 11, 3), "uint8")
    padded[1:-1, 1:-1] = photos[0]
    counts = {(y, x): 0 for y in range(3) for x in range(3)}
    for crop in crops:
        (place,) = [p for p in counts if (crop == padded[p[0] : p[0] + 12, p[1] : p[1] + 9]).all()]
        counts[place] += 1
    assert min(counts.values()) > 65  # 100 each, standard deviation 9.4


def test_erasing_takes_the_share_it_names():
    images = np.zeros((4000, 16, 16, 3), "float32")
    fill = (1.0, 2.0, 3.0)
    erased = RandomErasing(fill=fill)(images, np.random.default_rng(0))
    painted = (erased == np.float32(fill)).all(axis=-1)
    np.testing.assert_array_equal(erased[~painted], 0)
    touched = painted.any(axis=(1, 2))
    assert touched.mean() == pytest.approx(0.25, abs=0.024)  # 3.5 standard deviations
    for mask in painted[touched]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert mask.sum() == height * width
        # sides are rounded to whole pixels
        assert (height + 0.5) * (width + 0.5) / 256 >= 0.02
        assert (height - 0.5) * (width - 0.5) / 256 <= 0.4
        assert (height + 0.5) / (width - 0.5) >= 0.3
        assert (height - 0.5) / (width + 0.5) <= 1 / 0.3


def test_erasing_draws_areas_uniformly():
    rng, erasing = np.random.default_rng(0), RandomErasing(min_aspect=0.9)
    areas = [np.prod(erasing.draw_box(64, 64, rng)[2:]) / 64**2 for _ in range(2000)]
    assert np.mean(areas) == pytest.approx(0.21, abs=0.009)
    assert np.quantile(areas, [0.1, 0.9]) == pytest.approx([0.058, 0.362], abs=0.02)


@pytest.mark.parametrize(
    ("transform", "name", "values", "rule"),
    [
        (Resize, "size", (40.5, 0, -8), "a positive integer size"),
        (RandomCrop, "padding", (-1, 0.5), "an integer padding, 0 or more"),
        (RandomRotation, "factor", (-0.1, 1.1, float("nan")), "0 <= factor <= 1"),
        (RandomZoom, "factor", (-0.1, 1.1, float("nan")), "0 <= factor <= 1"),
        (RandomErasing, "probability", (-0.1, 1.1, float("nan")), "0 <= probability <= 1"),
        (RandomErasing, "min_area", (0, -0.1, 0.5), "0 < min_area <= max_area < 1"),
        (RandomErasing, "max_area", (0.01, 1.0, float("nan")), "0 < min_area <= max_area < 1"),
        (RandomErasing, "min_aspect", (0, 1.1), "0 < min_aspect <= 1"),
        (CutMixOrMixup, "probability", (-0.1, 1.1, float("nan")), "0 <= probability <= 1"),
        (CutMixOrMixup, "alpha", (0, -1.0, float("nan")), "alpha > 0"),
    ],
)
def test_what_cannot_be_done_is_refused_when_it_is_asked_for(transform, name, values, rule):
    for value in values:
        expected = rf"{transform.__name__} needs {rule}; got .*\b{name}={value}\b.*\)\.$"
        with pytest.raises(ValueError, match=expected):
            transform(**{name: value})


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 200)])
def test_an_image_into_which_no_rectangle_fits_is_refused(height, width):
    erasing = RandomErasing(min_area=0.3)
    with pytest.raises(ValueError, match=f"fits into an image of {height} x {width} pixels"):
        erasing.draw_box(height, width, np.random.default_rng(0))


def test_an_identity_warp_changes_nothing(floats):
    np.testing.assert_allclose(warp(floats, np.tile(np.eye(2), (6, 1, 1))), floats, atol=1e-6)


def test_warp_is_bilinear_interpolation_among_mirrored_pixels(floats):
    rng = np.random.default_rng(2)
    matrices = np.eye(2) + rng.uniform(-0.4, 0.4, (6, 2, 2))
    expected = [warp_by_loops(*pair) for pair in zip(floats, matrices, strict=True)]
    np.testing.assert_allclose(warp(floats, matrices), expected, atol=1e-5)


def test_rotation_is_that_of_keras(floats):
    turns = 2 * np.pi * np.random.default_rng(5).uniform(-0.02, 0.02, len(floats))
    cos, sin = np.cos(turns), np.sin(turns)
    matrices = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=1)
    expected = affine_transform(floats, matrices)
    mine = RandomRotation(0.02)(floats, np.random.default_rng(5))
    np.testing.assert_allclose(mine, expected, atol=1e-4)


def test_zoom_is_that_of_keras(floats):
    tall, wide = np.random.default_rng(5).uniform(0.8, 1.2, (len(floats), 2)).T
    zeros = np.zeros_like(tall)
    matrices = np.stack([np.stack([wide, zeros], -1), np.stack([zeros, tall], -1)], axis=1)
    mine = RandomZoom(0.2)(floats, np.random.default_rng(5))
    np.testing.assert_allclose(mine, affine_transform(floats, matrices), atol=1e-4)


def affine_transform(images, matrices):
    """Keras's own, with matrices that take `(x, y)` from the centre of the new image to the old."""
    height, width = images.shape[1:3]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offsets = centre - matrices @ centre
    transform = np.concatenate(
        [np.concatenate([matrices[:, axis], offsets[:, axis, None]], axis=1) for axis in (0, 1)]
        + [np.zeros((len(images), 2))],
        axis=1,
    ).astype("float32")
    return ops.convert_to_numpy(
        ops.image.affine_transform(images, transform, interpolation="bilinear", fill_mode="reflect")
    )


def warp_by_loops(image, matrix):
    height, width, _ = image.shape
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    mirrored = np.pad(image, ((40, 40), (40, 40), (0, 0)), mode="symmetric")
    warped = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            y, x = matrix @ ([row, column] - centre) + centre
            top, left = int(np.floor(y)), int(np.floor(x))
            for down in (0, 1):
                for right in (0, 1):
                    weight = (1 - abs(y - top - down)) * (1 - abs(x - left - right))
                    warped[row, column] += weight * mirrored[top + down + 40, left + right + 40]
    return warped
