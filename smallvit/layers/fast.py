"""The same mathematics, faster on CPUs: skip on first reading.

`einsum`, `gelu` and `Dropout` do what Keras's own do. Their gains are given as the processor time
of a training step of the Keras example's Swin, batch 64, as a fraction of that with Keras's own.
"""

import re
from collections.abc import Callable
from math import prod
from typing import Any

import keras
from keras import layers, ops


def fuse(function: Callable) -> Callable:
    """Have XLA compile a function of tensors to one loop if TensorFlow would not.

    Keras compiles whole models or nothing. If it does not (the default on a CPU with TensorFlow),
    each of a dozen cheap operations on a large tensor is another pass over memory. The function
    takes tensors, whose rank stays the same, and hashable values.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    # Keras has no name for this. By this line it has imported TensorFlow itself.
    import tensorflow as tf

    return tf.function(function, autograph=False, jit_compile=True, reduce_retracing=True)


def einsum(subscripts: str, x: Any, y: Any) -> Any:
    """`keras.ops.einsum` of two tensors, the second of them `(batch, num_tokens, ...)`.

    On TensorFlow, few tokens' products are summed element by element: XLA fuses that, but calls a
    routine for each product of matrices, however small. A training step then takes 0.71 to 0.80 of
    the time with XLA, as the trainer compiles, and 1.12 without; on JAX it would take 1.05 to 1.08.
    """
    if keras.backend.backend() != "tensorflow" or y.shape[1] > 8:
        return ops.einsum(subscripts, x, y)
    first, second, result = re.split(",|->", subscripts)
    axes = result + "".join(set(first) - set(result))  # the last one is summed over

    def spread(tensor: Any, names: str) -> Any:
        ordered = ops.transpose(tensor, [names.index(axis) for axis in axes if axis in names])
        return ops.expand_dims(ordered, [n for n, axis in enumerate(axes) if axis not in names])

    return ops.sum(spread(x, first) * spread(y, second), axis=-1)


@fuse
@keras.remat
def gelu(x: Any) -> Any:
    """The exact GELU, recomputed in the backward pass to save memory.

    A training step then takes 0.90 of the time on TensorFlow and 0.94 on JAX.
    """
    return 0.5 * x * (1 + ops.erf(x * 2**-0.5))


@keras.saving.register_keras_serializable(package="smallvit")
class Dropout(layers.Dropout):
    """Zero elements at random in training, and scale up the others to keep the mean.

    Keras's layer, but for the source of the random bits. TensorFlow's and JAX's generators are made
    for long streams, and a small transformer's step on a CPU spends much of its time in them. Here
    each sample gets seeds of its own, and each element a hash of its index and those seeds,
    computed in the loop that applies the mask and never stored. A training step then takes 0.88 of
    the time on TensorFlow and 0.79 on JAX.

    Arguments are those of `keras.layers.Dropout`. Input and output `(batch, ...)`.

    Source: Srivastava et al. 2014 (dropout), section 10.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or not self.rate:
            return inputs
        # PyTorch has a fast kernel of its own; and at a rate of 1 nothing is left to scale up.
        if keras.backend.backend() == "torch" or self.rate == 1 or self.noise_shape is not None:
            return super().call(inputs, training=training)
        shape = ops.shape(inputs)
        samples = ops.reshape(inputs, (shape[0], prod(shape[1:])))
        return ops.reshape(drop(samples, float(self.rate), self.seed_generator.next()), shape)


@fuse
def drop(inputs: Any, rate: float, seed: Any) -> Any:
    """Zero elements of `(batch, count)`, each with probability `rate`, and scale up the others.

    The seed is two integers, as `keras.random.SeedGenerator.next` gives them.
    """
    bits = draw_bits(ops.shape(inputs), seed)
    keep = ops.cast(bits >= uint32(round(rate * 2**32)), inputs.dtype)
    return inputs * (keep * ops.cast(1 / (1 - rate), inputs.dtype))


def draw_bits(shape: tuple, seed: Any) -> Any:
    """Draw independent uniform uint32 values; no sample's depend on how many samples there are."""
    first, second = ops.unstack(ops.cast(seed, "uint32"))
    seeds = ops.reshape(hash_places(2 * shape[0], first, second), (-1, 2, 1))
    return ops.reshape(hash_places(prod(shape[1:]), seeds[:, 0], seeds[:, 1]), shape)


def hash_places(count: int, first: Any, second: Any) -> Any:
    """Hash the integers below `count` for each pair of seeds: uint32 `(pairs, count)`.

    `first` and `second` are uint32 `(pairs, 1)`, or without axes for a result `(count,)`.
    """
    places = ops.cast(ops.arange(count, dtype="int32"), "uint32")
    return scramble(ops.bitwise_xor(places, scramble(first, second)), second)


def scramble(x: Any, key: Any) -> Any:
    """Map uint32 `x` to another, one to one; each bit of it and of `key` changes half of the bits.

    Source: the multipliers and shifts were found by search in Wellons 2018, "Prospecting for hash
    functions" (the function called lowbias32).
    """
    x = _fold(x, 16) * uint32(0x7FEB352D)
    x = _fold(ops.bitwise_xor(x, key), 15) * uint32(0x846CA68B)
    return _fold(x, 16)


def _fold(x: Any, shift: int) -> Any:
    """Fold the high bits into the low ones; a multiplication carries them up again."""
    return ops.bitwise_xor(x, ops.bitwise_right_shift(x, uint32(shift)))


def uint32(number: int) -> Any:
    """An integer as a tensor without axes."""
    return ops.convert_to_tensor(number, "uint32")
