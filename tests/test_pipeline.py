import dataclasses

import numpy as np
import pytest

from smallvit.pipeline import Batches, Dataset, load_dataset, split_validation
from smallvit.recipes import get_recipe
from smallvit.shapes import shapes100

TINY = dataclasses.replace(get_recipe("swin-keras"), batch_size=16, shuffle=True)


@pytest.fixture(scope="module")
def dataset():
    return Dataset("shapes100", shapes100(100, 0, image_size=8), shapes100(40, 1, image_size=8))


def batch_of(batches, index):
    images, labels = batches[index]
    return images.copy(), labels.copy()


def test_batches_depend_on_seed_epoch_and_place_alone(dataset):
    straight = Batches(*dataset.train, TINY, seed=5)
    straight.on_epoch_end()
    resumed = Batches(*dataset.train, TINY, seed=5, first_epoch=1)
    for mine, theirs in zip(batch_of(straight, 2), batch_of(resumed, 2), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    other = Batches(*dataset.train, TINY, seed=6, first_epoch=1)
    assert (other[2][1] != straight[2][1]).any()


def test_a_shuffled_epoch_has_every_image_once(dataset):
    batches = Batches(*dataset.train, TINY, seed=0)
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    assert len(batches) == 7
    np.testing.assert_array_equal(labels.sum(axis=0), np.bincount(dataset.train[1], minlength=100))
    assert (labels.argmax(axis=1) != dataset.train[1]).any()


def test_without_shuffling_the_order_is_kept(dataset):
    recipe = dataclasses.replace(TINY, shuffle=False)
    _, labels = Batches(*dataset.train, recipe, seed=0)[1]
    np.testing.assert_array_equal(labels.argmax(axis=1), dataset.train[1][16:32])


def test_evaluation_leaves_the_images_alone(dataset):
    images, labels = Batches(*dataset.test, TINY)[0]
    assert images.dtype == labels.dtype == "float32"
    np.testing.assert_allclose(images, dataset.test[0][:16] / 255, rtol=1e-6)


def test_the_last_tenth_is_held_out():
    images, labels = np.zeros((50_000, 1)), np.arange(50_000)
    (_, train_labels), (_, validation_labels) = split_validation(images, labels, 0.1)
    assert len(train_labels) == 45_000
    np.testing.assert_array_equal(validation_labels, np.arange(45_000, 50_000))


def test_load_dataset_says_what_it_gives(tmp_path):
    assert load_dataset("shapes100").name == "shapes100"
    images, labels = shapes100(20, 0)
    np.savez(
        tmp_path / "cifar100.npz", x_train=images, y_train=labels, x_test=images, y_test=labels
    )
    assert load_dataset(str(tmp_path)).name == "cifar100"
