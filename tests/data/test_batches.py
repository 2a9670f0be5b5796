import dataclasses
import itertools
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from smallvit.data.batches import OnDevice, split_validation, tensorflow_datasets
from smallvit.data.datasets import paint_dataset
from smallvit.data.mixing import CutMixOrMixup
from smallvit.data.transforms import Normalize, Resize
from smallvit.data.workers import start_workers
from smallvit.training.recipes import get_recipe

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its own feed")

START_INTERRUPTED = """
    from smallvit.data import batches

    class Interrupted(batches.ThreadPoolExecutor):
        def submit(self, *args):
            super().submit(*args)
            raise KeyboardInterrupt

    batches.ThreadPoolExecutor = Interrupted
"""

INTERRUPTED = """
    import time

    import keras
    import numpy as np

    from smallvit.data.batches import tensorflow_datasets


    class Slow(keras.utils.PyDataset):
        def __len__(self):
            return 50

        def __getitem__(self, index):
            time.sleep(0.3)
            return np.zeros((2, 3), "float32"), np.zeros((2, 1), "float32")


    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            print("fed")
            raise KeyboardInterrupt


    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(loss="mse")
    with tensorflow_datasets(Slow()) as (fed,):
        model.fit(fed, callbacks=[Interrupt()], verbose=0)
"""

TINY = dataclasses.replace(get_recipe("swin-keras"), batch_size=16, shuffle=True)


@pytest.fixture(scope="module")
def dataset():
    return paint_dataset(100, 40, image_size=8)


def batch_of(batches, index):
    images, labels = batches[index]
    return images.copy(), labels.copy()


def test_batches_depend_on_seed_epoch_and_place_alone(dataset):
    straight = TINY.batches(*dataset.train, seed=5)
    straight.on_epoch_end()
    resumed = TINY.batches(*dataset.train, seed=5, first_epoch=1)
    for mine, theirs in zip(batch_of(straight, 2), batch_of(resumed, 2), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    other = TINY.batches(*dataset.train, seed=6, first_epoch=1)
    assert (other[2][1] != straight[2][1]).any()


def test_a_shuffled_epoch_has_every_image_once(dataset):
    batches = TINY.batches(*dataset.train, seed=0)
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    assert len(batches) == 7
    np.testing.assert_array_equal(labels.sum(axis=0), np.bincount(dataset.train[1], minlength=100))
    assert (labels.argmax(axis=1) != dataset.train[1]).any()


@pytest.mark.parametrize("workers", [0, 2])
def test_any_number_of_workers_feeds_the_same_batches(dataset, workers):
    """What `fit` sees, epoch after epoch, is what the batches are when asked for one by one."""
    recipe = dataclasses.replace(get_recipe("vit-paper"), batch_size=16).for_dataset(dataset)
    seen = []
    with start_workers(workers) as pool:
        adapter = PyDatasetAdapter(recipe.batches(*dataset.train, seed=2, pool=pool))
        for _ in range(2):
            adapter.on_epoch_begin()
            iterator = adapter.get_numpy_iterator()
            seen.append([next(iterator) for _ in range(adapter.num_batches)])
            adapter.on_epoch_end()
    for epoch, batches in enumerate(seen):
        expected = recipe.batches(*dataset.train, seed=2, first_epoch=epoch)
        for index, batch in enumerate(batches):
            for mine, theirs in zip(batch, expected[index], strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_what_was_made_ahead_is_not_taken_for_another_epochs(dataset):
    with ThreadPoolExecutor(1) as pool:
        batches = TINY.batches(*dataset.train, seed=5, pool=pool)
        batches[0]
        batches.epoch = 1
        expected = TINY.batches(*dataset.train, seed=5, first_epoch=1)[1]
        for mine, theirs in zip(batches[1], expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@on_tensorflow
@pytest.mark.parametrize("on_device", [False, True])
def test_a_tensorflow_dataset_is_an_epoch_of_the_batches_and_not_tuned(dataset, on_device):
    """Tuned, it could wait up to a minute at the end of each epoch; each pass is of one epoch."""
    recipe = dataclasses.replace(get_recipe("vit-keras"), batch_size=16).for_dataset(dataset)
    batches = recipe.batches(*dataset.train, seed=2, on_device=on_device)
    with tensorflow_datasets(batches) as (fed,):
        assert not fed.options().autotune.enabled
        assert len(fed) == len(batches) == 7
        for epoch in (0, 1):
            batches.epoch = epoch
            for mine, batch in zip(fed.as_numpy_iterator(), batches, strict=True):
                keras.tree.map_structure(np.testing.assert_array_equal, mine, batch)


@on_tensorflow
def test_what_a_later_batch_raises_comes_through_tensorflow():
    class Failing(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index == 2:
                raise ValueError("One sentence.")
            return np.zeros((4, 2), "float32")

    with (
        pytest.raises(ValueError, match=r"^One sentence\.$"),
        tensorflow_datasets(Failing()) as (fed,),
    ):
        list(fed)


@on_tensorflow
def test_a_pass_left_early_leaves_nothing_to_the_next(dataset):
    batches = TINY.batches(*dataset.train, seed=2)
    with tensorflow_datasets(batches) as (fed,):
        for _ in range(4):
            for mine, batch in zip(itertools.islice(fed, 3), batches, strict=False):
                keras.tree.map_structure(np.testing.assert_array_equal, mine, batch)


@on_tensorflow
def test_no_thread_of_tensorflows_runs_python(dataset):
    """At the end of a process Python halts such a thread, and TensorFlow waits for it for ever."""
    from tensorflow.python.eager.context import context

    asking, places = [], []

    class Watched(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            asking.append(threading.current_thread())
            places.append(context().device_name)
            return np.zeros((4, 2), "float32")

    with tensorflow_datasets(Watched()) as (fed,):
        list(fed)
    main, maker = dict.fromkeys(asking)
    assert main is threading.main_thread()
    assert not maker.is_alive()
    assert places[-1].endswith("CPU:0")  # like the queues, also if there is a GPU


@on_tensorflow
@pytest.mark.parametrize(
    ("before", "printed"), [("", "fed\n"), (START_INTERRUPTED, "")], ids=["fed", "starting"]
)
def test_training_that_is_interrupted_ends(before, printed):
    """While TensorFlow waits for a batch, or the thread that makes batches has just begun."""
    program = [sys.executable, "-c", textwrap.dedent(before) + textwrap.dedent(INTERRUPTED)]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert ended.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert ended.stdout == printed


@pytest.mark.parametrize("name", ["swin-fixed", "vit-keras", "vit-paper"])
def test_compiled_for_a_device_the_batches_are_the_same(dataset, name):
    """Mixed or not, by Mixup or CutMix, made by workers or not; and in evaluation ready."""
    recipe = dataclasses.replace(get_recipe(name), batch_size=16, passes=1).for_dataset(dataset)
    if recipe.mixing:
        recipe = dataclasses.replace(recipe, mixing=CutMixOrMixup(probability=0.8))
    model = OnDevice(keras.layers.Identity(), recipe.transforms, recipe.mixing)
    model.compile(jit_compile=keras.backend.backend() != "torch")
    with start_workers(1) as pool:
        for seed in (5, None):
            expected = recipe.batches(*dataset.train, seed=seed)
            left = recipe.batches(*dataset.train, seed=seed, pool=pool, on_device=True)
            for index in range(len(expected)):
                (images, labels), (inputs, same_labels) = expected[index], left[index]
                np.testing.assert_array_equal(same_labels, labels)
                np.testing.assert_allclose(model.predict_on_batch(inputs), images, atol=1e-4)
    assert isinstance(inputs, np.ndarray)


def test_several_passes_are_an_epoch_without_a_smaller_last_batch(dataset):
    recipe = dataclasses.replace(TINY, passes=3)
    batches = recipe.batches(*dataset.train, seed=0)
    assert len(batches) == 300 // 16
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    counts = np.bincount(dataset.train[1], minlength=100)
    assert len(labels) == 18 * 16
    assert (labels.sum(axis=0) <= 3 * counts).all()
    assert (labels[:100].sum(axis=0) == counts).all()  # a pass has every image once


def test_without_shuffling_the_order_is_kept(dataset):
    recipe = dataclasses.replace(TINY, shuffle=False)
    _, labels = recipe.batches(*dataset.train, seed=0)[1]
    np.testing.assert_array_equal(labels.argmax(axis=1), dataset.train[1][16:32])


def test_evaluation_does_what_is_not_random(dataset):
    recipe = dataclasses.replace(get_recipe("vit-keras"), batch_size=16).for_dataset(dataset)
    images, _ = recipe.batches(*dataset.test)[0]
    expected = Resize(72)(Normalize(dataset.mean, dataset.std)(dataset.test[0][:16], None), None)
    np.testing.assert_array_equal(images, expected)


def test_evaluation_leaves_the_images_alone(dataset):
    images, labels = TINY.batches(*dataset.test)[0]
    assert images.dtype == labels.dtype == "float32"
    np.testing.assert_allclose(images, dataset.test[0][:16] / 255, rtol=1e-6)


def test_the_last_tenth_is_held_out():
    images, labels = np.zeros((50_000, 1)), np.arange(50_000)
    (_, train_labels), (_, validation_labels) = split_validation(images, labels, 0.1)
    assert len(train_labels) == 45_000
    np.testing.assert_array_equal(validation_labels, np.arange(45_000, 50_000))


def test_several_passes_without_shuffling_begin_again_from_the_first_image(dataset):
    recipe = dataclasses.replace(TINY, shuffle=False, passes=3)
    batches = recipe.batches(*dataset.train, seed=0)
    labels = np.concatenate([batches[i][1].argmax(axis=1) for i in range(len(batches))])
    np.testing.assert_array_equal(labels, np.tile(dataset.train[1], 3)[: 18 * 16])
