import dataclasses
import os

import numpy as np
import pytest

from smallvit.data.cifar import load_cifar100
from smallvit.data.datasets import (
    CIFAR100_MEAN,
    CIFAR100_STD,
    Dataset,
    content_fingerprint,
    fingerprint,
    load_dataset,
    paint_dataset,
)
from smallvit.data.errors import DataError
from smallvit.data.shapes import shapes100
from smallvit.data.transforms import Normalize, RandomErasing
from smallvit.training.recipes import get_recipe

needs_cifar100 = pytest.mark.skipif(
    "SMALLVIT_DATA" not in os.environ, reason="SMALLVIT_DATA does not name a copy of CIFAR-100"
)


def test_statistics_are_those_of_the_training_images(rng):
    images = rng.integers(0, 256, (50, 6, 4, 3), dtype=np.uint8)
    images[..., 1] //= 2
    dataset = Dataset(
        "noise", ("all",), (images, np.zeros(50, int)), (images[:1], np.zeros(1, int))
    )
    np.testing.assert_allclose(dataset.mean, images.mean((0, 1, 2)) / 255, atol=5.1e-5)
    np.testing.assert_allclose(dataset.std, images.std((0, 1, 2)) / 255, atol=5.1e-5)


def test_images_of_one_colour_can_be_normalized():
    images = np.full((2, 4, 4, 3), 7, np.uint8)
    dataset = Dataset("plain", ("all",), (images, np.zeros(2, int)), (images, np.zeros(2, int)))
    normal = Normalize(dataset.mean, dataset.std)(images, None)
    assert np.isfinite(normal).all() and np.abs(normal).max() < 0.1


@needs_cifar100
def test_cifar100_is_recognized_and_has_the_published_statistics():
    dataset = load_dataset()
    assert (dataset.name, dataset.published, dataset.synthetic) == ("cifar100", True, False)
    assert (dataset.mean, dataset.std) == (CIFAR100_MEAN, CIFAR100_STD)


def save_npz(folder, train, test):
    arrays = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    np.savez(folder / "cifar100.npz", **arrays)


@pytest.mark.parametrize("reader", ["smallvit.data.cifar._find", "smallvit.data.folders._folders"])
def test_a_dataset_that_does_not_fit_into_memory_gets_one_sentence(tmp_path, monkeypatch, reader):
    def exhaust(*_):
        raise MemoryError

    monkeypatch.setattr(reader, exhaust)
    with pytest.raises(
        DataError, match=r"^[^\n]*does not fit into memory; choose fewer or [^\n]*$"
    ):
        load_dataset("cifar10" if "cifar" in reader else tmp_path, tmp_path)


def test_a_download_that_does_not_fit_into_memory_is_named(monkeypatch):
    def exhaust(*_):
        raise MemoryError

    monkeypatch.delenv("SMALLVIT_DATA", raising=False)
    monkeypatch.setattr("smallvit.data.cifar._download", exhaust)
    with pytest.raises(DataError, match=r"^cifar-10-python.tar.gz does not fit into memory"):
        load_dataset("cifar10")


@pytest.mark.parametrize("name", ["cifar100", "cifar10"])
def test_painted_images_do_not_pass_for_the_published_ones(tmp_path, name):
    images, labels = shapes100(20, 0)
    save_npz(tmp_path, (images, labels % 10), (images, labels % 10))
    (tmp_path / "cifar100.npz").rename(tmp_path / f"{name}.npz")
    dataset = load_dataset(name, tmp_path)
    assert (dataset.name, dataset.published) == (f"unverified-{name}", False)


@needs_cifar100
def test_another_order_is_still_cifar100_and_one_changed_label_is_not(tmp_path, rng):
    (images, labels), test = load_cifar100()
    order = rng.permutation(len(images))
    save_npz(tmp_path, (images[order], labels[order]), test)
    assert load_dataset("cifar100", tmp_path).published
    labels[7] = (labels[7] + 1) % 100
    save_npz(tmp_path, (images, labels), test)
    assert not load_dataset("cifar100", tmp_path).published


def test_shapes100_is_named_as_synthetic():
    dataset = paint_dataset(20, 10, image_size=8)
    assert (dataset.name, dataset.synthetic, dataset.published) == ("shapes100", True, False)
    assert dataset.classes[22] == "yellow triangle"


def test_a_recipe_takes_on_the_classes_and_statistics_of_its_dataset():
    dataset = dataclasses.replace(paint_dataset(20, 10, image_size=8), classes=("a", "b", "c"))
    recipe = get_recipe("vit-paper").for_dataset(dataset)
    assert recipe.model.num_classes == 3
    assert Normalize(dataset.mean, dataset.std) in recipe.transforms
    assert RandomErasing(fill=dataset.mean) in recipe.transforms
    assert recipe.for_dataset(dataset) == recipe


def test_a_recipe_keeps_the_statistics_that_it_states():
    recipe = get_recipe("swin-keras")  # pixels in [0, 1]
    assert recipe.for_dataset(paint_dataset(20, 10, image_size=8)) == recipe


@pytest.mark.parametrize("transform", [Normalize(), RandomErasing()])
def test_statistics_left_open_are_asked_for_in_one_sentence(transform):
    images = np.zeros((1, 8, 8, 3), transform.dtype)
    with pytest.raises(ValueError, match="lacks the dataset's statistics: give them"):
        transform(images, np.random.default_rng(0))


def test_content_does_not_depend_on_order(rng):
    images, labels = shapes100(30, 0, image_size=8)
    order = rng.permutation(30)
    mark = content_fingerprint(images, labels)
    assert content_fingerprint(images, labels, images, labels) != mark
    assert content_fingerprint(images[order], labels[order]) == mark
    assert content_fingerprint(images[order], labels) != mark
    assert content_fingerprint(images[1:], labels[1:]) != mark


# Fingerprints


def test_fingerprint_is_the_sha256_that_it_says():
    # printf '|u1(3,)\1\2\3' | sha256sum
    expected = "ece2fac43f58c01b21910d7b9b2e92edbe5e9adf2d14f43cc8992c7c8000a7fa"
    assert fingerprint(np.array([1, 2, 3], np.uint8)) == expected


def test_fingerprint_tells_content_and_not_memory_order():
    array = np.arange(6).reshape(2, 3)
    assert fingerprint(array) == fingerprint(np.asfortranarray(array)) == fingerprint(array.copy())
    assert fingerprint(array) == fingerprint(np.repeat(array, 2, axis=1)[:, ::2])


def test_fingerprint_tells_arrays_apart():
    array = np.arange(6)
    changed = array.copy()
    changed[-1] += 1
    marks = [
        fingerprint(),
        fingerprint(array),
        fingerprint(changed),
        fingerprint(array.reshape(2, 3)),
        fingerprint(array.astype(np.uint64)),
        fingerprint(array, changed),
        fingerprint(changed, array),
        fingerprint(np.concatenate([array, changed])),
        fingerprint(np.array(0)),
        fingerprint(np.empty((0, 3))),
    ]
    assert len(set(marks)) == len(marks)


def test_fingerprint_refuses_objects():
    with pytest.raises(TypeError):
        fingerprint(np.array([{}], object))
