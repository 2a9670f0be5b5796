"""Many small operations as one loop."""

from collections.abc import Callable

import keras


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
