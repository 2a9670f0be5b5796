"""From a dataset to a model's batches."""

import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import Any

import keras
import numpy as np

from smallvit.data.mixing import CutMixOrMixup
from smallvit.data.transforms import Transform, defer, finish, prepare

AHEAD = 16
"""Batches that workers prepare before the model asks for them. Keras's own workers are not used:
on JAX they lose a batch when the model is built in `fit`."""

WORKER_KILLED = "A worker process has ended, perhaps out of memory; going on without workers."


class Batches(keras.utils.PyDataset):
    """Batches of a training or evaluation set, reproducible one by one.

    A batch depends only on the seed, the epoch and its index, so that a resumed run, or one with
    other workers, sees the batches that it would have seen.

    Args:
        images: array `(n, height, width, 3)`; uint8, if the transforms normalize it.
        labels: integer array `(n,)`.
        num_classes: length of a one-hot label.
        transforms: what is done to the images, in this order.
        batch_size: images per batch.
        mixing: what is done to whole batches, images and labels; `None` for nothing.
        shuffle: whether each pass visits the images in a new order.
        passes: passes over the images per epoch. With more than one, the last, smaller batch is
            dropped.
        seed: the run's seed, or `None` for evaluation: one pass, in order, nothing random.
        first_epoch: epochs trained before.
        pool: processes that prepare batches while the model trains, from `start_workers`; `None`
            to prepare them in this one.
        on_device: whether to leave to an `OnDevice`, in training, what a device can do.

    Each batch is float32 images `(batch, height, width, 3)` and float32 labels
    `(batch, num_classes)`, one-hot or mixed; in place of the images, what `defer` returns.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        num_classes: int,
        transforms: tuple[Transform, ...],
        batch_size: int,
        mixing: CutMixOrMixup | None = None,
        shuffle: bool = False,
        passes: int = 1,
        seed: int | None = None,
        first_epoch: int = 0,
        pool: ProcessPoolExecutor | None = None,
        on_device: bool = False,
    ):
        super().__init__()
        self.images, self.labels, self.num_classes = images, labels, num_classes
        self.transforms, self.mixing = transforms, mixing
        self.batch_size, self.seed, self.epoch, self.pool = batch_size, seed, first_epoch, pool
        training = seed is not None
        self.shuffle, self.passes = shuffle and training, passes if training else 1
        self._prepare = defer if training and on_device else prepare
        self._ahead: dict[tuple[int, int], Future] = {}  # by epoch and index

    def __len__(self) -> int:
        return steps_per_epoch(len(self.images), self.batch_size, self.passes)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self.pool is not None:
            try:
                return self._made_ahead(index)
            except BrokenProcessPool:
                print(f"\nsmallvit: {WORKER_KILLED}", file=sys.stderr)
                self.pool = None
        return self._prepare(*self._ingredients(index))

    def _made_ahead(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        for later in range(index, min(index + AHEAD, len(self))):
            if (self.epoch, later) not in self._ahead:
                future = self.pool.submit(self._prepare, *self._ingredients(later))
                self._ahead[self.epoch, later] = future
        return self._ahead.pop((self.epoch, index)).result()

    def _ingredients(self, index: int) -> tuple:
        """The arguments of `prepare`, or `defer`, for a batch."""
        count = len(self.images)
        if self.shuffle:
            order = _new_order(self.seed, self.epoch, count, self.passes)
        else:
            order = np.arange(self.passes * count) % count
        places = order[index * self.batch_size : (index + 1) * self.batch_size]
        one_hot = np.eye(self.num_classes, dtype="float32")[self.labels[places]]
        key = None if self.seed is None else (self.seed, self.epoch, index)
        return self.images[places], one_hot, self.transforms, self.mixing, key

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._ahead.clear()


class OnDevice(keras.Model):
    """A model that does in its own compiled steps what `Batches` on a device leave to it.

    Called with what `defer` returns in place of the images, it finishes these first; images
    `(batch, height, width, 3)`, as evaluation has them, go to the model as they are.

    Args:
        model: gets the images. Its variables are the only ones.
        transforms: of the batches.
        mixing: likewise.
    """

    def __init__(
        self, model: keras.Model, transforms: tuple[Transform, ...], mixing: CutMixOrMixup | None
    ):
        # Not cast: to find a pixel takes more digits than half precision has.
        super().__init__(name=model.name, dtype=model.dtype_policy, autocast=False)
        self.model, self.transforms, self.mixing = model, transforms, mixing

    def call(self, inputs: Any, training: bool = False) -> Any:
        if isinstance(inputs, tuple | list):
            inputs = finish(inputs, self.transforms, self.mixing, keras.ops)
        return self.model(inputs, training=training)


@contextlib.contextmanager
def tensorflow_datasets(*sets: keras.utils.PyDataset) -> Iterator[list]:
    """Give batches to TensorFlow as `tf.data.Dataset`s that it does not tune as it runs.

    It tunes those that Keras would make, and then, when an epoch ends, can wait up to a minute for
    the thread that does so. A thread of this process makes the batches that TensorFlow asks for;
    those of TensorFlow run no Python, for which one that ends meanwhile would wait for ever. When
    this context ends, the batch under way is finished and no other begun. Nothing calls
    `on_epoch_end` of the batches.

    Args:
        *sets: batches of arrays `(batch, ...)`, nested or not, all of a set alike. One pass over
            a set at a time: two would take each other's batches, and wait for ever.

    Raises:
        Exception: what making a batch raised, in place of what TensorFlow makes of it.
    """
    import tensorflow as tf

    with contextlib.ExitStack() as feeds:
        ends = []
        try:
            yield [feeds.enter_context(_feed(batches, ends)) for batches in sets]
        except tf.errors.OpError:
            if ends:
                raise ends[0] from None
            raise


@contextlib.contextmanager
def _feed(batches: keras.utils.PyDataset, ends: list[Exception]) -> Iterator:
    """One of `tensorflow_datasets`. What has ended the thread that makes batches joins `ends`."""
    import tensorflow as tf

    structure = batches[0]
    arrays = keras.tree.flatten(structure)
    dtypes, shapes = [a.dtype for a in arrays], [(None, *a.shape[1:]) for a in arrays]
    with tf.device("CPU"):
        tickets = tf.Variable(0, dtype=tf.int64)
        asked = tf.queue.FIFOQueue(-1, [tf.int64, tf.int64])  # of any length, like the other
        made = tf.queue.FIFOQueue(-1, [tf.int64, *dtypes])

    def make() -> None:
        try:
            with tf.device("CPU"):  # Else a GPU, if there is one, would get what is for a queue.
                while True:
                    ticket, index = asked.dequeue()
                    made.enqueue([ticket, *keras.tree.flatten(batches[int(index)])])
        except Exception as error:  # among others, that nothing more will be asked for
            ends.append(error)
        finally:
            made.close()

    def ask(index: tf.Tensor) -> Any:
        ticket = tickets.assign_add(1)
        asked.enqueue([ticket, index])
        answered, *batch = made.dequeue()
        while answered != ticket:  # what a pass that was left early had asked for
            answered, *batch = made.dequeue()
        shaped = [tf.ensure_shape(*pair) for pair in zip(batch, shapes, strict=True)]
        return keras.tree.pack_sequence_as(structure, shaped)

    options = tf.data.Options()
    options.autotune.enabled = False
    with ThreadPoolExecutor(1) as maker:
        try:
            maker.submit(make)
            yield tf.data.Dataset.range(len(batches)).map(ask).prefetch(2).with_options(options)
        finally:
            asked.close(cancel_pending_enqueues=True)


def steps_per_epoch(num_images: int, batch_size: int, passes: int = 1) -> int:
    """Batches in an epoch of this many passes over this many images."""
    return passes * num_images // batch_size if passes > 1 else -(-num_images // batch_size)


@lru_cache(maxsize=2)
def _new_order(seed: int, epoch: int, num_images: int, passes: int) -> np.ndarray:
    """Indices of an epoch's images, pass after pass; cached, since every batch needs them."""
    rng = np.random.default_rng((seed, epoch))
    return np.concatenate([rng.permutation(num_images) for _ in range(passes)])


def split_validation(images: np.ndarray, labels: np.ndarray, fraction: float) -> tuple:
    """Hold out the last images: `(images, labels)` to train on, and to validate with."""
    first = int(len(images) * (1 - fraction))
    return (images[:first], labels[:first]), (images[first:], labels[first:])
