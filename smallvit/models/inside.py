"""Look inside a model that is already built: its tokens, its attention, its temperatures."""

import keras
import numpy as np
from keras import ops

from smallvit.layers.blocks import TransformerBlock


def look_inside(model: keras.Model) -> keras.Model:
    """A model that returns, from the same layers and weights, what each block makes.

    Args:
        model: one that `swin_transformer` or `vision_transformer` built.

    Returns:
        Model from the same images to a dict: under a block's name its output tokens,
        `(batch, height, width, channels)` or `(batch, num_tokens, channels)`; under the name with
        `_attention` behind it, its attention weights `(batch, num_windows, num_heads, N, N)`; and
        under `logits` what `model` returns.

    Source: the way google-research/big_vision returns a ViT's intermediates.
    """
    outputs = {"logits": model.output}
    for block in _blocks(model):
        outputs[block.name], outputs[f"{block.name}_attention"] = block.output
    return keras.Model(model.input, outputs)


def get_temperatures(model: keras.Model) -> dict[str, np.ndarray]:
    """What each block multiplies its scores by, learnt or not.

    Args:
        model: one that `swin_transformer` or `vision_transformer` built.

    Returns:
        Under each block's name a float array: `(num_heads,)`, or `(1,)` where the whole block
        has one.
    """
    return {
        block.name: np.ravel(ops.convert_to_numpy(block.attn.scale)) for block in _blocks(model)
    }


def _blocks(model: keras.Model) -> list[TransformerBlock]:
    return [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
