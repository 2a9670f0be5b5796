"""The same mathematics, faster on CPUs: skip on first reading.

Each function and layer here does what one line of Keras does, named in its docstring.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import keras
from keras import layers, ops


def fuse(function: Callable) -> Callable:
    """Have XLA compile a function of tensors to one loop, where Keras runs it step by step.

    Keras compiles whole models or nothing. Where it does not (on a CPU with TensorFlow, unless it
    is told to), each operation reads and writes all of its numbers, and a function of a dozen
    cheap operations on a large tensor takes a dozen passes over memory. On JAX and PyTorch, and
    within a model that is compiled as a whole, there is nothing to do.

    Args:
        function: takes tensors, whose rank stays the same, and hashable values.

    Returns:
        The function, or one that does the same.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    # Keras has no word for this. It has imported TensorFlow itself, if it comes to this line.
    import tensorflow as tf

    return tf.function(function, autograph=False, jit_compile=True, reduce_retracing=True)


def score(query: Any, key: Any) -> Any:
    """Multiply each query by each key: `ops.einsum("bnhd,bmhd->bhnm", query, key)`.

    Args:
        query: tensor `(batch, num_tokens, num_heads, key_dim)`.
        key: tensor of the query's shape.

    Returns:
        Scores `(batch, num_heads, num_tokens, num_tokens)`, a row for each query.
    """
    if _is_tiny(query):
        return ops.moveaxis(ops.sum(query[:, :, None] * key[:, None], axis=-1), -1, 1)
    return ops.einsum("bnhd,bmhd->bhnm", query, key)


def mix(weights: Any, value: Any) -> Any:
    """Add up the weighted values: `ops.einsum("bhnm,bmhd->bnhd", weights, value)`.

    Args:
        weights: tensor `(batch, num_heads, num_tokens, num_tokens)`, a row for each query.
        value: tensor `(batch, num_tokens, num_heads, value_dim)`.

    Returns:
        Tensor of the shape of `value`.
    """
    if _is_tiny(value):
        return ops.sum(ops.moveaxis(weights, 1, -1)[..., None] * value[:, None], axis=2)
    return ops.einsum("bhnm,bmhd->bnhd", weights, value)


def _is_tiny(x: Any) -> bool:
    """Whether the products are so small that plain sums are faster than any routine for them."""
    return x.shape[1] <= 8


@fuse
@keras.remat
def gelu(x: Any) -> Any:
    """The exact GELU; what its gradient needs is recomputed in the backward pass, not stored."""
    return 0.5 * x * (1 + ops.erf(x * 2**-0.5))


@keras.saving.register_keras_serializable(package="smallvit")
class Dropout(layers.Dropout):
    """Zero numbers at random in training, and scale up the others to make good for them.

    This is Keras's layer but for where the random bits come from. The generators of TensorFlow and
    JAX are made for long streams of numbers, and a small transformer's training step on a CPU
    spends a quarter to a third of its time on them. A mask needs less: here each sample gets
    seeds of its own, and each of its numbers bits that are a hash of its place and those seeds.
    No bits are ever stored: the loop that applies them makes them as it goes.

    Args:
        rate: probability of dropping a number, from 0 to 1.
        **kwargs: the other arguments of `keras.layers.Dropout`.

    Input and output `(..., channels)`.

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
        return ops.reshape(drop(samples, self.rate, self.seed_generator.next()), shape)


@fuse
def drop(inputs: Any, rate: float, seed: Any) -> Any:
    """Zero numbers, each with probability `rate`, and divide the others by `1 - rate`.

    Args:
        inputs: floats `(batch, count)`.
        rate: from 0 up to but not including 1.
        seed: two integers, as `keras.random.SeedGenerator.next` gives them.

    Returns a tensor of the shape and dtype of `inputs`.
    """
    bits = draw_bits(ops.shape(inputs), seed)
    keep = ops.cast(bits >= uint32(round(rate * 2**32)), inputs.dtype)
    return inputs * (keep * ops.cast(1 / (1 - rate), inputs.dtype))


def draw_bits(shape: tuple, seed: Any) -> Any:
    """Draw integers that show no trace of where they stand, or of one another.

    Args:
        shape: of the result, one axis at least. Along the first the bits of one do not depend on
            how many there are.
        seed: two integers, as `keras.random.SeedGenerator.next` gives them.

    Returns:
        uint32 tensor, each of the 2**32 values as likely as any other.
    """
    first, second = ops.unstack(ops.cast(seed, "uint32"))
    seeds = ops.reshape(hash_places(2 * shape[0], first, second), (-1, 2, 1))
    return ops.reshape(hash_places(prod(shape[1:]), seeds[:, 0], seeds[:, 1]), shape)


def hash_places(count: int, first: Any, second: Any) -> Any:
    """Hash the numbers from 0 to `count - 1`, once for each pair of seeds.

    Args:
        count: how many numbers.
        first: uint32 tensor `(pairs, 1)`, or without axes for a single pair.
        second: the same, each pair's other half.

    Returns:
        uint32 tensor `(pairs, count)`, or `(count,)` for a single pair.
    """
    places = ops.cast(ops.arange(count, dtype="int32"), "uint32")
    return scramble(ops.bitwise_xor(places, scramble(first, second)), second)


def scramble(x: Any, key: Any) -> Any:
    """Send uint32 `x` to another, one to one, so that each bit of it and of `key` moves them all.

    Source: the multipliers and shifts were found by search in Wellons 2018, "Prospecting for hash
    functions" (the function called lowbias32).
    """
    x = _fold(x, 16) * uint32(0x7FEB352D)
    x = _fold(ops.bitwise_xor(x, key), 15) * uint32(0x846CA68B)
    return _fold(x, 16)


def _fold(x: Any, shift: int) -> Any:
    """Carry the high bits down, where a multiplication takes them up again."""
    return ops.bitwise_xor(x, ops.bitwise_right_shift(x, uint32(shift)))


def uint32(number: int) -> Any:
    """A number as a tensor without axes."""
    return ops.convert_to_tensor(number, "uint32")
