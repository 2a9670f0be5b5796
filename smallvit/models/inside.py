"""Look inside a model that is already built: its tokens, its attention, its temperatures."""

from typing import Any

import keras
import numpy as np
from keras import ops

from smallvit.layers.blocks import TransformerBlock


def look_inside(model: keras.Model) -> keras.Model:
    """A Swin or ViT that returns, from the same layers and weights, what each block makes.

    Returns:
        Model from the same images to a dict: under a block's name its output tokens,
        `(batch, height, width, channels)` or `(batch, num_tokens, channels)`; under the name with
        `_attention` behind it, its attention weights `(batch, num_windows, num_heads, N, N)`,
        where windows are those of the padded and rolled grid; and under `logits` what `model`
        returns.

    Raises:
        TypeError: if `model` has no transformer block, or has them inside another model.

    Source: the way google-research/big_vision returns a ViT's intermediates.
    """
    inside = {}

    def call(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(layer, TransformerBlock):
            return layer(*args, **kwargs)
        tokens, weights = _WithAttention(layer)(*args, **kwargs)
        inside[layer.name], inside[f"{layer.name}_attention"] = tokens, weights
        return tokens

    plain = keras.Model(model.input, model.output)  # not compiled
    again = keras.models.clone_model(plain, clone_function=lambda layer: layer, call_function=call)
    if not inside:
        raise TypeError(
            f"The model {model.name} has no transformer block at its top level: give look_inside a "
            "Swin or ViT itself."
        )
    return keras.Model(again.input, {"logits": again.output, **inside})


class _WithAttention(keras.layers.Layer):
    """A block that returns its attention weights, too: to Keras's graph a layer of its own.

    Keras refuses a graph in which one layer returns one tensor here and two there.
    """

    def __init__(self, block: TransformerBlock):
        super().__init__(name=block.name, dtype=block.dtype_policy)
        self.block = block
        self.built = True

    def call(self, x: Any) -> Any:
        return self.block(x, return_attention_scores=True)


def get_scales(model: keras.Model) -> dict[str, np.ndarray]:
    """What each block of a Swin or ViT multiplies its scores by, learnt or not.

    Returns:
        Under each block's name a float array: `(num_heads,)`, or `(1,)` if the whole block has one.
    """
    blocks = (layer for layer in model.layers if isinstance(layer, TransformerBlock))
    return {block.name: np.ravel(ops.convert_to_numpy(block.attn.scale)) for block in blocks}
