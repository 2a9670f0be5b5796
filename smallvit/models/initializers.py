"""How a model's weights start, where that is not how Keras starts them."""

from typing import Any

import keras

Rules = tuple[tuple[str, Any], ...]


def normal(stddev: float) -> dict:
    """A normal distribution about 0, as Keras writes an initializer down."""
    return keras.initializers.serialize(keras.initializers.RandomNormal(stddev=stddev))


def uniform(limit: float) -> dict:
    """An even distribution from `-limit` to `limit`, as Keras writes an initializer down."""
    return keras.initializers.serialize(keras.initializers.RandomUniform(-limit, limit))


def initialize(model: keras.Model, rules: Rules) -> None:
    """Draw a model's trainable weights anew, by name.

    Args:
        model: a built model.
        rules: pairs of how a weight's path ends, such as `"qkv/kernel"`, and a Keras initializer:
            its name or what `normal` and `uniform` give. The first pair that fits a weight counts;
            a weight that none fits stays as it is.

    Raises:
        ValueError: if a pair fits no weight of the model, since its name is then likely wrong.
    """
    unused = {ending for ending, _ in rules}
    for weight in model.trainable_weights:
        for ending, initializer in rules:
            if weight.path.endswith(ending):
                weight.assign(keras.initializers.get(initializer)(weight.shape, weight.dtype))
                unused.discard(ending)
                break
    if unused:
        raise ValueError(f"No weight of {model.name} ends in {' or '.join(sorted(unused))}.")
