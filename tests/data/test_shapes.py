"""Tests of `smallvit.data.shapes`: what is drawn, what varies, and what may not."""

import numpy as np
import pytest

from smallvit.data import shapes
from smallvit.data.shapes import COLOURS, SHAPES, SHAPES100_CLASSES, shapes100


def label_of(name):
    return SHAPES100_CLASSES.index(name)


@pytest.fixture(scope="module")
def painted():
    return shapes100(3000, seed=3)


@pytest.fixture(scope="module")
def upright():
    """The ten shapes alone, 64 pixels wide, True where covered: row 0 is the top."""
    centres = (np.arange(64) + 0.5) / 32 - 1
    grid = 1.3 * centres[np.newaxis, :], -1.3 * centres[:, np.newaxis]
    return {name: shapes._DISTANCES[name](*grid) < 0 for name in SHAPES}


def test_class_names_are_colour_and_shape_in_label_order():
    assert len(SHAPES) == len(COLOURS) == 10
    assert len(set(SHAPES100_CLASSES)) == 100
    shape, colour = SHAPES.index("ring"), COLOURS.index("red")
    assert SHAPES100_CLASSES[10 * shape + colour] == "red ring"


def test_types_and_shapes():
    images, labels = shapes100(150, image_size=24)
    assert images.shape == (150, 24, 24, 3) and images.dtype == np.uint8
    assert labels.shape == (150,) and labels.dtype == np.int64


@pytest.mark.parametrize("num_images", [1, 7, 100, 101, 999, 1300])
def test_classes_are_balanced_to_within_one(num_images):
    counts = np.bincount(shapes100(num_images, image_size=8)[1], minlength=100)
    assert len(counts) == 100 and counts.sum() == num_images
    assert counts.max() - counts.min() <= 1


def test_order_is_shuffled_and_a_few_images_are_of_random_classes():
    labels = shapes100(1000, image_size=8)[1]
    assert len(set(labels[:100] // 10)) == 10 and len(set(labels[:100] % 10)) == 10
    assert 0.4 < np.mean(np.diff(labels) > 0) < 0.6
    assert (labels[:100] != labels[100:200]).mean() > 0.9
    few = [set(shapes100(5, seed, image_size=8)[1]) for seed in range(5)]
    assert len(set.union(*few)) > 15


def test_same_arguments_give_the_same_set_and_other_seeds_another(painted):
    images, labels = shapes100(3000, seed=3)
    np.testing.assert_array_equal(images, painted[0])
    np.testing.assert_array_equal(labels, painted[1])
    other_images, other_labels = shapes100(3000, seed=4)
    assert (other_labels != labels).mean() > 0.9
    assert (other_images != images).mean() > 0.9


def test_seed_is_the_only_randomness():
    np.random.seed(0)
    first = shapes100(20)[0]
    np.random.seed(1)
    np.testing.assert_array_equal(first, shapes100(20)[0])


def test_no_image_comes_twice(painted):
    assert len(np.unique(painted[0].reshape(3000, -1), axis=0)) == 3000


def test_chunks_leave_no_image_unpainted():
    # Noise reaches every pixel, so a flat image has not been painted.
    for num_images in (shapes._CHUNK - 1, shapes._CHUNK, shapes._CHUNK + 1):
        assert shapes100(num_images, image_size=8)[0].std(axis=(1, 2)).min() > 0


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"num_images": 0}, "num_images"),
        ({"num_images": -5}, "num_images"),
        ({"num_images": 10.0}, "num_images"),
        ({"num_images": True}, "num_images"),
        ({"num_images": None}, "num_images"),
        ({"num_images": 1, "seed": None}, "seed"),
        ({"num_images": 1, "seed": -1}, "seed"),
        ({"num_images": 1, "image_size": 7}, "image_size"),
    ],
)
def test_bad_arguments_are_named_in_one_sentence(arguments, name):
    with pytest.raises(ValueError, match=rf"^{name} must be an integer of at least \d; got .*\.$"):
        shapes100(**arguments)


def test_numpy_integers_will_do():
    assert len(shapes100(np.int64(3), seed=np.uint8(1))[0]) == 3


def test_shapes_differ_and_fit_their_frame(upright):
    for name, mask in upright.items():
        assert 0.1 < mask.mean() < 0.5, name
        assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()), name
        for other, other_mask in upright.items():
            overlap = (mask & other_mask).sum() / (mask | other_mask).sum()
            assert name == other or overlap < 0.85, (name, other)


def test_shapes_look_like_their_names(upright):
    widths = {name: mask.sum(axis=1)[mask.any(axis=1)] for name, mask in upright.items()}
    middle = {name: mask[32, 32] for name, mask in upright.items()}
    assert np.ptp(widths["square"]) == 0
    assert (np.diff(widths["triangle"]) >= 0).all()
    assert middle["circle"] and not middle["ring"] and not middle["moon"]
    for points_up in ("triangle", "star", "arrow"):
        top_row = upright[points_up][upright[points_up].any(axis=1)][0]
        assert np.abs(np.flatnonzero(top_row) - 31.5).max() < 4, points_up
    assert widths["heart"][-1] < widths["heart"][5] / 4
    assert widths["hourglass"].argmin() in (len(widths["hourglass"]) // 2 + np.array([-1, 0]))
    assert set(widths["cross"]) == {widths["cross"][0], widths["cross"].max()}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_distances(name):
    # Soft edges one pixel wide need distances that grow by one, or less, for each unit.
    centres = np.linspace(-1.3, 1.3, 201)
    distance = shapes._DISTANCES[name](centres[np.newaxis, :], centres[:, np.newaxis])
    slope = np.abs(np.diff(distance, axis=0)) / np.diff(centres)[0]
    assert slope.max() < 1 + 1e-9
    assert distance.min() < -0.15


def test_colours_are_those_of_the_palette():
    images, labels = shapes100(1000, image_size=32)
    for index, colour in enumerate(COLOURS):
        chosen = images[labels == 10 * SHAPES.index("square") + index].astype(int)
        far = np.abs(chosen - shapes._PALETTE[colour]).max(axis=-1)
        # The smallest square covers (1.6 * 0.25) ** 2 = 16 % of its image.
        assert ((far < 40).mean(axis=(1, 2)) > 0.12).all(), colour


def test_place_size_turn_and_background_vary(painted):
    images, labels = painted
    bright = images[labels == label_of("white square")].min(axis=-1) > 190
    areas = bright.mean(axis=(1, 2))
    centres = [np.argwhere(mask).mean(axis=0) for mask in bright]
    assert areas.max() > 1.5 * areas.min()
    assert np.std(centres, axis=0).min() > 1
    corners = images[labels == label_of("white square")][:, [0, -1], [0, -1]].astype(float)
    assert corners.std(axis=0).min() > 10  # from image to image
    assert np.diff(corners, axis=1).std() > 10  # within an image


def test_noise_is_as_strong_as_it_says(painted):
    steps = np.diff(painted[0][:, 0, :8].astype(float), axis=1)
    assert steps.std() / np.sqrt(2) == pytest.approx(shapes._NOISE, rel=0.15)


def test_background_never_takes_the_colour_of_its_shape():
    for colour, rgb in enumerate(shapes._RGB):
        ground = shapes._NIGHT if shapes._IS_BRIGHT[colour] else shapes._PAPER
        backdrop = shapes._backdrop(np.full(200, colour), 8, np.random.default_rng(0))
        assert np.abs(backdrop - (0.4 * rgb + 0.6 * ground)).sum(axis=-1).min() > 1e-6


def test_upright_shapes_stand_on_their_feet(painted):
    # Turned shapes have no side that they favour, so the mean triangle is wider at its foot.
    images, labels = painted
    triangles = images[np.isin(labels, [label_of("white triangle"), label_of("yellow triangle")])]
    wider = []
    for mask in triangles[..., 1] > 160:
        widths = mask.sum(axis=1)[mask.any(axis=1)]
        wider.append(widths[-len(widths) // 3 :].mean() > widths[: len(widths) // 3].mean())
    assert np.mean(wider) > 0.6


def test_half_of_the_shapes_stand_upright(painted):
    # The bounding box of an upright square is full; a turned one leaves its corners empty.
    images, labels = painted
    squares = images[np.isin(labels, [label_of("white square"), label_of("yellow square")])]
    full = []
    for mask in squares[..., 1] > 160:
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        full.append(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.9)
    assert 0.3 < np.mean(full) < 0.8


def test_shapes_keep_their_contrast(painted):
    # A shape that vanishes in its background could not be learned, nor shown to readers.
    images, labels = painted
    for label in range(0, 100, 9):
        chosen = images[labels == label].astype(float)
        spread = np.percentile(chosen, 97, axis=(1, 2)) - np.percentile(chosen, 3, axis=(1, 2))
        assert spread.max(axis=-1).min() > 60, SHAPES100_CLASSES[label]


def nearest_centroid_accuracy(features, labels, test_features, test_labels):
    classes = np.unique(labels)
    centroids = np.stack([features[labels == label].mean(axis=0) for label in classes])
    distances = ((test_features[:, np.newaxis] - centroids) ** 2).sum(axis=-1)
    return np.mean(classes[distances.argmin(axis=1)] == test_labels)


def test_every_class_has_its_own_mean_image(painted):
    images, labels = painted
    means = np.stack([images[labels == label].mean(axis=0) for label in range(100)])
    apart = np.sqrt(((means[:, np.newaxis] - means) ** 2).mean(axis=(2, 3, 4)))
    assert apart[~np.eye(100, dtype=bool)].min() > 2 * shapes._NOISE / np.sqrt(30)


def test_colour_alone_does_not_tell_the_class(painted):
    def mean_colours(images):
        return images.mean(axis=(1, 2))

    images, labels = painted
    test_images, test_labels = shapes100(1000, seed=9)
    features, test_features = mean_colours(images), mean_colours(test_images)
    accuracy = nearest_centroid_accuracy(features, labels, test_features, test_labels)
    assert 0.01 < accuracy < 0.1
