import numpy as np
import pytest

from smallvit.data import mixing
from smallvit.data.mixing import CutMixOrMixup, cutmix, draw_box, mixup


def batch(rng, count=6, height=8, width=10):
    images = rng.random((count, height, width, 3), dtype="float32")
    labels = np.eye(count, dtype="float32")
    return images, labels, rng.permutation(count)


def test_mixup_image_by_image(rng):
    images, labels, order = batch(rng)
    mixed, weights = mixup(images, labels, 0.3, order)
    assert mixed.dtype == weights.dtype == "float32"
    for i, partner in enumerate(order):
        np.testing.assert_allclose(mixed[i], 0.3 * images[i] + 0.7 * images[partner], atol=1e-6)
        np.testing.assert_allclose(weights[i], 0.3 * labels[i] + 0.7 * labels[partner], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_mixup_at_the_ends_is_one_of_the_two(rng, share):
    images, labels, order = batch(rng)
    mixed, weights = mixup(images, labels, share, order)
    chosen = order if share == 0 else slice(None)
    np.testing.assert_array_equal(mixed, images[chosen])
    np.testing.assert_array_equal(weights, labels[chosen])


def test_a_numpy_share_does_not_widen_the_arrays(rng):
    images, labels, order = batch(rng)
    for mixed, weights in (
        mixup(images, labels, np.float64(0.3), order),
        cutmix(images, labels, tuple(np.array([1, 2, 3, 4])), order),
    ):
        assert mixed.dtype == weights.dtype == "float32"


@pytest.mark.parametrize("box", [(2, 3, 4, 6), (0, 0, 8, 10), (5, 9, 3, 1), (3, 3, 0, 0)])
def test_cutmix_labels_weigh_what_the_pixels_count(rng, box):
    _, labels, order = batch(rng)
    # An image is full of its own number, so a pixel tells where it comes from.
    images = np.ones((6, 8, 10, 3), "float32") * np.arange(6, dtype="float32")[:, None, None, None]
    mixed, weights = cutmix(images, labels, box, order)
    assert mixed.dtype == weights.dtype == "float32"
    for i in range(6):
        sources, counts = np.unique(mixed[i, :, :, 0], return_counts=True)
        expected = np.zeros(6, "float32")
        expected[sources.astype(int)] = counts / 80
        np.testing.assert_allclose(weights[i], expected, atol=1e-7)


def test_cutmix_pixel_by_pixel(rng):
    images, labels, order = batch(rng)
    top, left, height, width = box = (1, 4, 5, 3)
    mixed, _ = cutmix(images, labels, box, order)
    for i, row, column in np.ndindex(6, 8, 10):
        inside = top <= row < top + height and left <= column < left + width
        source = order[i] if inside else i
        np.testing.assert_array_equal(mixed[i, row, column], images[source, row, column])


class Centre:
    """A generator that always draws the same centre."""

    def __init__(self, row, column):
        self.places = iter([row, column])

    def integers(self, high):
        place = next(self.places)
        assert 0 <= place < high
        return place


@pytest.mark.parametrize(
    ("centre", "expected"),
    [
        ((16, 20), (8, 10, 16, 20)),  # half of each side, about the centre
        ((0, 0), (0, 0, 8, 10)),  # top left: a quarter of it is inside
        ((31, 39), (23, 29, 9, 11)),
        ((4, 20), (0, 10, 12, 20)),
    ],
)
def test_a_box_is_cut_off_at_the_borders(centre, expected):
    assert draw_box(32, 40, 0.75, Centre(*centre)) == expected


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_boxes_lie_inside_with_their_centres_spread_uniformly(rng, share):
    boxes = np.array([draw_box(32, 32, share, rng) for _ in range(2000)])
    top, left, height, width = boxes.T
    assert (boxes >= 0).all()
    assert (top + height).max() <= 32
    assert (left + width).max() <= 32
    side = int(32 * np.sqrt(1 - share)) // 2 * 2
    assert max(height.max(), width.max()) == side
    # Among 32 centres in a row, those that leave the box whole.
    whole = min((32 - side + 1) / 32, 1)
    for extent in (height, width):
        assert abs((extent == side).mean() - whole) <= 4 * (whole * (1 - whole) / 2000) ** 0.5


def test_rows_of_labels_still_sum_to_1(rng):
    images, labels, _ = batch(rng)
    mix = CutMixOrMixup(probability=1.0)
    for _ in range(200):
        _, weights = mix(images, labels, rng)
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        assert (weights >= 0).all()


def test_how_often_and_how_much(rng):
    count = 10_000
    draws = [CutMixOrMixup().draw((2, 1, 1), rng) for _ in range(count)]
    cutmix = [share for share, box, _ in draws if box]
    mixup = [share for share, box, _ in draws if not box and share < 1]
    for drawn in (cutmix, mixup):
        assert abs(len(drawn) - count / 4) < 4 * (count * 0.25 * 0.75) ** 0.5
        # Kolmogorov–Smirnov distance from uniformity; 1.95 / sqrt(n) is passed 1 time in 1000.
        ranks = np.arange(1, len(drawn) + 1) / len(drawn)
        assert np.abs(np.sort(drawn) - ranks).max() < 1.95 / len(drawn) ** 0.5


def test_alpha_shapes_the_shares(rng):
    mix = CutMixOrMixup(probability=1.0, alpha=0.2)
    shares = [mix.draw((2, 1, 1), rng)[0] for _ in range(8000)]
    variance = 1 / (4 * (2 * 0.2 + 1))
    assert abs(np.var(shares) - variance) < 0.01


def test_probability_0_never_mixes(rng):
    images, labels, _ = batch(rng)
    for _ in range(50):
        mixed, weights = CutMixOrMixup(probability=0.0)(images, labels, rng)
        np.testing.assert_array_equal(mixed, images)
        np.testing.assert_array_equal(weights, labels)


@pytest.mark.parametrize("seed", range(20))
def test_put_off_it_mixes_the_same(rng, seed):
    """Images apart from labels: not at all, by Mixup and by CutMix, with boxes at the borders."""
    images, labels, _ = batch(rng)
    mix, one, other = CutMixOrMixup(0.8), *(np.random.default_rng(seed) for _ in range(2))
    expected, weights = mix(images, labels, one)
    drawn, same_weights = mix.defer(images.shape[:3], labels, other)
    assert [len(each) for each in drawn] == [6, 6, 6]
    np.testing.assert_array_equal(same_weights, weights)
    np.testing.assert_allclose(mixing.mix(images, *drawn), expected, atol=1e-6)


def test_partners_are_a_permutation_of_the_batch(rng):
    """Every image's label keeps, over the batch, the weight of one image."""
    images, labels, _ = batch(rng)
    for _ in range(50):
        _, weights = CutMixOrMixup(probability=1.0)(images, labels, rng)
        np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)


def test_a_seed_repeats_itself_and_nothing_changes_in_place(rng):
    images, labels, _ = batch(rng)
    kept = images.copy(), labels.copy()
    for seed in range(20):
        first, second = (
            CutMixOrMixup()(images, labels, np.random.default_rng(seed)) for _ in range(2)
        )
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == "float32"
    for before, after in zip(kept, (images, labels), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (np.arange(6), r"int64 \(6,\)"),
        (np.eye(6, dtype="int64"), r"int64 \(6, 6\)"),
        (np.zeros(6, "float32"), r"float32 \(6,\)"),
    ],
)
def test_class_numbers_are_refused(rng, labels, got):
    images, _, order = batch(rng)
    for mix in (
        lambda: mixup(images, labels, 0.5, order),
        lambda: cutmix(images, labels, (0, 0, 2, 2), order),
    ):
        with pytest.raises(ValueError, match="one-hot labels, .* got " + got):
            mix()
