"""Learnt vectors that join the tokens: positions and the class token."""

from typing import Any

from keras import layers, ops

from smallvit.layers.base import Layer, copy_initializer
from smallvit.layers.sizes import SEQUENCE


class PositionEmbedding(Layer):
    """Add one learnt vector to each token, according to its position.

    Args:
        initializer: Keras initializer of the vectors.
        **kwargs: the arguments of every Keras layer.

    Input and output `(batch, ..., channels)`, a grid or a sequence of the size it was built for.

    Source: Dosovitskiy et al. 2021 (ViT), equation 1.
    """

    def __init__(self, initializer: Any = "uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.initializer = copy_initializer(initializer)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        shape = (1, *input_shape[1:])
        self.position = self.add_weight(shape, self.initializer, name="position")
        self.input_spec = layers.InputSpec(shape=(None, *input_shape[1:]))

    def call(self, tokens: Any) -> Any:
        return ops.cast(tokens, self.compute_dtype) + self.position


class ClassToken(Layer):
    """Put one learnt token before a sequence, for the head to read.

    Args:
        initializer: Keras initializer of the token.
        **kwargs: the arguments of every Keras layer.

    Input `(batch, num_tokens, channels)`; output `(batch, 1 + num_tokens, channels)`.

    Source: Dosovitskiy et al. 2021 (ViT), equation 1.
    """

    axes = SEQUENCE

    def __init__(self, initializer: Any = "random_normal", **kwargs: Any):
        super().__init__(**kwargs)
        self.initializer = copy_initializer(initializer)

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        self.token = self.add_weight((1, 1, input_shape[-1]), self.initializer, name="token")

    def call(self, tokens: Any) -> Any:
        batch, channels = ops.shape(tokens)[0], tokens.shape[-1]
        first = ops.broadcast_to(self.token, (batch, 1, channels))
        return ops.concatenate([first, ops.cast(tokens, first.dtype)], axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, num_tokens, channels = input_shape
        return (batch, 1 + num_tokens, channels)
