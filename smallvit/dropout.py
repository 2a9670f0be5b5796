"""Dropout whose mask costs little."""

from math import prod
from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="smallvit")
class Dropout(layers.Dropout):
    """Zero numbers at random in training, and scale up the others to make good for them.

    This is Keras's layer but for where the random bits come from. The generators of TensorFlow and
    JAX are made for long streams of numbers, and a small transformer's training step on a CPU
    spends a quarter to a third of its time on them. A mask needs less: here each number's bits
    are a hash of its place, which the compiler works into the loop that applies them.

    Args:
        rate: probability of dropping a number, from 0 to 1.
        **kwargs: the other arguments of `keras.layers.Dropout` but `noise_shape`.

    Input and output `(..., channels)`.

    Source: Srivastava et al. 2014 (dropout), section 10.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or not self.rate:
            return inputs
        # PyTorch has a fast kernel of its own; and at a rate of 1 nothing is left to scale up.
        if keras.backend.backend() == "torch" or self.rate == 1:
            return super().call(inputs, training=training)
        bits = draw_bits(ops.shape(inputs), self.seed_generator.next())
        keep = ops.cast(bits >= uint32(round(self.rate * 2**32)), inputs.dtype)
        return inputs * (keep * ops.cast(1 / (1 - self.rate), inputs.dtype))


def draw_bits(shape: tuple, seed: Any) -> Any:
    """Draw integers that show no trace of where they stand, or of one another.

    Args:
        shape: of the result.
        seed: two integers, as `keras.random.SeedGenerator.next` gives them.

    Returns:
        uint32 tensor, each of the 2**32 values as likely as any other.
    """
    first, second = ops.unstack(ops.cast(seed, "uint32"))
    places = ops.cast(ops.arange(prod(shape), dtype="int32"), "uint32")
    return ops.reshape(scramble(ops.bitwise_xor(places, scramble(first, second)), second), shape)


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
