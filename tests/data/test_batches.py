import dataclasses

import numpy as np
import pytest
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from smallvit.data.batches import Batches, Dataset, load_dataset, split_validation, start_workers
from smallvit.data.shapes import shapes100
from smallvit.data.transforms import Normalize, Resize
from smallvit.training.recipes import get_recipe

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


@pytest.mark.parametrize("workers", [0, 2])
def test_any_number_of_workers_feeds_the_same_batches(dataset, workers):
    """What `fit` sees, epoch after epoch, is what the batches are when asked for one by one."""
    recipe = dataclasses.replace(get_recipe("vit-paper"), batch_size=16)
    seen = []
    with start_workers(workers) as pool:
        adapter = PyDatasetAdapter(Batches(*dataset.train, recipe, seed=2, pool=pool))
        for _ in range(2):
            adapter.on_epoch_begin()
            iterator = adapter.get_numpy_iterator()
            seen.append([next(iterator) for _ in range(adapter.num_batches)])
            adapter.on_epoch_end()
    for epoch, batches in enumerate(seen):
        expected = Batches(*dataset.train, recipe, seed=2, first_epoch=epoch)
        for index, batch in enumerate(batches):
            for mine, theirs in zip(batch, expected[index], strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_several_passes_are_an_epoch_without_a_smaller_last_batch(dataset):
    recipe = dataclasses.replace(TINY, passes=3)
    batches = Batches(*dataset.train, recipe, seed=0)
    assert len(batches) == 300 // 16
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    counts = np.bincount(dataset.train[1], minlength=100)
    assert len(labels) == 18 * 16
    assert (labels.sum(axis=0) <= 3 * counts).all()
    assert (labels[:100].sum(axis=0) == counts).all()  # a pass has every image once


def test_without_shuffling_the_order_is_kept(dataset):
    recipe = dataclasses.replace(TINY, shuffle=False)
    _, labels = Batches(*dataset.train, recipe, seed=0)[1]
    np.testing.assert_array_equal(labels.argmax(axis=1), dataset.train[1][16:32])


def test_evaluation_does_what_is_not_random(dataset):
    recipe = dataclasses.replace(get_recipe("vit-keras"), batch_size=16)
    images, _ = Batches(*dataset.test, recipe)[0]
    expected = Resize(72)(Normalize()(dataset.test[0][:16], None), None)
    np.testing.assert_array_equal(images, expected)


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
